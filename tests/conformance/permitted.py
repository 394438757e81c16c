"""Principals with permits at a gateway over a known index."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx
from psycopg import AsyncConnection

from archive import datasets, permits
from archive.permits import Terms, Wanted
from archive.policy import Action
from archive.purpose import Purpose
from archive.settings import Settings
from gateway import issuing, oauth

BY = "os:tester"
READ_WRITE = frozenset({Action.READ, Action.WRITE})


def run(settings: Settings, work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
    """Do the work on a connection of its own."""

    async def connected() -> Any:
        async with await AsyncConnection.connect(settings.database_url, autocommit=True) as connection:
            return await work(connection)

    return asyncio.run(connected())


def dataset(settings: Settings, query: str) -> str:
    """A new dataset; its name."""
    name = f"d{uuid.uuid4().hex[:12]}"
    run(settings, lambda connection: datasets.create(connection, name, query, by=BY))
    return name


class Holder:
    """A program that is registered at a gateway, sees nothing of itself, and may hold permits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client_id = f"c{uuid.uuid4().hex[:12]}"
        self.subject = f"client:{self.client_id}"
        self._execute(
            "insert into client (client_id, secret_sha256, scope) values (%s, '', '')", self.client_id
        )

    def permit(
        self,
        *names: str,
        until: datetime | None = None,
        actions: frozenset[Action] = READ_WRITE,
        purpose: Purpose = Purpose.RESEARCH,
    ) -> str:
        """A permit on datasets, granted."""
        wanted = Wanted(self.subject, names, purpose, "GDPR 6(1)(e)", actions)

        async def grant(connection: AsyncConnection) -> str:
            permit_id = await permits.request(connection, wanted, by=BY)
            await permits.grant(connection, permit_id, Terms(until=until), by=BY)
            return permit_id

        return run(self.settings, grant)

    def revoke(self, permit_id: str) -> None:
        run(self.settings, lambda connection: permits.revoke(connection, permit_id, "", by=BY))

    def expire(self, permit_id: str) -> None:
        self._execute("update permit set valid_until = now() where permit_id = %s", permit_id)

    def leave(self) -> None:
        """Be registered no more."""
        self._execute("update client set revoked_at = now() where client_id = %s", self.client_id)

    def _execute(self, statement: str, value: str) -> None:
        run(self.settings, lambda connection: connection.execute(statement.encode(), [value]))

    def token(
        self, scope: str = issuing.ALL_ACTIONS, permit: str | None = None, purpose: str | None = None
    ) -> str:
        keys = oauth.SigningKeys.load(self.settings.home / "signing.pem")
        named = {"scope": scope, "permit": permit, "purpose": purpose}
        return oauth.issue(keys, self.settings, subject=self.client_id, **named)

    def client(self, **token: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(**token)}"}
        return httpx.Client(
            base_url=self.settings.dicomweb_url, headers=headers, timeout=30, trust_env=False, verify=False
        )


def studies(client: httpx.Client, path: str = "/studies") -> list[str]:
    """The Study Instance UIDs of a search's answer, in its order."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return [row["0020000D"]["Value"][0] for row in answer.json()]
