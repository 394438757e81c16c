"""Whether the site can be used: Orthanc, the plugin in it, PostgreSQL, and the index with who follows for it.

And whether the keeper lives, without which it can.

That the plugin is in place is proven by a keyed answer to a nonce. Nothing of DICOMweb is served without that
proof, since an Orthanc without its plugin stores what it gets as it came.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.types import ASGIApp, Receive, Scope, Send

from archive import state
from archive.errors import Unavailable
from archive.follow import FOLLOWER_LOCK
from archive.pool import queries

FRESH = 3.0  # seconds that a proof is relied upon
AT_THE_DOOR = (
    0.25  # seconds, where an identified instance is handed over: Orthanc needs longer to start again
)
FOLLOWED = 60.0  # seconds that the worker may take for one batch
TIMEOUT = 2.0  # seconds that a part may take to answer
NEEDED = ("orthanc", "plugin", "postgresql", "index")
"""The parts without which a site can't be used."""
_CONTEXT = b"senogate status\0"


class Readiness:
    """Asks the parts of a site, at most once at a time."""

    def __init__(self, pool: AsyncConnectionPool, orthanc: httpx.AsyncClient, proof_key: bytes) -> None:
        self._pool = pool
        self._orthanc = orthanc
        self._proof_key = proof_key
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._problem = "the plugin has not answered yet"
        self.orthanc_version = ""  # as Orthanc said it last
        self.counted: Mapping[str, object] = {}  # by the plugin, as it said last

    async def require_plugin(self, fresh: float) -> None:
        """Raises Unavailable unless the plugin proved, at most `fresh` seconds ago, that it protects Orthanc."""
        if time.monotonic() - self._asked_at > fresh:
            async with self._asking:
                if time.monotonic() - self._asked_at > fresh:
                    began = time.monotonic()
                    self._problem = await self._problem_of(self._ask_plugin)
                    self._asked_at = began
        if self._problem:
            raise Unavailable("the de-identifying plugin is not proven to be in place")

    async def report(self) -> dict[str, str]:
        """For each part an empty text where it answers, else what is wrong with it."""
        asked: dict[str, Callable[[], Awaitable[None]]] = {
            "orthanc": self._ask_orthanc,
            "plugin": self._ask_plugin,
            "postgresql": self._ask_postgresql,
            "index": self._ask_index,
            "keeper": self._ask_keeper,
        }
        problems = await asyncio.gather(*map(self._problem_of, asked.values()))
        return dict(zip(asked, problems, strict=True))

    async def _problem_of(self, ask: Callable[[], Awaitable[None]]) -> str:
        try:
            async with asyncio.timeout(TIMEOUT):
                await ask()
        except Unavailable as problem:
            return str(problem)
        except (httpx.HTTPError, psycopg.Error, PoolTimeout, TimeoutError) as error:
            return f"does not answer ({type(error).__name__})"
        return ""

    async def _ask_orthanc(self) -> None:
        self.orthanc_version = str((await self._get("/system")).get("Version", ""))[:32]

    async def _ask_plugin(self) -> None:
        """Raises Unavailable unless the status route answers a fresh nonce with the right key."""
        nonce = secrets.token_bytes(16)
        status = await self._get("/senogate/status", nonce=nonce.hex())
        proof = hmac.new(self._proof_key, _CONTEXT + nonce, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(proof.encode(), str(status.get("proof", "")).encode()):
            raise Unavailable("does not prove that it is the site's own plugin")
        counted = status.get("counted")
        self.counted = counted if isinstance(counted, dict) else {}
        if status.get("protecting") is not True:
            raise Unavailable("does not protect Orthanc")

    async def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = await self._orthanc.get(path, params=parameters, timeout=TIMEOUT)
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"answers with the status {answer.status_code}")
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unavailable("answers with something else than its status")
        return found

    async def _ask_postgresql(self) -> None:
        async with self._pool.connection(timeout=TIMEOUT) as connection:
            await connection.execute("select 1")

    async def _ask_index(self) -> None:
        """Raises Unavailable where no worker follows what Orthanc stores, or one that hangs."""
        values = {"key": FOLLOWER_LOCK, "age": FOLLOWED}
        async with self._pool.connection(timeout=TIMEOUT) as connection:
            row = await (await connection.execute(queries("index.sql")["watch"], values)).fetchone()
        is_alone, is_fresh = row or (False, False)
        if not is_alone:
            raise Unavailable("no worker follows what Orthanc stores")
        if not is_fresh:
            raise Unavailable(f"the worker has not followed what Orthanc stores for {FOLLOWED:.0f} seconds")

    async def _ask_keeper(self) -> None:
        """Raises Unavailable where it left no sign of life lately."""
        values = {"name": state.KEEPER, "age": state.SILENT}
        async with self._pool.connection(timeout=TIMEOUT) as connection:
            row = await (await connection.execute(queries("state.sql")["alive"], values)).fetchone()
        if row is None:
            raise Unavailable("no keeper has given a sign of life for minutes")


class PluginGuard:
    """Lets no request through while the plugin is not proven to be in place."""

    def __init__(self, app: ASGIApp, readiness: Readiness) -> None:
        self._app = app
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await self._readiness.require_plugin(FRESH)
        await self._app(scope, receive, send)
