"""Which principals are one person's, as far as the site knows: a program whose secret a person was shown, and
identities that an administrator linked. So nobody decides by one identity on what she asked for by another.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from archive.audit import Event, write_async
from archive.errors import BadRequest, Forbidden, NotFound
from archive.pool import queries
from archive.subjects import ADMINISTRATOR, check_subject

_IDENTITY = re.compile(r"(?:client|account|os):.+|[^#]+://[^#]+#.+")


@dataclass(frozen=True, slots=True)
class Link:
    """An identity of a person, whom a UUID stands for."""

    subject: str
    person: str
    linked_at: datetime
    linked_by: str


async def must_be_another(connection: AsyncConnection, by: str, *asked: str, what: str) -> None:
    """Raises Forbidden, with the text `what`, where who decides is a person who asked.

    Who holds the site's own key decides on everything: that is on record.
    """
    if await hers(connection, by, asked):
        raise Forbidden(what)


async def hers(connection: AsyncConnection, one: str, others: Iterable[str]) -> frozenset[str]:
    """Those of `others` that are the same person as `one`; none to who holds the site's own key."""
    named = frozenset(others)
    if one == ADMINISTRATOR or not named:
        return frozenset()
    values = {"one": one, "others": list(named)}
    rows = await (await connection.execute(queries("persons.sql")["same_person"], values)).fetchall()
    return frozenset(name for (name,) in rows) | (named & {one})


async def person_of(connection: AsyncConnection, subject: str) -> str:
    """What stands for the person whose identity or program it is: the same for all of hers."""
    row = await (await connection.execute(queries("persons.sql")["person"], {"subject": subject})).fetchone()
    return str(row[0]) if row else subject


def check_identity(subject: str) -> None:
    """Raises BadRequest for what no one is known by here: what it was meant for would hold for nobody."""
    check_subject(subject)
    if not _IDENTITY.fullmatch(subject):
        raise BadRequest("a principal is client:ID, account:NAME or ISSUER#SUB")


async def link(connection: AsyncConnection, one: str, other: str, *, by: str) -> None:
    """Say that two identities, and all that are linked to either, are one person's. Raises BadRequest."""
    for subject in (one, other):
        check_identity(subject)
    if one == other:
        raise BadRequest("name two identities")
    async with connection.transaction():
        await connection.execute(queries("persons.sql")["link"], {"one": one, "other": other, "by": by})
        detail = {"account": one, "change": "linked", "to": other}
        await write_async(connection, Event.ACCOUNT_CHANGED, subject=by, detail=detail)


async def unlink(connection: AsyncConnection, subject: str, *, by: str) -> None:
    """Say that an identity is nobody else's. Raises NotFound where it was not linked."""
    async with connection.transaction():
        if not (await connection.execute(queries("persons.sql")["unlink"], {"subject": subject})).rowcount:
            raise NotFound("the identity is linked to none")
        detail = {"account": subject, "change": "unlinked"}
        await write_async(connection, Event.ACCOUNT_CHANGED, subject=by, detail=detail)


async def list_links(connection: AsyncConnection) -> list[Link]:
    """All, by person."""
    rows = await (await connection.execute(queries("persons.sql")["list"])).fetchall()
    return [Link(*row) for row in rows]
