"""The worklist in PostgreSQL: workitems, who is told of their events, and the readings that they ask this site for."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.types.json import Jsonb

from archive import readings
from archive import workitem as ups
from archive.attributes import Level, tag
from archive.conditions import Parameters, every, match_attribute
from archive.dicom_json import decode, encode
from archive.errors import BadRequest, Conflict, NotFound
from archive.json_values import Attributes
from archive.listing import restrict
from archive.policy import Scope
from archive.pool import queries
from archive.query import Query, parse_parameters, parse_query
from archive.resource import Resource
from archive.search import Page, find
from archive.workitem import FILTERED_WORKLIST, GLOBAL_WORKLIST, Event, State, Workitem

EVENTS = "workitem_event"
"""The channel on which PostgreSQL names a subscriber for whom an event has come."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the worklist: the studies whose workitems it may see, beside those of no study that it made."""

    scope: Scope
    subject: str

    def table(self, parameters: Parameters) -> str:
        """All workitems as a table `workitem`, whose `known_uid` and attributes have the UID that the viewer knows."""
        is_given = f"created_by = {parameters.add(self.subject)} and given_uid is not null"
        own = "jsonb_set(attributes, '{00080018,Value,0}', to_jsonb(given_uid))"
        return f"""(
            select sop_instance_uid, state, transaction_uid, performed_here, studies, created_by, changed_at,
                case when {is_given} then given_uid else sop_instance_uid end as known_uid,
                case when {is_given} then {own} else attributes end as attributes
            from workitem) workitem"""  # noqa: S608

    def condition(self, parameters: Parameters) -> str:
        """The workitems that it sees, as a condition on the table `workitem`.

        Another's that has the UID under which it made one itself is none: to it that UID names its own.
        """
        named = "from jsonb_array_elements_text(workitem.studies) named left join study on study_instance_uid = named"
        subject = parameters.add(self.subject)
        mine = f"""not exists (
            select from workitem mine
            where mine.created_by = {subject} and mine.given_uid = workitem.sop_instance_uid)"""
        if self.scope.everything:
            return f"{mine} and not exists (select {named} where study.withheld)"
        hidden = f"not exists (select {named} where not coalesce({restrict(self.scope, parameters)}, false))"
        own = f"workitem.created_by = {subject}"
        return f"{mine} and (workitem.studies <> '[]' or {own}) and {hidden}"

    def subscriber(self, name: str) -> str:
        """A subscriber's name as it is kept: each who does not see everything has names of its own."""
        return name if self.scope.everything else f"{self.subject} {name}"

    def own(self, uid: str) -> str:
        """The site's own UID of the workitem that the viewer made under this one when it did not see everything.

        Nobody else knows it by the UID that was given, so that none is taken by one that is not seen.
        """
        digest = hashlib.sha256(f"workitem {self.subject} {uid}".encode()).digest()
        return f"2.25.{int.from_bytes(digest[:16])}"


_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")


async def create(connection: AsyncConnection, viewer: Viewer, uid: str, payload: Attributes) -> None:
    """Add a workitem, and make the readings due that it asks this site for.

    Raises BadRequest, Conflict where the viewer has a workitem of that UID.
    """
    if await _find(connection, viewer, uid):
        raise Conflict("a workitem of this UID exists already")
    is_given = not viewer.scope.everything
    kept_as = viewer.own(uid) if is_given else uid
    reading = ups.reading_of(payload)
    patient = await patient_of(connection, viewer.scope, reading.study_instance_uid) if reading else {}
    created = ups.create(kept_as, payload, patient)
    async with connection.transaction():
        await add(connection, kept_as, created, reading, by=viewer.subject, given=uid if is_given else None)
        if reading:
            row = {"study_instance_uid": reading.study_instance_uid, "task": str(reading.task)}
            if not (await _execute(connection, "want_readings", row)).rowcount:
                raise BadRequest("the study that is to be read has no images here")
            await connection.execute(queries("reading.sql")["announce"], {"change": readings.DUE})


async def add(
    connection: AsyncConnection,
    uid: str,
    created: Workitem,
    reading: ups.Reading | None,
    *,
    by: str,
    given: str | None = None,
) -> None:
    """Keep a workitem, and tell those who subscribe to worklists. Raises Conflict where its UID is taken."""
    row = {
        "workitem": uid,
        "attributes": Jsonb(created.attributes),
        "study_instance_uid": reading and reading.study_instance_uid,
        "task": reading and str(reading.task),
        "created_by": by,
        "given_uid": given,
    }
    if not (await _execute(connection, "create", row)).rowcount:
        raise Conflict("a workitem of this UID exists already")
    await _execute(connection, "forget_events", {})
    for subscriber in await _subscribers_of_worklists(connection, uid):
        row = {"subscriber": subscriber, "workitem": uid, "filter": "", "deletion_lock": False}
        await _execute(connection, "subscribe", row)
    await _tell(connection, uid, ups.report(uid, Event.STATE, created))


async def _find(connection: AsyncConnection, viewer: Viewer, uid: str) -> str | None:
    """The site's own UID of the workitem that the viewer sees under this one; None without one."""
    row = {"workitem": uid, "own": viewer.own(uid)}
    found = await _fetch_seen(connection, viewer, "find", row)
    return found[0][0] if found else None


async def _seen(connection: AsyncConnection, viewer: Viewer, uid: str) -> str:
    """As `_find`. Raises NotFound without one."""
    found = await _find(connection, viewer, uid)
    if found is None:
        raise NotFound("no such workitem")
    return found


async def patient_of(connection: AsyncConnection, scope: Scope, study_instance_uid: str) -> Attributes:
    """The patient's attributes as the study has them, which are pseudonymous."""
    page = await find(connection, scope, Resource(study_instance_uid), Query(Level.STUDY, limit=1))
    if not page.rows:
        raise BadRequest("the study that is to be read is not here")
    study = decode(page.rows[0])
    return {tag(keyword): study[tag(keyword)] for keyword in _PATIENT if tag(keyword) in study}


async def retrieve(connection: AsyncConnection, viewer: Viewer, uid: str) -> Workitem:
    """Raises NotFound."""
    return await _read(connection, "retrieve", viewer, await _seen(connection, viewer, uid))


async def change(
    connection: AsyncConnection,
    viewer: Viewer | None,
    uid: str,
    make: Callable[[Workitem], Workitem | None],
) -> Workitem | None:
    """Change a workitem by a function of what it is now, and tell its subscribers; None where that left it alone.

    Without a viewer the site itself changes it. Raises NotFound, and what the function raises.
    """
    async with connection.transaction():
        uid = await _seen(connection, viewer, uid) if viewer else uid
        before = await _read(connection, "retrieve_to_change", viewer, uid)
        after = make(before)
        if after is None or after == before:
            return after
        row = {
            "workitem": uid,
            "state": after.state,
            "transaction_uid": after.transaction_uid,
            "attributes": Jsonb(after.attributes | {tag("SOPInstanceUID"): ups.attribute("UI", uid)}),
            "performed_here": after.performed_here,
        }
        await _execute(connection, "change", row)
        await _tell(connection, uid, ups.report(uid, _event(before, after), after))
        return after


def _event(before: Workitem, after: Workitem) -> Event:
    return Event.STATE if before.state != after.state else Event.PROGRESS


async def tell_cancel_requested(
    connection: AsyncConnection, viewer: Viewer, uid: str, asked: Attributes
) -> None:
    """Pass the wish to cancel on to the subscribers, of whom one may be the performer. Raises Conflict without any."""
    uid = await _seen(connection, viewer, uid)
    found = await _read(connection, "retrieve", viewer, uid)
    reached = await _tell(connection, uid, ups.report(uid, Event.CANCEL_REQUESTED, found, asked))
    if not reached:
        raise Conflict("The performer cannot be contacted.")


async def search(connection: AsyncConnection, viewer: Viewer, query: Query) -> Page:
    """The workitems that match, the last changed first."""
    row = {"limit": query.page_size + 1, "offset": query.offset}
    rows = await _fetch_seen(connection, viewer, "search", row, query)
    page = [attributes for (attributes,) in rows[: query.page_size]]
    studies = [study for attributes in page for study in ups.studies_of(attributes)]
    return Page([encode(attributes) for attributes in page], len(rows) > query.page_size, studies)


async def subscribe(
    connection: AsyncConnection,
    viewer: Viewer,
    name: str,
    uid: str,
    *,
    deletion_lock: bool,
    filter_text: str = "",
) -> None:
    """Tell a subscriber of a workitem's events, or of those of all workitems that are there and that will come.

    Raises NotFound for a workitem that is none, BadRequest for a filter that is none.
    """
    subscriber = viewer.subscriber(name)
    if uid not in (GLOBAL_WORKLIST, FILTERED_WORKLIST):
        uid = await _seen(connection, viewer, uid)
    row: dict[str, Any] = {"subscriber": subscriber, "workitem": uid, "filter": filter_text}
    row |= {"deletion_lock": deletion_lock}
    if uid not in (GLOBAL_WORKLIST, FILTERED_WORKLIST):
        async with connection.transaction():
            found = await _read(connection, "retrieve", viewer, uid)
            await _execute(connection, "subscribe", row)
            await _add_event(connection, subscriber, uid, ups.report(uid, Event.STATE, found))
        return
    async with connection.transaction():
        await _execute(connection, "subscribe", row)
        await _of_seen(connection, viewer, "subscribe_to_all", row, _filter(filter_text))


async def unsubscribe(connection: AsyncConnection, viewer: Viewer, name: str, uid: str) -> None:
    """Raises NotFound where there is no such subscription."""
    async with connection.transaction():
        named = await _find(connection, viewer, uid) or uid
        row = {"subscriber": viewer.subscriber(name), "workitem": named}
        if not (await _execute(connection, "unsubscribe", row)).rowcount:
            raise NotFound("no such subscription")
        if uid in (GLOBAL_WORKLIST, FILTERED_WORKLIST):
            await _execute(connection, "unsubscribe_from_all", row)


async def suspend(connection: AsyncConnection, viewer: Viewer, name: str, uid: str) -> None:
    """Tell a subscriber of no further workitems; of those that it is told of it still is. Raises NotFound."""
    row = {"subscriber": viewer.subscriber(name), "workitem": uid}
    if not (await _execute(connection, "unsubscribe", row)).rowcount:
        raise NotFound("no such subscription")


async def take_events(connection: AsyncConnection, viewer: Viewer, name: str) -> list[str]:
    """The Event Reports that the subscriber has not been sent yet, in their order; they are forgotten.

    Those of workitems that the viewer does not see are forgotten as well.
    """
    row = {"subscriber": viewer.subscriber(name)}
    return [report for (report,) in await _fetch_seen(connection, viewer, "take_events", row)]


async def _read(connection: AsyncConnection, name: str, viewer: Viewer | None, uid: str) -> Workitem:
    row = {"workitem": uid}
    if viewer:
        rows = await _fetch_seen(connection, viewer, name, row)
    else:
        statement = queries("ups.sql")[name].format(workitem="workitem", matches="true")
        rows = await (await connection.execute(statement.encode(), row)).fetchall()
    if not rows:
        raise NotFound("no such workitem")
    ((state, *rest),) = rows
    return Workitem(State(state), *rest)


async def _fetch_seen(
    connection: AsyncConnection, viewer: Viewer, name: str, row: dict[str, Any], query: Query | None = None
) -> list[tuple[Any, ...]]:
    return await (await _of_seen(connection, viewer, name, row, query)).fetchall()


async def _of_seen(
    connection: AsyncConnection, viewer: Viewer, name: str, row: dict[str, Any], query: Query | None = None
) -> AsyncCursor:
    """Execute a statement on the workitems that the viewer sees, and that match."""
    parameters = Parameters()
    conditions = [viewer.condition(parameters)] + ([_matches(query, parameters)] if query else [])
    table = viewer.table(parameters)
    statement = queries("ups.sql")[name].format(workitem=table, matches=" and ".join(conditions))
    return await connection.execute(statement.encode(), row | parameters.values)


async def _subscribers_of_worklists(connection: AsyncConnection, uid: str) -> list[str]:
    rows = await _execute(connection, "subscriptions", {"workitems": [GLOBAL_WORKLIST, FILTERED_WORKLIST]})
    found = []
    for subscriber, _, text in await rows.fetchall():
        parameters = Parameters()
        statement = queries("ups.sql")["matches"].format(matches=_matches(_filter(text), parameters))
        row = await (
            await connection.execute(statement.encode(), {"workitem": uid} | parameters.values)
        ).fetchone()
        found += [subscriber] if row and row[0] else []
    return found


def _filter(text: str) -> Query:
    return parse_query(None, parse_parameters(text.encode("utf-8")))


def _matches(query: Query, parameters: Parameters) -> str:
    return every(match_attribute(match, parameters, "workitem") for match in query.matches)


async def _tell(connection: AsyncConnection, uid: str, report: Attributes) -> int:
    """Let the workitem's subscribers know; how many there are."""
    rows = await (await _execute(connection, "subscriptions", {"workitems": [uid]})).fetchall()
    for subscriber, _, _ in rows:
        await _add_event(connection, subscriber, uid, report)
    return len(rows)


async def _add_event(connection: AsyncConnection, subscriber: str, uid: str, report: Attributes) -> None:
    row = {"subscriber": subscriber, "workitem": uid, "report": encode(report).decode(), "channel": EVENTS}
    await _execute(connection, "add_event", row)


async def _execute(connection: AsyncConnection, name: str, row: dict[str, Any]) -> AsyncCursor:
    return await connection.execute(queries("ups.sql")[name], row)
