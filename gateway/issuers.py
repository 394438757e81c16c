"""The OpenID providers elsewhere that a site trusts: registered by its administrator, known to every gateway."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from archive.addresses import is_allowed
from archive.errors import BadRequest, Conflict, NotFound
from archive.policy import Action, Role
from archive.pool import queries
from gateway.provider import Configured, Provider, RoleRule

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

LOOK_INTERVAL = 0.5  # seconds between two looks at what is registered
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Issuers:
    """The registered providers, each with what it publishes."""

    def __init__(self, connect: Connect, authorities: str = "") -> None:
        self._connect = connect
        self._authorities = authorities
        self._providers: dict[str, Provider] = {}  # by URL
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def find(self, url: str) -> Provider | None:
        """The provider whose tokens have this `iss`, letter for letter. Raises Unavailable."""
        await self._look()
        return self._providers.get(url)

    async def named(self, name: str) -> Provider:
        """The provider that people sign in by under this name. Raises NotFound, Unavailable."""
        for provider in await self.with_sign_in():
            if provider.configured.name == name:
                return provider
        raise NotFound("nobody signs in by that name here")

    async def with_sign_in(self) -> list[Provider]:
        """Those by which people sign in, in the order of their names. Raises Unavailable."""
        await self._look()
        found = [provider for provider in self._providers.values() if provider.configured.client_id]
        return sorted(found, key=lambda provider: provider.configured.name)

    async def _look(self) -> None:
        """Read what is registered, unless that was done a moment ago; who is as before keeps what it published."""
        if time.monotonic() - self._looked_at < LOOK_INTERVAL:
            return
        async with self._looking:
            if time.monotonic() - self._looked_at < LOOK_INTERVAL:
                return
            async with self._connect() as connection:
                configured = await list_issuers(connection)
            self._looked_at = time.monotonic()
            known = {provider.configured: provider for provider in self._providers.values()}
            self._providers = {
                each.url: known.get(each) or Provider(each, self._authorities) for each in configured
            }


async def add_issuer(connection: AsyncConnection, configured: Configured, own_url: str) -> None:
    """Trust a provider. Raises BadRequest for what can't be right, Conflict for a name or address that is taken."""
    _check(configured, own_url)
    rules = [{"claim": rule.claim, "value": rule.value, "role": rule.role} for rule in configured.roles]
    row = {
        "name": configured.name,
        "url": configured.url,
        "audience": configured.audience,
        "roles": Jsonb(rules),
    }
    row |= {"client_id": configured.client_id, "scope": configured.scope}
    try:
        await connection.execute(queries("issuer.sql")["add_issuer"], row)
    except UniqueViolation:
        raise Conflict("an issuer of this name or address is registered already") from None


async def list_issuers(connection: AsyncConnection) -> list[Configured]:
    """All that are registered, by name."""
    cursor = await connection.execute(queries("issuer.sql")["list_issuers"])
    return [replace(Configured(*plain), roles=_rules(roles)) async for *plain, roles in cursor]


async def remove_issuer(connection: AsyncConnection, name: str) -> None:
    """Trust it no more: its tokens are worth nothing, and who signed in by it is signed out. Raises NotFound."""
    cursor = await connection.execute(queries("issuer.sql")["remove_issuer"], {"name": name})
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("no issuer of this name: `senogate issuer list` shows them")
    await connection.execute(queries("issuer.sql")["end_sessions_of_issuer"], {"url": row[0]})


def parse_rule(text: str) -> RoleRule:
    """`CLAIM=VALUE:ROLE`, such as `groups=/radiology:clinician`. Raises BadRequest."""
    claim, equals, rest = text.partition("=")
    value, colon, role = rest.rpartition(":")
    if not (claim and equals and value and colon) or role not in list(Role):
        raise BadRequest(f"write a role as CLAIM=VALUE:ROLE; the roles are {', '.join(Role)}")
    return RoleRule(claim, value, Role(role))


def _check(configured: Configured, own_url: str) -> None:
    if not _NAME.fullmatch(configured.name):
        raise BadRequest("an issuer's name takes 1 to 32 small letters, digits and dashes")
    if not is_allowed(configured.url) or "?" in configured.url:
        raise BadRequest("an issuer's address is an https URL without query and fragment")
    if configured.url == own_url:
        raise BadRequest("this is the site's own address")
    if not configured.audience and not configured.client_id:
        raise BadRequest(
            "name the audience of its access tokens, or the client_id of this site there, or both"
        )
    if not set(configured.scope.split()) <= set(Action):
        raise BadRequest(f"the scope can be: {' '.join(Action)}")


def _rules(rows: Iterable[dict[str, str]]) -> tuple[RoleRule, ...]:
    return tuple(RoleRule(row["claim"], row["value"], Role(row["role"])) for row in rows)
