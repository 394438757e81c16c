"""`senogate token` and `senogate client`: what the administrator of a site does with tokens."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from psycopg import AsyncConnection, OperationalError

from archive import secrets
from archive.errors import NotFound, Unavailable
from archive.policy import Role
from archive.pool import connection_string
from archive.settings import Settings
from gateway import clients as registered
from gateway import oauth
from gateway.signing import SigningKeys

ADMINISTRATOR = "administrator"  # the subject of tokens that no client asked for
_T = TypeVar("_T")


def issue(settings: Settings, client_id: str | None, scope: str | None, seconds: int) -> str:
    """A token for a client, within its scope; without one, for the site's own administrator.

    Raises NotFound for a client that is unknown or revoked, BadRequest for a scope that is not its own.
    """
    allowed = _scope_of(settings, client_id) if client_id else oauth.ALL_ACTIONS
    granted = registered.narrow_scope(allowed, scope or "")
    keys = SigningKeys.load(Path(settings.secrets, secrets.SIGNING_KEY))
    roles = [] if client_id else [Role.ADMINISTRATOR]
    subject = client_id or ADMINISTRATOR
    return oauth.issue(keys, settings, subject=subject, scope=granted, ttl=seconds, roles=roles)


def add_client(settings: Settings, client_id: str, scope: str) -> str:
    """Register a client and return its secret. Raises BadRequest or Conflict."""
    return _run(settings, lambda connection: registered.create_client(connection, client_id, scope))


def clients(settings: Settings) -> list[dict[str, object]]:
    """The registered clients, revoked ones too."""
    rows = _run(settings, registered.list_clients)
    return [
        {"client_id": row.client_id, "scope": row.scope, "revoked": row.revoked_at is not None}
        for row in rows
    ]


def revoke_client(settings: Settings, client_id: str) -> None:
    """Refuse a client any further token. Raises NotFound."""
    _run(settings, lambda connection: registered.revoke_client(connection, client_id))


def _scope_of(settings: Settings, client_id: str) -> str:
    for client in _run(settings, registered.list_clients):
        if client.client_id == client_id and client.revoked_at is None:
            return client.scope
    raise NotFound("no client of this identifier, or it is revoked: `senogate client list` shows them")


def _run(settings: Settings, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    async def connected() -> _T:
        try:
            async with await AsyncConnection.connect(connection_string(settings.database_url)) as connection:
                return await work(connection)
        except OperationalError:
            raise Unavailable("PostgreSQL does not answer: is the site running?") from None

    return asyncio.run(connected())
