"""Tells EUCAIM's tracing service what was done with datasets, one after the other, until it has taken each."""

import asyncio
import json
import logging
import ssl
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg import AsyncConnection

from archive import tracing
from archive.addresses import is_allowed
from archive.errors import ConfigurationError
from archive.pool import connection_string
from archive.settings import Settings
from archive.tracing import Trace
from inference.cues import pause

PATH = "/api/v2/traces/"
PATIENCE = 15.0  # seconds for an answer
_LONGEST = 64 * 1024  # bytes of an answer that are read
_LOOK = 2.0  # seconds between two looks for what is to be told
_PAUSE = 5.0  # seconds before another try after PostgreSQL did not answer
_FOR_GOOD = (400, 413, 422)  # statuses with which it says that it will not take a trace as it is
_log = logging.getLogger("senogate.tracing")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a trace: `ids` where it was taken, else a `failure`."""

    ids: tuple[str, ...] = ()
    failure: str = ""
    refused: bool = False


class Tracer:
    """Delivers, as long as no other process does. Raises ConfigurationError for an address that is not told."""

    def __init__(self, settings: Settings) -> None:
        if not is_allowed(settings.tracing_url):
            raise ConfigurationError("tracing_url must be https, or http to this machine itself")
        self._settings = settings
        self._context = ssl.create_default_context()
        try:
            if settings.webhook_authorities:
                self._context.load_verify_locations(settings.webhook_authorities)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(f"webhook_authorities can't be used ({type(error).__name__})") from None

    async def run(self, ended: asyncio.Event) -> None:
        """Deliver until `ended`. A trace that is under way then may be told again."""
        while not ended.is_set():
            try:
                await self._deliver(ended)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                _log.warning("the tracing service is told nothing now (%s)", type(error).__name__)
            await pause(ended, _PAUSE)

    async def _deliver(self, ended: asyncio.Event) -> None:
        address = connection_string(self._settings.database_url)
        async with (
            await AsyncConnection.connect(address, autocommit=True) as connection,
            httpx.AsyncClient(verify=self._context, trust_env=False, timeout=PATIENCE) as client,
        ):
            while not ended.is_set() and not await tracing.is_alone(connection):
                await pause(ended, _PAUSE)
            while not ended.is_set():
                trace = await tracing.due(connection)
                if trace is None:
                    await pause(ended, _LOOK)
                else:
                    await self._tell(connection, client, trace)

    async def _tell(self, connection: AsyncConnection, client: httpx.AsyncClient, trace: Trace) -> None:
        answer = await self.post(client, trace)
        if answer.failure:
            _log.warning("the tracing service was not told: %s", answer.failure)
            await tracing.failed(connection, trace, answer.failure, refused=answer.refused)
        else:
            await tracing.delivered(connection, trace, answer.ids)

    async def post(self, client: httpx.AsyncClient, trace: Trace) -> Answer:
        """One attempt. No redirect is followed, and of what the service says only its identifiers are kept."""
        token = self._settings.tracing_token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = tracing.wire(trace.body, self._settings.public_url)
        try:
            async with (
                asyncio.timeout(PATIENCE),
                client.stream(
                    "POST", self._settings.tracing_url + PATH, json=body, headers=headers
                ) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    status = answer.status_code
                    return Answer(failure=f"it answers with the status {status}", refused=status in _FOR_GOOD)
                return Answer(_ids(await _read(answer)))
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            return Answer(failure=f"it does not answer ({type(error).__name__})")


async def _read(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > _LONGEST:
            return b""
    return bytes(body)


def _ids(body: bytes) -> tuple[str, ...]:
    """The identifiers of the traces; older services answer with one. Where it says none, it was taken all the same."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, dict):
        return ()
    ids = found.get("ids", [found.get("id")])
    return tuple(one[:64] for one in ids if isinstance(one, str)) if isinstance(ids, list) else ()
