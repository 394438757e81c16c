"""Secrets by which a federation's mediators, which ask for counts, prove themselves; each is shown once."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from archive.errors import BadRequest, Conflict, NotFound
from archive.pool import queries

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class SearchToken:
    """A token that was made; what it is, is known to who was given it alone."""

    name: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """Whose token was shown, empty where nobody's; `any_made` tells whether there is one that could be."""

    name: str
    any_made: bool


async def add(connection: AsyncConnection, name: str, *, by: str) -> str:
    """Make a token of 256 random bits. Raises BadRequest for a name that is none, Conflict for one that is taken."""
    if not _NAME.fullmatch(name):
        raise BadRequest("a search token's name takes 1 to 64 letters, digits and ._-")
    token = secrets.token_urlsafe(32)
    row = {"name": name, "token_sha256": _hash(token), "by": by}
    try:
        await connection.execute(queries("search_token.sql")["add"], row)
    except UniqueViolation:
        raise Conflict("a search token of this name exists already, or did") from None
    return token


async def list_tokens(connection: AsyncConnection) -> list[SearchToken]:
    """All that were made, by name."""
    rows = await connection.execute(queries("search_token.sql")["list"])
    return [SearchToken(*row) for row in await rows.fetchall()]


async def revoke(connection: AsyncConnection, name: str) -> None:
    """Let a token be worth nothing from now on. Raises NotFound."""
    cursor = await connection.execute(queries("search_token.sql")["revoke"], {"name": name})
    if cursor.rowcount == 0:
        raise NotFound("no search token of this name, or it is revoked already")


async def find(connection: AsyncConnection, token: str) -> Known:
    """Whose token it is."""
    cursor = await connection.execute(queries("search_token.sql")["find"], {"token_sha256": _hash(token)})
    name, any_made = await cursor.fetchone() or (None, False)
    return Known(name or "", any_made)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
