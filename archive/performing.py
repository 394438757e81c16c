"""What this site does of the worklist itself: workitems of its readings go where the readings are.

Who subscribes to the worklist hears of every reading: while there is such a subscriber, a reading that nobody asked for
by a workitem has one of the site's own, from when it is due, or changes, to its end.
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from psycopg import AsyncConnection

from archive import workitem as ups
from archive import worklist
from archive.attributes import tag
from archive.audit import WORKER
from archive.findings import Task
from archive.json_values import Attributes
from archive.policy import EVERYTHING
from archive.pool import queries
from archive.workitem import State, Workitem


async def perform(connection: AsyncConnection) -> int:
    """Bring the workitems of readings to where the readings are; the number of changes."""
    await _list_readings(connection)
    rows = await (await connection.execute(queries("ups.sql")["readings"])).fetchall()
    for uid, state, reading, study, reports in rows:
        if state == State.SCHEDULED:
            await worklist.change(connection, None, uid, _claimed)
        if reading == "done":
            await worklist.change(
                connection, None, uid, partial(_completed, performed=_performed(study, reports))
            )
        elif reading != "due":
            await worklist.change(connection, None, uid, _given_up)
    return len(rows)


async def _list_readings(connection: AsyncConnection) -> None:
    """Make workitems of the readings that have changed and that none tells of."""
    async with connection.transaction():
        rows = await (await connection.execute(queries("ups.sql")["take_unlisted"])).fetchall()
        for study, task in rows:
            reading = ups.Reading(study, Task(task))
            uid = f"2.25.{uuid.uuid4().int}"
            patient = await worklist.patient_of(connection, EVERYTHING, study)
            await worklist.add(connection, uid, ups.create(uid, _asked(reading), patient), reading, by=WORKER)
        if rows:
            await connection.execute(queries("ups.sql")["forget_listed"], {"by": WORKER})


def _asked(reading: ups.Reading) -> Attributes:
    """What somebody would ask for who asked for the reading."""
    code = {
        tag("CodeValue"): ups.attribute("SH", str(reading.task)),
        tag("CodingSchemeDesignator"): ups.attribute("SH", ups.READING_SCHEME),
        tag("CodeMeaning"): ups.attribute("LO", str(reading.task)),
    }
    information = {
        tag("TypeOfInstances"): ups.attribute("CS", "DICOM"),
        tag("StudyInstanceUID"): ups.attribute("UI", reading.study_instance_uid),
    }
    return {
        tag("ProcedureStepState"): ups.attribute("CS", State.SCHEDULED),
        tag("ScheduledProcedureStepPriority"): ups.attribute("CS", "MEDIUM"),
        tag("ProcedureStepLabel"): ups.attribute("LO", str(reading.task)),
        tag("ScheduledProcedureStepStartDateTime"): ups.attribute("DT", ups.now()),
        tag("InputReadinessState"): ups.attribute("CS", "READY"),
        tag("ScheduledWorkitemCodeSequence"): ups.attribute("SQ", code),
        tag("InputInformationSequence"): ups.attribute("SQ", information),
    }


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
