"""Programs that may fetch tokens (RFC 6749 section 4.4): the table `client`, secrets kept as hashes only."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from archive.errors import BadRequest, Conflict, NotFound
from archive.persons import check_identity
from archive.policy import Action
from archive.pool import queries
from archive.subjects import ADMINISTRATOR

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_NO_SECRET = bytes(32)  # what an unknown client's secret is compared with
_NO_CLIENT = "no client of this identifier, or it is revoked already: `senogate client list` shows them"


@dataclass(frozen=True, slots=True)
class Registered:
    """What a program that proved itself may have: a scope, and whether only with its certificate (RFC 8705)."""

    scope: str
    certificate_bound: bool


@dataclass(frozen=True, slots=True)
class Client:
    """A registered program; its scope is a space-separated list of actions."""

    client_id: str
    scope: str
    certificate_bound: bool
    created_at: datetime
    revoked_at: datetime | None


async def create_client(
    connection: AsyncConnection,
    client_id: str,
    scope: str,
    *,
    certificate_bound: bool = False,
    owner: str = "",
) -> str:
    """Register a program and return its secret, 256 random bits that are stored nowhere.

    `owner` is the principal who is shown it, and so can act by it, where the site knows who that is.

    Raises BadRequest for a malformed identifier or owner or an unknown scope, Conflict where the identifier is taken.
    """
    if not is_identifier(client_id) or client_id == ADMINISTRATOR:
        raise BadRequest(
            "a client's identifier takes 1 to 64 letters, digits and ._@-, and is not %(reserved)s",
            reserved=ADMINISTRATOR,
        )
    if owner not in ("", ADMINISTRATOR):
        check_identity(owner)
    wanted = narrow_scope(" ".join(Action), scope)
    secret = secrets.token_urlsafe(32)
    row = {
        "client_id": client_id,
        "secret_sha256": _hash(secret),
        "scope": wanted,
        "certificate_bound": certificate_bound,
        "owner": owner,
    }
    try:
        await connection.execute(queries("client.sql")["create_client"], row)
    except UniqueViolation:
        raise Conflict("a client of this identifier exists already") from None
    return secret


async def list_clients(connection: AsyncConnection) -> list[Client]:
    """All clients, revoked ones included, by identifier."""
    cursor = await connection.execute(queries("client.sql")["list_clients"])
    return [Client(*row) for row in await cursor.fetchall()]


async def rotate_client(connection: AsyncConnection, client_id: str, overlap: int) -> str:
    """Give a program another secret and return it; the one it had works for `overlap` seconds more. Raises NotFound."""
    secret = secrets.token_urlsafe(32)
    row = {"client_id": client_id, "secret_sha256": _hash(secret), "overlap": overlap}
    cursor = await connection.execute(queries("client.sql")["rotate_client"], row)
    if cursor.rowcount == 0:
        raise NotFound(_NO_CLIENT)
    return secret


async def revoke_client(connection: AsyncConnection, client_id: str) -> None:
    """Let a client fetch no more tokens, and let those it has do nothing any more. Raises NotFound."""
    cursor = await connection.execute(queries("client.sql")["revoke_client"], {"client_id": client_id})
    if cursor.rowcount == 0:
        raise NotFound(_NO_CLIENT)


async def authenticate_client(connection: AsyncConnection, client_id: str, secret: str) -> Registered | None:
    """What the client is registered for; None where the secret is not its own."""
    cursor = await connection.execute(queries("client.sql")["find_client"], {"client_id": client_id})
    current, previous, scope, is_bound = await cursor.fetchone() or (_NO_SECRET, None, None, False)
    given = _hash(secret)
    is_current = hmac.compare_digest(bytes(current), given)
    is_previous = hmac.compare_digest(bytes(previous or _NO_SECRET), given)
    return Registered(scope, is_bound) if scope is not None and (is_current or is_previous) else None


def is_identifier(text: str) -> bool:
    """Whether a client may have this identifier."""
    return _IDENTIFIER.fullmatch(text) is not None


def narrow_scope(registered: str, wanted: str) -> str:
    """The wanted part of a registered scope, or all of it where nothing particular is wanted.

    Raises BadRequest where more is wanted (RFC 6749 section 5.2, invalid_scope).
    """
    allowed = registered.split()
    names = wanted.split() or allowed
    if not set(names) <= set(allowed):
        raise BadRequest("the scope can be: %(actions)s", actions=registered)
    return " ".join(dict.fromkeys(names))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8")).digest()
