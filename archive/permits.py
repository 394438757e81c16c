"""Permits in PostgreSQL: asked for, decided on, valid until they expire or are revoked; and the roles of principals.

Whatever is changed here is told to all gateways when its transaction ends (`senogate_access`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from archive import announced
from archive.audit import Event, write_async
from archive.datasets import parse_name
from archive.errors import BadRequest, Conflict, NotFound, Unauthenticated
from archive.policy import Action, Grants, Permit, Role, parse_actions
from archive.pool import queries
from archive.purpose import Purpose
from archive.subjects import check_subject

_PERMIT = re.compile(r"P[0-9]{1,9}")
LONGEST = 2000  # characters of a text


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `datasets` are names, those of a frozen version with `@` and its number."""

    subject: str
    datasets: tuple[str, ...]
    purpose: Purpose
    legal_basis: str
    actions: frozenset[Action] = frozenset({Action.READ})
    hdab_identifier: str = ""
    conditions: str = ""

    def __post_init__(self) -> None:
        """Raises BadRequest for what is malformed."""
        check_subject(self.subject)
        if not self.datasets or not self.actions:
            raise BadRequest("a permit names one dataset and one action at least")
        if not self.legal_basis.strip():
            raise BadRequest("a permit has a legal basis")
        for text in (self.legal_basis, self.hdab_identifier, self.conditions):
            check_text(text)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a permit is granted. `conditions` and `actions`, where given, replace those that were asked for."""

    since: datetime | None = None
    until: datetime | None = None
    conditions: str | None = None
    actions: frozenset[Action] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """A permit in whatever state: requested, granted, expired, rejected, withdrawn or revoked."""

    permit_id: str
    subject: str
    state: str
    purpose: str
    legal_basis: str
    hdab_identifier: str
    actions: list[str]
    datasets: list[str]
    conditions: str
    requested_at: datetime
    requested_by: str
    decided_at: datetime | None
    decided_by: str | None
    reason: str
    valid_from: datetime | None
    valid_until: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role of a principal, and who gave it."""

    subject: str
    role: str
    granted_at: datetime
    granted_by: str


def check_text(text: str) -> None:
    """Raises BadRequest for a text that is too long, or has characters that no page shows."""
    if len(text) > LONGEST or any(ord(each) < 0x20 and each not in "\n\t" for each in text):
        raise BadRequest("a text has %(most)s characters at most, and no control characters", most=LONGEST)


async def grants_of(connection: AsyncConnection, subject: str) -> Grants:
    """What the site grants a principal now. Raises Unauthenticated for one that may not act any more."""
    row = await (await connection.execute(queries("permits.sql")["roles"], {"subject": subject})).fetchone()
    roles, is_active = row or ([], False)
    if not is_active:
        raise Unauthenticated("who the token speaks for is not known here any more")
    rows = await connection.execute(queries("permits.sql")["granted"], {"subject": subject})
    permits = [
        Permit(permit, purpose, parse_actions(" ".join(actions)), tuple(datasets), tuple(versions), *rest)
        for permit, purpose, actions, datasets, versions, *rest in await rows.fetchall()
    ]
    return Grants(frozenset(map(Role, roles)), tuple(permits))


async def request(connection: AsyncConnection, wanted: Wanted, *, by: str) -> str:
    """Ask for a permit; its identifier. Raises NotFound for a dataset that is none."""
    row = {
        "subject": wanted.subject,
        "purpose": wanted.purpose,
        "legal_basis": wanted.legal_basis,
        "hdab_identifier": wanted.hdab_identifier,
        "actions": sorted(wanted.actions),
        "conditions": wanted.conditions,
        "by": by,
    }
    async with connection.transaction():
        made = await (await connection.execute(queries("permits.sql")["request"], row)).fetchone()
        number, permit_id = made or (0, "")
        await name_datasets(connection, number, wanted.datasets)
        detail = {
            "for": wanted.subject,
            "purpose": str(wanted.purpose),
            "datasets": " ".join(wanted.datasets),
        }
        await write_async(connection, Event.PERMIT_REQUESTED, subject=by, permits=[permit_id], detail=detail)
        await announced.application(connection, permit_id, "requested", [wanted.subject, by])
    return str(permit_id)


async def name_datasets(connection: AsyncConnection, number: int, names: Sequence[str]) -> None:
    """Put a permit on datasets. Raises BadRequest, NotFound for one that is none."""
    for text in dict.fromkeys(names):
        name, version = parse_name(text)
        named = {"permit": number, "name": name, "version": version}
        if not (await connection.execute(queries("permits.sql")["name_dataset"], named)).rowcount:
            raise NotFound("no such dataset, or no such version of it")


async def grant(connection: AsyncConnection, permit_id: str, terms: Terms, *, by: str) -> None:
    """Grant what was requested. Raises NotFound, Conflict where it is decided already."""
    check_text(terms.reason + (terms.conditions or ""))
    actions = None if terms.actions is None else sorted(terms.actions)
    row = {"since": terms.since, "until": terms.until, "conditions": terms.conditions, "actions": actions}
    row |= {"reason": terms.reason, "by": by}
    await _decide(connection, Event.PERMIT_GRANTED, "grant", permit_id, row)


async def reject(connection: AsyncConnection, permit_id: str, reason: str, *, by: str) -> None:
    """Refuse what was requested. Raises NotFound, Conflict where it is decided already."""
    check_text(reason)
    await _decide(connection, Event.PERMIT_REJECTED, "reject", permit_id, {"reason": reason, "by": by})


async def revoke(connection: AsyncConnection, permit_id: str, reason: str, *, by: str) -> None:
    """End a permit now, everywhere. Raises NotFound, Conflict where it is not granted."""
    check_text(reason)
    await _decide(connection, Event.PERMIT_REVOKED, "revoke", permit_id, {"reason": reason, "by": by})


async def _decide(
    connection: AsyncConnection, event: Event, statement: str, permit_id: str, row: Mapping[str, object]
) -> None:
    async with connection.transaction():
        values = {**row, "permit_id": _checked(permit_id)}
        if not (await connection.execute(queries("permits.sql")[statement], values)).rowcount:
            found = await show(connection, permit_id)
            raise Conflict("the permit is %(state)s", state=found.state)
        await write_async(connection, event, subject=str(row["by"]), permits=[permit_id])
        found = await show(connection, permit_id)
        await announced.application(connection, permit_id, found.state, [found.subject, found.requested_by])


async def list_permits(
    connection: AsyncConnection, subject: str | None = None, named: Sequence[str] | None = None
) -> list[Application]:
    """All permits, those of a principal, those with these identifiers, in the order in which they were asked for."""
    if subject is not None:
        check_subject(subject)
    asked = {"permits": None if named is None else list(named), "subject": subject}
    rows = await connection.execute(queries("permits.sql")["list"], asked)
    return [Application(*row) for row in await rows.fetchall()]


async def show(connection: AsyncConnection, permit_id: str) -> Application:
    """Raises NotFound."""
    for found in await list_permits(connection, named=[_checked(permit_id)]):
        return found
    raise NotFound("no such permit")


def is_permit_id(text: str) -> bool:
    """Whether the text could be the identifier of a permit of this site."""
    return _PERMIT.fullmatch(text) is not None


def _checked(permit_id: str) -> str:
    if not is_permit_id(permit_id):
        raise NotFound("no such permit")
    return permit_id


async def add_role(connection: AsyncConnection, subject: str, role: Role, *, by: str) -> None:
    """Give a principal a role; one that it has already stays."""
    check_subject(subject)
    row = {"subject": subject, "role": role, "by": by}
    async with connection.transaction():
        await connection.execute(queries("permits.sql")["add_role"], row)
        await _tell_role(connection, subject, role, "given", by)


async def remove_role(connection: AsyncConnection, subject: str, role: Role, *, by: str) -> None:
    """Take a role from a principal. Raises NotFound where it does not have it."""
    check_subject(subject)
    row = {"subject": subject, "role": role}
    async with connection.transaction():
        if not (await connection.execute(queries("permits.sql")["remove_role"], row)).rowcount:
            raise NotFound("the principal does not have the role")
        await _tell_role(connection, subject, role, "taken", by)


async def _tell_role(connection: AsyncConnection, subject: str, role: Role, what: str, by: str) -> None:
    detail = {"of": subject, "role": str(role), "is": what}
    await write_async(connection, Event.ROLE_CHANGED, subject=by, detail=detail)


async def list_roles(connection: AsyncConnection) -> Sequence[RoleGrant]:
    """Every role that was given, by subject."""
    rows = await connection.execute(queries("permits.sql")["list_roles"])
    return [RoleGrant(*row) for row in await rows.fetchall()]
