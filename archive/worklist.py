"""The worklist in PostgreSQL: workitems, who is told of their events, and the readings that they ask this site for."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from archive.search import find
from archive.workitem import FILTERED_WORKLIST, GLOBAL_WORKLIST, Event, State, Workitem

EVENTS = "workitem_event"
"""The channel on which PostgreSQL names a subscriber for whom an event has come."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at the worklist: the studies whose workitems it may see, beside those of no study that it made."""

    scope: Scope
    subject: str

    def condition(self, parameters: Parameters) -> str:
        """The workitems that it sees, as a condition on the table `workitem`."""
        named = "from jsonb_array_elements_text(workitem.studies) named left join study on study_instance_uid = named"
        if self.scope.everything:
            return f"not exists (select {named} where study.withheld)"
        hidden = f"not exists (select {named} where not coalesce({restrict(self.scope, parameters)}, false))"
        own = f"workitem.created_by = {parameters.add(self.subject)}"
        return f"(workitem.studies <> '[]' or {own}) and {hidden}"

    def subscriber(self, name: str) -> str:
        """A subscriber's name as it is kept: each who does not see everything has names of its own."""
        return name if self.scope.everything else f"{self.subject} {name}"

    def own(self, uid: str) -> str:
        """The UID under which a workitem is made that the viewer gives this one.

        Who does not see every workitem makes its own under UIDs that are made here, so that none is taken by one that
        it does not see.
        """
        if self.scope.everything:
            return uid
        digest = hashlib.sha256(f"workitem {self.subject} {uid}".encode()).digest()
        return f"2.25.{int.from_bytes(digest[:16])}"


_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")


async def create(connection: AsyncConnection, viewer: Viewer, uid: str, payload: Attributes) -> str:
    """Add a workitem, and make the readings due that it asks this site for; the UID that it got.

    Raises BadRequest, Conflict where the viewer has a workitem of that UID.
    """
    if await _find(connection, viewer, uid):
        raise Conflict("a workitem of this UID exists already")
    uid = viewer.own(uid)
    reading = ups.reading_of(payload)
    patient = await _patient(connection, viewer.scope, reading.study_instance_uid) if reading else {}
    created = ups.create(uid, payload, patient)
    async with connection.transaction():
        row = {
            "workitem": uid,
            "attributes": Jsonb(created.attributes),
            "study_instance_uid": reading and reading.study_instance_uid,
            "task": reading and str(reading.task),
            "created_by": viewer.subject,
        }
        if not (await _execute(connection, "create", row)).rowcount:
            raise Conflict("a workitem of this UID exists already")
        if reading and not (await _execute(connection, "want_readings", row)).rowcount:
            raise BadRequest("the study that is to be read has no images here")
        if reading:
            await connection.execute(queries("reading.sql")["announce"], {"change": readings.DUE})
        await _execute(connection, "forget_events", {})
        subscribers = await _subscribers_of_worklists(connection, uid)
        for subscriber in subscribers:
            row = {"subscriber": subscriber, "workitem": uid, "filter": "", "deletion_lock": False}
            await _execute(connection, "subscribe", row)
        await _tell(connection, uid, ups.report(uid, Event.STATE, created))
    return uid


async def _find(connection: AsyncConnection, viewer: Viewer, uid: str) -> str | None:
    """The UID of the workitem that the viewer sees under this one, or made under it; None without one."""
    parameters = Parameters()
    statement = queries("ups.sql")["find"].format(matches=viewer.condition(parameters))
    row = {"workitem": uid, "own": viewer.own(uid)} | parameters.values
    found = await (await connection.execute(statement.encode(), row)).fetchone()
    return found[0] if found else None


async def _seen(connection: AsyncConnection, viewer: Viewer, uid: str) -> str:
    """As `_find`. Raises NotFound without one."""
    found = await _find(connection, viewer, uid)
    if found is None:
        raise NotFound("no such workitem")
    return found


async def _patient(connection: AsyncConnection, scope: Scope, study_instance_uid: str) -> Attributes:
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
            "attributes": Jsonb(after.attributes),
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


async def search(connection: AsyncConnection, viewer: Viewer, query: Query) -> list[bytes]:
    """The workitems that match, as DICOM JSON, the last changed first; one more than the page has where more match."""
    parameters = Parameters()
    seen, matches = viewer.condition(parameters), _matches(query, parameters)
    statement = queries("ups.sql")["search"].format(matches=f"{seen} and {matches}")
    values = parameters.values | {"limit": query.page_size + 1, "offset": query.offset}
    rows = await (await connection.execute(statement.encode(), values)).fetchall()
    return [encode(attributes) for (attributes,) in rows]


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
    parameters = Parameters()
    matches = f"{viewer.condition(parameters)} and {_matches(_filter(filter_text), parameters)}"
    async with connection.transaction():
        await _execute(connection, "subscribe", row)
        statement = queries("ups.sql")["subscribe_to_all"].format(matches=matches)
        await connection.execute(statement.encode(), row | parameters.values)


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
    parameters = Parameters()
    statement = queries("ups.sql")["take_events"].format(matches=viewer.condition(parameters))
    row = parameters.values | {"subscriber": viewer.subscriber(name)}
    rows = await (await connection.execute(statement.encode(), row)).fetchall()
    return [report for (report,) in rows]


async def perform(connection: AsyncConnection) -> int:
    """Bring the workitems that ask for readings to where the readings are; the number of changes."""
    rows = await (await _execute(connection, "readings", {})).fetchall()
    for uid, state, reading, study, reports in rows:
        if state == State.SCHEDULED:
            await change(connection, None, uid, _claimed)
        if reading == "done":
            await change(connection, None, uid, partial(_completed, performed=_performed(study, reports)))
        elif reading != "due":
            await change(connection, None, uid, _given_up)
    return len(rows)


def _claimed(item: Workitem) -> Workitem | None:
    claimed = ups.change_state(item, State.IN_PROGRESS, f"2.25.{uuid.uuid4().int}")
    return claimed and replace(claimed, performed_here=True)


def _given_up(item: Workitem) -> Workitem | None:
    return ups.change_state(item, State.CANCELED, item.transaction_uid)


def _completed(item: Workitem, *, performed: Attributes) -> Workitem | None:
    performed_item = ups.update(item, performed, item.transaction_uid)
    return ups.change_state(performed_item, State.COMPLETED, item.transaction_uid)


def _performed(study: str, reports: Sequence[Sequence[str]]) -> Attributes:
    """What was performed: the reports in the study, (series, SOP class, instance) each, that the readings made."""
    outputs = [_output(study, *report) for report in reports]
    moment = ups.now()
    performed = {
        tag("PerformedProcedureStepStartDateTime"): ups.attribute("DT", moment),
        tag("PerformedProcedureStepEndDateTime"): ups.attribute("DT", moment),
        tag("OutputInformationSequence"): ups.attribute("SQ", *outputs),
    }
    return {tag("UnifiedProcedureStepPerformedProcedureSequence"): ups.attribute("SQ", performed)}


def _output(study: str, series: str, sop_class: str, instance: str) -> Attributes:
    reference = {
        tag("ReferencedSOPClassUID"): ups.attribute("UI", sop_class),
        tag("ReferencedSOPInstanceUID"): ups.attribute("UI", instance),
    }
    return {
        tag("TypeOfInstances"): ups.attribute("CS", "DICOM"),
        tag("StudyInstanceUID"): ups.attribute("UI", study),
        tag("SeriesInstanceUID"): ups.attribute("UI", series),
        tag("ReferencedSOPSequence"): ups.attribute("SQ", reference),
    }


async def _read(connection: AsyncConnection, name: str, viewer: Viewer | None, uid: str) -> Workitem:
    parameters = Parameters()
    matches = viewer.condition(parameters) if viewer else "true"
    statement = queries("ups.sql")[name].format(matches=matches)
    row = await (
        await connection.execute(statement.encode(), {"workitem": uid} | parameters.values)
    ).fetchone()
    if row is None:
        raise NotFound("no such workitem")
    state, *rest = row
    return Workitem(State(state), *rest)


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
