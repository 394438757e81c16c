"""Model packages that were sent in for jobs: a passport and a network, by hash, in PostgreSQL.

Nothing in one runs before the worker has verified it (`inference.package`); here it is bytes, and their hashes.
"""

import hashlib
import re
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection

from archive import persons
from archive.audit import Detail, Event, write, write_async
from archive.errors import BadRequest, Conflict, NotFound, PayloadTooLarge
from archive.pool import queries
from archive.state_item import marked

LARGEST_PASSPORT = 64 * 1024  # bytes
LARGEST_NETWORK = 512 * 1024**2
MOST_PACKAGES = 20  # that one principal has here
_PART = 1024**2  # bytes of a row
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class JobPackage:
    """A package by the SHA-256 of its passport. `is_whole`: its network is here, too, of `size` bytes."""

    package: str
    network: str
    is_whole: bool
    size: int
    sent_at: datetime
    sent_by: str
    approved_at: datetime | None
    approved_by: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """The bytes of a package that is whole. `is_approved`: a steward has approved it by its hash."""

    passport: bytes
    network: bytes
    is_approved: bool


async def add(connection: AsyncConnection, package: str, passport: bytes, *, by: str) -> JobPackage:
    """Keep a passport under its hash; one that is here already stays as it is.

    Raises BadRequest where the hash is another's or no network is named, PayloadTooLarge, Conflict for one too many.
    """
    if len(passport) > LARGEST_PASSPORT:
        raise PayloadTooLarge("a passport has %(most)s bytes at most", most=LARGEST_PASSPORT)
    if hashlib.sha256(passport).hexdigest() != _checked(package):
        raise BadRequest("the passport's SHA-256 is not the one in the address")
    values = {"package": package, "passport": passport, "network": _network_of(passport), "by": by}
    async with connection.transaction():
        if (await _count(connection, by)) >= MOST_PACKAGES and not await _find(connection, package):
            raise Conflict("%(most)s packages of yours are here already", most=MOST_PACKAGES)
        if (await connection.execute(queries("jobs.sql")["add_package"], values)).rowcount:
            detail = {"package": package}
            await write_async(connection, Event.PACKAGE_RECEIVED, subject=by, detail=detail)
    return await show(connection, package)


async def add_network(
    connection: AsyncConnection, package: str, content: AsyncIterator[bytes], *, by: str
) -> JobPackage:
    """Keep the network that a passport names. Raises NotFound, BadRequest where it is another, PayloadTooLarge."""
    found = await show(connection, package)
    if found.sent_by != by:
        raise NotFound("no such package")
    if found.is_whole:
        return found
    digest, size, number = hashlib.sha256(), 0, 0
    async with connection.transaction():
        await connection.execute(queries("jobs.sql")["forget_parts"], {"package": package})
        async for part in _parts(content):
            size, number = size + len(part), number + 1
            digest.update(part)
            row = {"package": package, "number": number, "content": part}
            await connection.execute(queries("jobs.sql")["add_part"], row)
        if digest.hexdigest() != found.network:
            raise BadRequest("this is not the network that the passport names: its SHA-256 is another")
        await connection.execute(queries("jobs.sql")["complete_package"], {"package": package, "size": size})
    return await show(connection, package)


async def _parts(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """As large as a row may be. Raises PayloadTooLarge."""
    held, size = bytearray(), 0
    async for chunk in content:
        held += chunk
        size += len(chunk)
        if size > LARGEST_NETWORK:
            raise PayloadTooLarge("a network has %(most)s bytes at most", most=LARGEST_NETWORK)
        while len(held) >= _PART:
            yield bytes(held[:_PART])
            del held[:_PART]
    if held:
        yield bytes(held)


async def list_packages(connection: AsyncConnection, by: str | None = None) -> list[JobPackage]:
    """Those that somebody sent, or all, the newest first."""
    rows = await connection.execute(queries("jobs.sql")["packages"], {"package": None, "by": by})
    return [JobPackage(*row) for row in await rows.fetchall()]


async def show(connection: AsyncConnection, package: str) -> JobPackage:
    """Raises NotFound."""
    row = await _find(connection, package)
    if row is None:
        raise NotFound("no such package")
    return JobPackage(*row)


async def approve(connection: AsyncConnection, package: str, *, by: str) -> None:
    """Let a package run in jobs whoever signed it; jobs that waited for that are looked at anew.

    Raises NotFound, Forbidden for one's own.
    """
    values = {"package": _checked(package), "by": by}
    sender = (await show(connection, package)).sent_by
    await persons.must_be_another(connection, by, sender, what=marked("nobody decides on her own package"))
    async with connection.transaction():
        if not (await connection.execute(queries("jobs.sql")["approve_package"], values)).rowcount:
            raise NotFound("no such package")
        await connection.execute(queries("jobs.sql")["approve_waiting"], values)
        detail = {"package": package, "state": "approved"}
        await write_async(connection, Event.JOB_DECIDED, subject=by, detail=detail)


def forget_old(connection: psycopg.Connection, days: int, *, by: str) -> int:
    """Delete packages that were neither sent nor evaluated for so many days; their number. 0 days: none is deleted."""
    if not days:
        return 0
    with connection.transaction():
        gone = connection.execute(queries("jobs.sql")["forget_packages"], {"days": days}).fetchall()
        for (package,) in gone:
            detail: Detail = {"package": package, "state": "deleted"}
            write(connection, Event.JOB_DECIDED, subject=by, detail=detail)
    return len(gone)


def read(connection: psycopg.Connection, package: str) -> Received | None:
    """The bytes of a package; None where it is not here, or not whole."""
    row = connection.execute(queries("jobs.sql")["passport"], {"package": package}).fetchone()
    if row is None or not row[2]:
        return None
    parts = connection.execute(queries("jobs.sql")["parts"], {"package": package})
    return Received(bytes(row[0]), b"".join(bytes(part) for (part,) in parts), bool(row[3]))


def _network_of(passport: bytes) -> str:
    try:
        network = tomllib.loads(passport.decode())["network"]["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        network = None
    if not isinstance(network, str) or not _SHA256.fullmatch(network):
        raise BadRequest("a passport is TOML and names its network's SHA-256")
    return network


async def _find(connection: AsyncConnection, package: str) -> tuple[Any, ...] | None:
    values = {"package": _checked(package), "by": None}
    return await (await connection.execute(queries("jobs.sql")["packages"], values)).fetchone()


async def _count(connection: AsyncConnection, by: str) -> int:
    row = await (await connection.execute(queries("jobs.sql")["count_packages"], {"by": by})).fetchone()
    return int(row[0]) if row else 0


def _checked(package: str) -> str:
    if not _SHA256.fullmatch(package):
        raise NotFound("no such package")
    return package
