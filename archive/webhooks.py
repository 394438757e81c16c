"""Webhooks in PostgreSQL: which address is told of which readings, on behalf of whom. Their keys are stored nowhere."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from psycopg import AsyncConnection

from archive import announced
from archive.addresses import is_allowed
from archive.datasets import parse_name
from archive.errors import BadRequest, Conflict, NotFound
from archive.permits import is_permit_id
from archive.pool import queries
from archive.subjects import check_subject
from archive.webhook_keys import SALT, Algorithm, Key

LONGEST_URL = 2000  # characters
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NO_WEBHOOK = "no webhook of this name: `senogate webhook list` shows them"


class Event(StrEnum):
    """What a webhook may be told of."""

    COMPLETED = "reading.completed"
    NOT_APPLICABLE = "reading.not_applicable"
    FAILED = "reading.failed"
    DRIFTED = announced.DRIFTED
    APPLICATION = announced.APPLICATION


READINGS = (Event.COMPLETED, Event.NOT_APPLICABLE, Event.FAILED)
"""What a webhook is told of that names nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A webhook that is asked for: its principal is told, of the studies that it may see; `permit`, `dataset` narrow.

    `dataset` is a name, of a frozen version with `@` and its number; empty: all.
    """

    name: str
    url: str
    subject: str
    events: tuple[Event, ...] = READINGS
    permit: str = ""
    dataset: str = ""
    algorithm: Algorithm = Algorithm.HMAC

    def __post_init__(self) -> None:
        """Raises BadRequest for what is malformed."""
        if not _NAME.fullmatch(self.name):
            raise BadRequest("a webhook's name takes 1 to 64 small letters, digits and ._-")
        check_url(self.url)
        check_subject(self.subject)
        if self.permit and not is_permit_id(self.permit):
            raise BadRequest("a permit is named as P17")
        if not self.events:
            raise BadRequest("a webhook wants one event at least")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is kept, what is still to be told, and how it went lately."""

    number: int
    name: str
    url: str
    subject: str
    permit: str | None
    dataset: str | None
    events: list[str]
    algorithm: str
    salt: bytes = field(repr=False)
    previous_salt: bytes | None = field(repr=False)
    created_at: datetime
    created_by: str
    waiting: int
    failures: int
    retry_at: datetime
    told_at: datetime | None
    failed_at: datetime | None
    failure: str
    given_up: int
    stopped_at: datetime | None


def check_url(url: str) -> None:
    """Raises BadRequest for an address that is not told."""
    if len(url) > LONGEST_URL or not is_allowed(url):
        raise BadRequest(
            "a webhook's URL is https, or http to this machine itself; without a user and without a fragment"
        )


def keys_of(
    site_key: bytes, algorithm: str, salt: bytes, previous_salt: bytes | None = None
) -> tuple[Key, ...]:
    """The keys that sign now: the webhook's own first, then the one before as long as it is good."""
    salts = [salt, previous_salt] if previous_salt else [salt]
    return tuple(Key.derive(site_key, bytes(each), Algorithm(algorithm)) for each in salts)


async def add(connection: AsyncConnection, wanted: Wanted, site_key: bytes, *, by: str) -> Key:
    """Keep a webhook; what signs it.

    Raises NotFound for a dataset that is none, Conflict where the name is taken.
    """
    name, version = parse_name(wanted.dataset) if wanted.dataset else ("", 0)
    dataset = {"dataset": name, "version": version}
    if name and not (await connection.execute(queries("webhook.sql")["dataset"], dataset)).rowcount:
        raise NotFound("no such dataset, or no such version of it")
    salt = secrets.token_bytes(SALT)
    row = {
        "name": wanted.name,
        "url": wanted.url,
        "subject": wanted.subject,
        "permit": wanted.permit or None,
        "events": [str(event) for event in dict.fromkeys(wanted.events)],
        "algorithm": str(wanted.algorithm),
        "salt": salt,
        "by": by,
    }
    if not (await connection.execute(queries("webhook.sql")["add"], row | dataset)).rowcount:
        raise Conflict("a webhook of this name exists already")
    return Key.derive(site_key, salt, wanted.algorithm)


async def list_webhooks(connection: AsyncConnection, name: str | None = None) -> Sequence[Webhook]:
    """All webhooks by name, or the one of a name."""
    rows = await connection.execute(queries("webhook.sql")["list"], {"name": name})
    return [Webhook(*row) for row in await rows.fetchall()]


async def show(connection: AsyncConnection, name: str) -> Webhook:
    """Raises NotFound."""
    for webhook in await list_webhooks(connection, name):
        return webhook
    raise NotFound(_NO_WEBHOOK)


async def rotate(connection: AsyncConnection, name: str, overlap: int, site_key: bytes) -> Key:
    """Give a webhook another key; the one before signs as well for `overlap` seconds. Raises NotFound."""
    salt = secrets.token_bytes(SALT)
    row = {"name": name, "overlap": overlap, "salt": salt}
    await connection.execute(queries("webhook.sql")["rotate"], row)
    return Key.derive(site_key, salt, Algorithm((await show(connection, name)).algorithm))


async def remove(connection: AsyncConnection, name: str) -> None:
    """Forget a webhook and what it is still to be told. Raises NotFound."""
    if not (await connection.execute(queries("webhook.sql")["remove"], {"name": name})).rowcount:
        raise NotFound(_NO_WEBHOOK)
