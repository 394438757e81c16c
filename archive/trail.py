"""The audit trail as a gateway writes it: what many requests add at a time is committed together."""

import asyncio
from typing import NamedTuple, Protocol

import psycopg
from psycopg import AsyncConnection

from archive.audit import Record
from archive.errors import Unavailable
from archive.pool import connection_string, queries

MOST_AT_ONCE = 500  # records of one transaction
_TIMEOUT = 5000  # milliseconds that a commit may take
_OPTIONS = f"-c synchronous_commit=on -c statement_timeout={_TIMEOUT} -c jit=off"


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
        self._connection: AsyncConnection | None = None
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
            await self._commit("\n".join(each.content for each in together))
        except psycopg.Error as error:
            problem = Unavailable(f"the audit trail can't be written ({type(error).__name__})")
        for each in together:
            if each.written.done():  # who waited was cancelled
                continue
            if problem is None:
                each.written.set_result(None)
            else:
                each.written.set_exception(problem)

    async def _commit(self, lines: str) -> None:
        """Durable on return. Where the answer to a commit was lost, the same records may be in the trail twice."""
        try:
            await self._append(lines)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            await self._disconnect()  # it may have died while idle: try once on a fresh one
            await self._append(lines)

    async def _append(self, lines: str) -> None:
        if self._connection is None:
            self._connection = await AsyncConnection.connect(self._address, autocommit=True, options=_OPTIONS)
        statement = queries("audit.sql")["append_lines"]
        await self._connection.execute(statement, {"lines": lines}, prepare=True)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
