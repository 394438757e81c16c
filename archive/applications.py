"""Applications for permits: what somebody asks for and why, what is said of it, and how it is decided on.

An application is a permit that was requested (`archive.permits`), and bears its identifier. What is asked for may be
changed while it is reviewed; each revision stays on record, and a vote is for the revision that it was given on.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, time
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from archive import announced, permits, persons, rules
from archive.audit import Event, write_async
from archive.errors import BadRequest, Conflict, Forbidden, NotFound
from archive.permits import Terms, Wanted, check_text
from archive.pool import queries
from archive.proposals import Case, Kind, Proposal, Review, Told
from archive.state_item import marked

MOST_WAITING = 100  # applications of one who asks
MOST_EVENTS = 500  # of one application


async def apply(connection: AsyncConnection, proposal: Proposal, *, by: str) -> str:
    """Ask; the identifier.

    Raises BadRequest, NotFound for a dataset that is none, Conflict where the rules are not the newest.
    """
    async with connection.transaction():
        (waiting,) = await _one(connection, "waiting_of", by=by)
        if waiting >= MOST_WAITING:
            raise Conflict("%(most)s applications wait already: withdraw some", most=MOST_WAITING)
        permit_id = await permits.request(connection, proposal.wanted, by=by)
        held = await _lock(connection, permit_id)
        await _revise(connection, held, proposal, 1, by)
    return permit_id


async def change(connection: AsyncConnection, permit_id: str, proposal: Proposal, *, by: str) -> None:
    """Change what is asked for, where changes were asked for. Raises as `apply` does, and Forbidden, Conflict."""
    async with _changing(connection, permit_id, "changed", by) as held:
        _must_be_own(held, by)
        if held.review != Review.CHANGES_ASKED:
            raise Conflict("an application is changed when a steward asked for it")
        if proposal.wanted.subject != held.subject:
            raise BadRequest("whom the permit is for stays as it is")
        wanted = proposal.wanted
        asked = {name: value for name, value in _permitted(wanted).items() if name != "datasets"}
        await _execute(connection, "ask_otherwise", permit=held.number, **asked)
        await _execute(connection, "name_no_dataset", permit=held.number)
        await permits.name_datasets(connection, held.number, wanted.datasets)
        await _revise(connection, held, proposal, held.revision + 1, by)
        await _execute(connection, "review", permit=held.number, review=Review.IN_REVIEW)
        await _tell(connection, held._replace(revision=held.revision + 1), Kind.CHANGED, "", by)


async def say(connection: AsyncConnection, permit_id: str, text: str, *, by: str) -> None:
    """Write to the other side. Raises BadRequest, Conflict where it is over."""
    _must_say(text)
    async with _changing(connection, permit_id, "message", by, states=("requested", "granted")) as held:
        await _tell(connection, held, Kind.MESSAGE, text, by)


async def review(connection: AsyncConnection, permit_id: str, *, by: str) -> None:
    """Begin the review. Raises Conflict where it has begun, Forbidden for one's own."""
    async with _changing(connection, permit_id, "in-review", by) as held:
        await _must_not_be_own(connection, held, by)
        if held.review != Review.RECEIVED:
            raise Conflict("its review has begun")
        await _execute(connection, "review", permit=held.number, review=Review.IN_REVIEW)
        await _tell(connection, held, Kind.IN_REVIEW, "", by)


async def ask_changes(connection: AsyncConnection, permit_id: str, text: str, *, by: str) -> None:
    """Ask the applicant back. Raises BadRequest without a text, Conflict, Forbidden for one's own."""
    _must_say(text)
    async with _changing(connection, permit_id, "changes-asked", by) as held:
        await _must_not_be_own(connection, held, by)
        if held.revision == 0:
            raise Conflict("it was asked for without a form, and can't be changed: reject it")
        await _execute(connection, "review", permit=held.number, review=Review.CHANGES_ASKED)
        await _tell(connection, held, Kind.CHANGES_ASKED, text, by)


async def vote(
    connection: AsyncConnection,
    permit_id: str,
    *,
    in_favour: bool,
    reason: str = "",
    read: int | None = None,
    by: str,
) -> None:
    """Vote on the newest revision, once by all of one's identities; on no other than `read`, where that is said.

    Raises Conflict for a second vote and for another revision, Forbidden for one's own application.
    """
    check_text(reason)
    kind = Kind.FOR if in_favour else Kind.AGAINST
    async with _changing(connection, permit_id, "voted", by) as held:
        await _must_not_be_own(connection, held, by)
        _must_be_newest(held, read)
        if held.review == Review.CHANGES_ASKED:
            raise Conflict("changes were asked for: vote when they are made")
        (voted,) = await _one(connection, "has_voted", permit=held.number, revision=held.revision, by=by)
        if voted:
            raise Conflict("you have voted on it already")
        await _tell(connection, held, kind, reason, by)


async def withdraw(connection: AsyncConnection, permit_id: str, *, by: str) -> None:
    """Take one's application back; a permit that was granted ends. Raises Forbidden, Conflict."""
    async with connection.transaction():
        held = await _lock(connection, permit_id)
        _must_be_own(held, by)
        if held.state == "granted":
            await permits.revoke(connection, permit_id, "given back", by=by)
        elif held.state == "requested":
            await _execute(connection, "withdraw", permit=held.number, by=by)
            await write_async(connection, Event.PERMIT_WITHDRAWN, subject=by, permits=[permit_id])
            await announced.application(connection, permit_id, "withdrawn", [held.subject, held.requested_by])
        else:
            raise Conflict("the permit is %(state)s", state=held.state)


async def grant(
    connection: AsyncConnection,
    permit_id: str,
    terms: Terms,
    *,
    votes_needed: int = 0,
    read: int | None = None,
    by: str,
) -> None:
    """Grant the permit as it was asked for, or narrower.

    Raises NotFound, Forbidden for one's own, Conflict where it is decided, where more votes for it than against it are
    missing to be `votes_needed`, where the terms are wider than what was asked for, and where there is a newer revision
    than the one that was `read`.
    """
    async with connection.transaction():
        held = await _lock(connection, permit_id)
        await _must_not_be_own(connection, held, by)
        _must_be_newest(held, read)
        if held.state == "requested":
            case = await find(connection, permit_id)
            in_favour, against = await _one(connection, "votes", permit=held.number, revision=held.revision)
            if in_favour < votes_needed or (votes_needed and against >= in_favour):
                raise Conflict(
                    "%(needed)s votes for it, and more than against it, are needed: %(votes)s to %(against)s",
                    needed=votes_needed,
                    votes=in_favour,
                    against=against,
                )
            if held.review == Review.CHANGES_ASKED:
                raise Conflict("changes were asked for, and are not made")
            terms = _narrowed(case, terms) if held.revision else terms
        await permits.grant(connection, permit_id, terms, by=by)


async def reject(connection: AsyncConnection, permit_id: str, reason: str, *, by: str) -> None:
    """Refuse it. Raises NotFound, Forbidden for one's own, Conflict where it is decided."""
    async with connection.transaction():
        await _must_not_be_own(connection, await _lock(connection, permit_id), by)
        await permits.reject(connection, permit_id, reason, by=by)


def _narrowed(case: Case, terms: Terms) -> Terms:
    """The terms, with the days that were asked for where they name none. Raises Conflict where they are wider."""
    first = datetime.combine(case.starts, time.min, UTC) if case.starts else None
    last = datetime.combine(case.ends, time.max, UTC) if case.ends else None
    since, until = terms.since or first, terms.until or last
    is_wider = (
        (first and since and since < first)
        or (last and until and until > last)
        or (terms.actions is not None and not terms.actions <= set(case.permit.actions))
    )
    if is_wider:
        raise Conflict("a permit is granted as it was asked for, or narrower")
    if since and until and until <= since:
        raise BadRequest("the permit would end before it begins")
    return Terms(since, until, terms.conditions, terms.actions, terms.reason)


async def find(connection: AsyncConnection, permit_id: str) -> Case:
    """Raises NotFound."""
    permit = await permits.show(connection, permit_id)
    return Case(
        permit, *(await _one(connection, "list", permit_id=permit_id, subject=None, is_waiting=False))[1:]
    )


async def told(connection: AsyncConnection, permit_id: str) -> list[Told]:
    """What was said and done, the first first."""
    rows = await _execute(connection, "events", permit_id=permit_id)
    return [Told(*row) for row in await rows.fetchall()]


async def list_cases(
    connection: AsyncConnection, subject: str | None = None, *, is_waiting: bool = False
) -> list[Case]:
    """All, or those that are for a principal or were asked for by it; `is_waiting`: that nobody has decided on."""
    rows = await _execute(connection, "list", permit_id=None, subject=subject, is_waiting=is_waiting)
    said = {row[0]: row[1:] for row in await rows.fetchall()}
    found = await permits.list_permits(connection, named=list(said))
    return [Case(each, *said[each.permit_id]) for each in found]


class _Held(NamedTuple):
    number: int
    subject: str
    requested_by: str
    state: str
    review: str
    revision: int


async def _lock(connection: AsyncConnection, permit_id: str) -> _Held:
    if not permits.is_permit_id(permit_id):
        raise NotFound("no such permit")
    row = await (await _execute(connection, "lock", permit_id=permit_id)).fetchone()
    if row is None:
        raise NotFound("no such permit")
    return _Held(*row)


@asynccontextmanager
async def _changing(
    connection: AsyncConnection,
    permit_id: str,
    what: str,
    by: str,
    *,
    states: Sequence[str] = ("requested",),
) -> AsyncIterator[_Held]:
    """One transaction, in which nobody else changes the application, with a record of what was changed."""
    async with connection.transaction():
        held = await _lock(connection, permit_id)
        if held.state not in states:
            raise Conflict("the permit is %(state)s", state=held.state)
        (events,) = await _one(connection, "events_of", permit=held.number)
        if events >= MOST_EVENTS:
            raise Conflict("no more can be said of this application")
        yield held
        detail = {"change": what}
        await write_async(
            connection, Event.APPLICATION_CHANGED, subject=by, permits=[permit_id], detail=detail
        )
        hearers = [] if what == "voted" else [held.subject, held.requested_by]
        await announced.application(connection, permit_id, what, hearers)


def _must_be_own(held: _Held, by: str) -> None:
    if by not in (held.subject, held.requested_by):
        raise Forbidden("only who asked changes what is asked for")


async def _must_not_be_own(connection: AsyncConnection, held: _Held, by: str) -> None:
    """Nobody decides on what she asked for, nor on what is for her, by whichever of her identities and programs."""
    await persons.must_be_another(
        connection, by, held.subject, held.requested_by, what=marked("nobody decides on her own application")
    )


def _must_be_newest(held: _Held, read: int | None) -> None:
    if read not in (None, held.revision):
        raise Conflict("it was changed meanwhile: read it again")


def _must_say(text: str) -> None:
    check_text(text)
    if not text.strip():
        raise BadRequest("write something")


async def _revise(
    connection: AsyncConnection, held: _Held, proposal: Proposal, revision: int, by: str
) -> None:
    newest = await rules.newest(connection)
    if newest and proposal.rules != newest.version:
        raise Conflict("agree to the newest version of the rules of participation")
    await _execute(
        connection,
        "revise",
        permit=held.number,
        revision=revision,
        title=proposal.title,
        protocol=proposal.protocol,
        people=proposal.people,
        starts=proposal.starts,
        ends=proposal.ends,
        rules=newest and newest.number,
        permitted=json.dumps(_permitted(proposal.wanted)),
        by=by,
    )


def _permitted(wanted: Wanted) -> dict[str, Any]:
    asked = asdict(wanted) | {"actions": sorted(wanted.actions), "datasets": list(wanted.datasets)}
    del asked["subject"]
    return asked


async def _tell(connection: AsyncConnection, held: _Held, kind: Kind, text: str, by: str) -> None:
    row = {"permit": held.number, "revision": held.revision, "by": by, "kind": kind, "text": text}
    await _execute(connection, "tell", **row)


async def _one(connection: AsyncConnection, name: str, **values: Any) -> tuple[Any, ...]:
    row = await (await _execute(connection, name, **values)).fetchone()
    assert row is not None
    return tuple(row)


async def _execute(connection: AsyncConnection, name: str, **values: Any) -> Any:
    return await connection.execute(queries("applications.sql")[name], values)
