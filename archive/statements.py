"""Statements that requests repeat, put to PostgreSQL by libpq itself.

To send a small statement and read its rows takes a cursor of psycopg several times as long as it takes PostgreSQL to
find them. What is left out here is what a search needs none of: transactions, streams of rows, row factories.
Values and rows are those that a cursor gives.
"""

import asyncio
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Error, abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

PREPARED = 100  # statements that a connection keeps the plans of
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|(%))")

_Key = tuple[bytes, tuple[int, ...]]  # a statement and the types of its values
_prepared: WeakKeyDictionary[AsyncConnection, dict[_Key, bytes]] = WeakKeyDictionary()
_names = count()


async def fetch(
    connection: AsyncConnection, statement: str, values: Mapping[str, Any], *, prepare: bool = True
) -> list[tuple[Any, ...]]:
    """The rows of one statement, whose placeholders are `%(name)s`. It begins no transaction.

    With `prepare` PostgreSQL keeps its plan. Raises psycopg's errors. A connection on which this is cancelled is of
    no more use, which its pool sees.
    """
    text, names = _positional(statement)
    transformer = Transformer(connection)
    data = transformer.dump_sequence([values[name] for name in names], [PyFormat.AUTO] * len(names))
    pgconn = connection.pgconn
    if prepare:
        result = await _execute_prepared(connection, text, transformer, data)
    else:
        pgconn.send_query_params(text, data, transformer.types, transformer.formats, Format.BINARY)
        result = await _result(pgconn)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


async def _execute_prepared(
    connection: AsyncConnection, text: bytes, transformer: abc.Transformer, data: Any
) -> PGresult:
    pgconn, known = connection.pgconn, _prepared.setdefault(connection, {})
    key = text, tuple(transformer.types or ())
    is_known = key in known
    if not is_known:
        await _prepare(pgconn, known, key)
    pgconn.send_query_prepared(known[key], data, transformer.formats, Format.BINARY)
    try:
        return await _result(pgconn)
    except InvalidSqlStatementName:  # psycopg lets go of all of a session's statements after some errors
        if not is_known:
            raise
        known.clear()
    return await _execute_prepared(connection, text, transformer, data)


async def _prepare(pgconn: PGconn, known: dict[_Key, bytes], key: _Key) -> None:
    if len(known) >= PREPARED:
        oldest = next(iter(known))
        pgconn.send_query(b"deallocate " + known.pop(oldest))
        await _result(pgconn)
    name = b"senogate_%d" % next(_names)
    pgconn.send_prepare(name, key[0], key[1])
    await _result(pgconn)
    known[key] = name


async def _result(pgconn: PGconn) -> PGresult:
    """What comes of a command that has been sent. Raises what it failed with."""
    loop, socket = asyncio.get_running_loop(), pgconn.socket
    done: asyncio.Future[None] = loop.create_future()
    results: list[PGresult] = []

    def take() -> None:
        try:
            if done.done() or not _take(pgconn, results):
                return
        except Error as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    loop.add_reader(socket, take)
    try:
        if pgconn.flush():
            await _flushed(pgconn, loop, socket)
        await done
    finally:
        loop.remove_reader(socket)
    for result in results:
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
    return results[-1]


def _take(pgconn: PGconn, results: list[PGresult]) -> bool:
    """Read what has come; whether that was the last of it."""
    pgconn.consume_input()
    while not pgconn.is_busy():
        result = pgconn.get_result()
        if result is None:
            return True
        results.append(result)
    return False


async def _flushed(pgconn: PGconn, loop: asyncio.AbstractEventLoop, socket: int) -> None:
    """Send the rest of a command that the socket did not take at once."""
    while pgconn.flush():
        writable: asyncio.Future[None] = loop.create_future()
        loop.add_writer(socket, _wake, writable)
        try:
            await writable
        finally:
            loop.remove_writer(socket)


def _wake(writable: asyncio.Future[None]) -> None:
    if not writable.done():
        writable.set_result(None)


@lru_cache(1024)
def _positional(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """With PostgreSQL's own placeholders, $1 and so on, and the names of the values in their order."""
    names: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match[2]:
            return "%"
        return names.setdefault(match[1], f"${len(names) + 1}")

    return _PLACEHOLDER.sub(replace, statement).encode(), tuple(names)
