"""A gateway without a site: Orthanc is played by a function, and no PostgreSQL answers."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import anyio
import httpx
from psycopg_pool import AsyncConnectionPool
from starlette.types import ASGIApp

from archive.audit import Record
from archive.policy import Role
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from gateway import app, door, issuing, oauth

KEYS = Keys.derive(b"the site key of a test".ljust(32, b"."))
DEIDENTIFIER = Deidentifier(KEYS, Profile.load("breast-screening"))
PROOF_KEY = KEYS.proof


@dataclass
class FakeOrthanc:
    """Answers as Orthanc behind the plugin does; `received` is what was posted to its door, `held` the paths it has,
    `door` the status of an instance.
    """

    proof_key: bytes = PROOF_KEY
    protecting: bool = True
    door: Callable[[bytes], int] = lambda body: 200
    received: list[bytes] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    asked: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/senogate/status":
            return self._status(bytes.fromhex(request.url.params["nonce"]))
        if request.url.path == "/system":
            return httpx.Response(200, json={})
        if request.method == "POST":
            return httpx.Response(200, json=[self._take(each) for each in self._split(request)])
        return httpx.Response(200 if request.url.path in self.held else 404, json={})

    def _split(self, request: httpx.Request) -> list[bytes]:
        body, lengths = request.content, [int(length) for length in request.headers[door.LENGTHS].split(",")]
        ends = list(accumulate(lengths))
        assert ends[-1] == len(body)
        return [body[end - length : end] for length, end in zip(lengths, ends, strict=True)]

    def _take(self, instance: bytes) -> int:
        self.received.append(instance)
        return self.door(instance)

    def _status(self, nonce: bytes) -> httpx.Response:
        self.asked += 1
        proof = hmac.new(self.proof_key, b"senogate status\0" + nonce, hashlib.sha256).hexdigest()
        return httpx.Response(200, json={"protecting": self.protecting, "proof": proof})


class Client:
    """Sends requests to an application in this process, each on an event loop of its own."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._application)
            async with httpx.AsyncClient(transport=transport, base_url="http://other.test") as client:
                return await client.request(method, path, **arguments)

        return anyio.run(send)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)


@dataclass
class FakeTrail:
    """Keeps records in memory, or has `problem` with any."""

    records: list[Record] = field(default_factory=list)
    problem: Exception | None = None

    async def write(self, record: Record) -> None:
        if self.problem:
            raise self.problem
        self.records.append(record)


@dataclass
class FakeSite:
    """A gateway, what it stands on, and a client of it."""

    settings: Settings
    keys: oauth.SigningKeys
    orthanc: FakeOrthanc
    client: Client
    trail: FakeTrail

    def token(self, scope: str = issuing.ALL_ACTIONS) -> str:
        roles = [Role.ADMINISTRATOR]
        return oauth.issue(self.keys, self.settings, subject="administrator", scope=scope, roles=roles)

    def bearer(self, scope: str = issuing.ALL_ACTIONS) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(scope)}"}


def build(home: Path, orthanc: FakeOrthanc | None = None, **settings: object) -> FakeSite:
    """A gateway in a home that may be empty."""
    orthanc = orthanc or FakeOrthanc()
    configured = Settings(home=home, **settings)
    keys = oauth.SigningKeys.load_or_create(home / "signing.pem")
    behind = httpx.AsyncClient(base_url="http://orthanc.test", transport=httpx.MockTransport(orthanc))
    pool = AsyncConnectionPool("host=/nowhere", open=False)
    application = app.create(configured, pool, behind, keys, DEIDENTIFIER, trail := FakeTrail())
    return FakeSite(configured, keys, orthanc, Client(application), trail)
