"""The audit trail as a gateway writes it: what many requests add at a time is committed together."""

import asyncio
from contextlib import suppress
from typing import NamedTuple, Protocol

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import ExecStatus

from archive.audit import Record
from archive.errors import Unavailable
from archive.pool import connection_string, queries

MOST_AT_ONCE = 500  # records of one transaction
PATIENCE = 6.0  # seconds for a commit; PostgreSQL itself gives up a second earlier
_OPTIONS = "-c synchronous_commit=on -c statement_timeout=5000 -c jit=off"
_FULL = 0.001  # seconds between two tries to send what does not go into the socket at once


class Journal(Protocol):
    """Takes records."""

    async def write(self, record: Record) -> None:
        """Add a record; it is durable when this returns. Raises Unavailable."""


class _Waiting(NamedTuple):
    content: str
    written: asyncio.Future[None]


class Trail:
    """The table `audit`, over one connection of its own that is opened when it is first needed."""

    def __init__(self, database_url: str) -> None:
        self._address = connection_string(database_url)
        self._wire: _Wire | None = None
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, record: Record) -> None:
        """Add a record, with those that come while others are being committed. Raises Unavailable."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(record.content(), written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        await written

    async def aclose(self) -> None:
        """Write what waits, and close the connection."""
        if self._writer is not None:
            await self._writer
        await self._disconnect()

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._write_together(together)
        finally:
            self._writer = None

    async def _write_together(self, together: list[_Waiting]) -> None:
        problem: Unavailable | None = None
        try:
            await self._commit("\n".join([each.content for each in together]).encode())
        except (psycopg.Error, TimeoutError) as error:
            problem = Unavailable(f"the audit trail can't be written ({type(error).__name__})")
        for each in together:
            if each.written.done():  # who waited was cancelled
                continue
            if problem is None:
                each.written.set_result(None)
            else:
                each.written.set_exception(problem)

    async def _commit(self, lines: bytes) -> None:
        """Durable on return. Where the answer to a commit was lost, the same records may be in the trail twice."""
        try:
            await self._append(lines)
        except psycopg.Error:
            await self._disconnect()  # it may have died while idle: try once on a fresh one
            await self._append(lines)

    async def _append(self, lines: bytes) -> None:
        if self._wire is None:
            self._wire = await _Wire.open(self._address)
        try:
            await self._wire.append(lines)
        except TimeoutError:
            await self._disconnect()
            raise

    async def _disconnect(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()


class _Wire:
    """A connection over which one prepared statement goes again and again.

    Each request waits for it, so nothing is between it and libpq: a cursor takes several times the CPU.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._answer: asyncio.Future[None] | None = None
        self._problem: psycopg.Error | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = self._libpq.socket
        self._loop.add_reader(self._socket, self._read)

    @classmethod
    async def open(cls, address: str) -> "_Wire":
        connection = await AsyncConnection.connect(address, autocommit=True, options=_OPTIONS)
        try:
            await connection.execute(queries("audit.sql")["prepare_append"])
        except psycopg.Error:
            await connection.close()
            raise
        return cls(connection)

    async def append(self, lines: bytes) -> None:
        """Commit the records. Raises OperationalError, TimeoutError."""
        self._answer, self._problem = self._loop.create_future(), None
        alarm = self._loop.call_later(PATIENCE, self._give_up)
        try:
            self._libpq.send_query_prepared(b"append_lines", [lines])
            while self._libpq.flush() and not self._answer.done():
                await asyncio.sleep(_FULL)
            await self._answer
        finally:
            alarm.cancel()

    async def close(self) -> None:
        self._loop.remove_reader(self._socket)
        with suppress(psycopg.Error):
            await self._connection.close()

    def _read(self) -> None:
        """What PostgreSQL sent; with its end the answer is whole."""
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    self._end()
                    return
                if result.status != ExecStatus.TUPLES_OK:
                    self._problem = psycopg.OperationalError("the records were not taken")
        except psycopg.Error as error:
            self._loop.remove_reader(self._socket)  # it stays readable for ever
            self._problem = error
            self._end()

    def _give_up(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TimeoutError())

    def _end(self) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        if self._problem is None:
            answer.set_result(None)
        else:
            answer.set_exception(self._problem)
