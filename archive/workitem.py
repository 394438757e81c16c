"""A Unified Procedure Step as a value: its states, what a request may set, its events (PS3.4 annex CC)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from archive.attributes import tag, vr
from archive.errors import BadRequest, Conflict
from archive.findings import Task
from archive.json_values import Attribute, Attributes
from archive.resource import is_uid

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""The SOP class that every workitem is of (PS3.4 section CC.3.1)."""
GLOBAL_WORKLIST = "1.2.840.10008.5.1.4.34.5"
FILTERED_WORKLIST = "1.2.840.10008.5.1.4.34.5.1"
READING_SCHEME = "99SENOGATE"
"""The coding scheme of the workitem codes that ask this site for a reading; a code's value is a Task."""


class State(StrEnum):
    """PS3.4 section CC.1.1."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class Event(StrEnum):
    """The Event Type IDs of PS3.4 table CC.2.4-1."""

    STATE = "1"
    CANCEL_REQUESTED = "2"
    PROGRESS = "3"
    ASSIGNED = "5"


@dataclass(frozen=True, slots=True)
class Workitem:
    """A workitem as it is kept. The Transaction UID is what proves that one has claimed it, and is told nobody."""

    state: State
    transaction_uid: str | None
    attributes: Attributes
    performed_here: bool = False  # by this site's own worker


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading that a workitem asks this site for."""

    study_instance_uid: str
    task: Task


_STUDY = tag("StudyInstanceUID")
FINAL = frozenset({State.COMPLETED, State.CANCELED})
_REQUIRED = tuple(
    map(
        tag,
        (
            "ProcedureStepState",
            "ScheduledProcedureStepPriority",
            "ProcedureStepLabel",
            "ScheduledProcedureStepStartDateTime",
            "InputReadinessState",
        ),
    )
)
_EMPTY = tuple(
    map(
        tag,
        (
            *("WorklistLabel", "ScheduledStationNameCodeSequence", "ScheduledStationClassCodeSequence"),
            *("ScheduledStationGeographicLocationCodeSequence", "ScheduledWorkitemCodeSequence"),
            *(
                "ScheduledProcessingParametersSequence",
                "InputInformationSequence",
                "PatientName",
                "PatientID",
            ),
            *("PatientBirthDate", "PatientSex", "ProcedureStepProgressInformationSequence"),
            *("UnifiedProcedureStepPerformedProcedureSequence",),
        ),
    )
)
"""Of type 2 where a workitem is created (PS3.4 table CC.2.5-3)."""
_SET_AT_CREATION = (
    *("ScheduledProcedureStepPriority", "ProcedureStepLabel", "WorklistLabel", "InputReadinessState"),
    *(
        "ScheduledProcedureStepStartDateTime",
        "ExpectedCompletionDateTime",
        "ScheduledStationNameCodeSequence",
    ),
    *("ScheduledStationClassCodeSequence", "ScheduledStationGeographicLocationCodeSequence"),
    *("ScheduledWorkitemCodeSequence", "ScheduledProcessingParametersSequence", "InputInformationSequence"),
    *("ScheduledProcedureStepExpirationDateTime", "OutputDestinationSequence"),
)
_SET_LATER = (
    *("ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence"),
)
_IN_ITEMS = (
    *("CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion"),
    *(
        "CodeMeaning",
        "MappingResource",
        "ContextIdentifier",
        "ContextUID",
        "ConceptNameCodeSequence",
        "ValueType",
    ),
    *("ConceptCodeSequence", "NumericValue", "MeasurementUnitsCodeSequence", "TypeOfInstances"),
    *("StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPSequence", "ReferencedSOPClassUID"),
    *("ReferencedSOPInstanceUID", "ReferencedFrameNumber", "WADORSRetrievalSequence", "RetrieveURL"),
    *("OutputInformationSequence", "PerformedStationNameCodeSequence", "PerformedStationClassCodeSequence"),
    *("PerformedStationGeographicLocationCodeSequence", "PerformedWorkitemCodeSequence"),
    *("PerformedProcessingParametersSequence", "PerformedProcedureStepStartDateTime"),
    *("PerformedProcedureStepEndDateTime", "ProcedureStepProgress", "ProcedureStepProgressDescription"),
    *("ProcedureStepProgressParametersSequence", "ProcedureStepCancellationDateTime"),
    *("ProcedureStepDiscontinuationReasonCodeSequence", "ReasonForCancellation"),
)
_KEPT = frozenset(map(tag, (*_SET_AT_CREATION, *_SET_LATER, *_IN_ITEMS)))
"""What is kept of a payload, at any depth. Nothing else is: a workitem must not bring an identity back in."""
_SETTABLE = frozenset(map(tag, (*_SET_AT_CREATION, *_SET_LATER)))


def create(uid: str, payload: Attributes, patient: Attributes) -> Workitem:
    """The workitem that a payload asks to create, with the patient's attributes as the study has them.

    Raises BadRequest for what does not meet the column N-CREATE of PS3.4 table CC.2.5-3.
    """
    if missing := [name for name in _REQUIRED if not values(payload, name)]:
        raise BadRequest(f"the workitem lacks the attributes {', '.join(missing)}")
    if values(payload, tag("ProcedureStepState")) != [State.SCHEDULED]:
        raise BadRequest("a workitem is created in the ProcedureStepState SCHEDULED")
    if values(payload, tag("TransactionUID")):
        raise BadRequest("a workitem is created without a TransactionUID")
    own = {
        tag("SpecificCharacterSet"): attribute("CS", "ISO_IR 192"),
        tag("SOPClassUID"): attribute("UI", UPS_PUSH),
        tag("SOPInstanceUID"): attribute("UI", uid),
        tag("ProcedureStepState"): attribute("CS", State.SCHEDULED),
        tag("ScheduledProcedureStepModificationDateTime"): attribute("DT", now()),
    }
    empty: Attributes = {name: {"vr": vr(name)} for name in _EMPTY}
    return Workitem(State.SCHEDULED, None, empty | clean(payload) | patient | own)


def update(workitem: Workitem, payload: Attributes, transaction_uid: str | None) -> Workitem:
    """The workitem with the payload's attributes set (PS3.4 section CC.2.6). Raises BadRequest."""
    if workitem.state in FINAL:
        raise BadRequest(f"the workitem is {workitem.state} and can't be updated")
    if workitem.state == State.IN_PROGRESS:
        _require_owner(workitem, transaction_uid, BadRequest)
    if refused := sorted(set(payload) - _SETTABLE - {tag("TransactionUID"), tag("SpecificCharacterSet")}):
        raise BadRequest(f"not to be changed by this transaction: {', '.join(refused)}")
    changed = {tag("ScheduledProcedureStepModificationDateTime"): attribute("DT", now())}
    return replace(workitem, attributes=workitem.attributes | clean(payload) | changed)


def change_state(workitem: Workitem, wanted: str, transaction_uid: str | None) -> Workitem | None:
    """The workitem in its new state; None where it is in that final state already (PS3.4 table CC.1.1-2).

    Raises BadRequest for a state that is none or a Transaction UID that is none, Conflict where the transition
    is not allowed.
    """
    if wanted not in (State.IN_PROGRESS, State.COMPLETED, State.CANCELED):
        raise BadRequest("the ProcedureStepState can be changed to IN PROGRESS, COMPLETED or CANCELED")
    if workitem.state == wanted and workitem.state in FINAL:
        return None
    if transaction_uid is None:
        raise Conflict("The Transaction UID is missing.")
    if workitem.state in FINAL or (workitem.state == State.SCHEDULED) != (wanted == State.IN_PROGRESS):
        raise Conflict("The submitted request is inconsistent with the state of the UPS Instance.")
    if wanted != State.IN_PROGRESS:
        _require_owner(workitem, transaction_uid, Conflict)
    if wanted == State.COMPLETED:
        _require_performed(workitem)
    return _in_state(replace(workitem, transaction_uid=transaction_uid), State(wanted))


def cancel(workitem: Workitem, payload: Attributes) -> Workitem | None:
    """The workitem as the origin server cancels one that nobody has claimed; None where it is canceled already.

    Raises Conflict for one that is completed; one in progress is left to its performer.
    """
    if workitem.state == State.COMPLETED:
        raise Conflict("The UPS is already COMPLETED.")
    if workitem.state == State.CANCELED:
        return None
    if workitem.state == State.IN_PROGRESS:
        return workitem
    return _in_state(workitem, State.CANCELED, clean(payload))


def _in_state(workitem: Workitem, state: State, reason: Attributes | None = None) -> Workitem:
    attributes = workitem.attributes | {tag("ProcedureStepState"): attribute("CS", state)}
    if state == State.CANCELED:
        name = tag("ProcedureStepProgressInformationSequence")
        (progress, *_) = values(attributes, name) or [{}]
        canceled = {tag("ProcedureStepCancellationDateTime"): attribute("DT", now())}
        attributes[name] = attribute("SQ", canceled | progress | (reason or {}))
    return replace(workitem, state=state, attributes=attributes)


def _require_owner(
    workitem: Workitem, transaction_uid: str | None, error: type[BadRequest | Conflict]
) -> None:
    if transaction_uid is None:
        raise error("The Transaction UID is missing.")
    if transaction_uid != workitem.transaction_uid:
        raise error("The Transaction UID is incorrect.")


def _require_performed(workitem: Workitem) -> None:
    """What a completed workitem must tell (the final state of PS3.4 table CC.2.5-3)."""
    performed = values(workitem.attributes, tag("UnifiedProcedureStepPerformedProcedureSequence"))
    needed = ("PerformedProcedureStepStartDateTime", "PerformedProcedureStepEndDateTime")
    if not performed or not all(values(performed[0], tag(keyword)) for keyword in needed):
        names = f"UnifiedProcedureStepPerformedProcedureSequence with {' and '.join(needed)}"
        raise Conflict(f"a workitem is COMPLETED when it has the {names}")


def reading_of(attributes: Attributes) -> Reading | None:
    """The reading that a workitem asks this site for; None where it asks for none. Raises BadRequest."""
    for code in values(attributes, tag("ScheduledWorkitemCodeSequence")):
        if values(code, tag("CodingSchemeDesignator")) == [READING_SCHEME]:
            (task,) = values(code, tag("CodeValue")) or [""]
            if task not in list(Task):
                raise BadRequest(f"a reading's CodeValue is one of: {', '.join(Task)}")
            return Reading(_study_of(attributes), Task(task))
    return None


def _study_of(attributes: Attributes) -> str:
    for item in values(attributes, tag("InputInformationSequence")):
        for uid in values(item, tag("StudyInstanceUID")):
            if isinstance(uid, str) and is_uid(uid):
                return uid
    raise BadRequest("a reading needs an InputInformationSequence with a StudyInstanceUID")


def report(uid: str, event: Event, workitem: Workitem, more: Attributes | None = None) -> Attributes:
    """An Event Report (PS3.18 section 8.10.5, PS3.4 table CC.2.4-1)."""
    told = {
        "00000002": attribute("UI", UPS_PUSH),
        "00000100": attribute("US", 0x0100),
        "00000110": attribute("US", 1),
        "00000800": attribute("US", 0x0000),
        "00001000": attribute("UI", uid),
        "00001002": attribute("US", int(event)),
    }
    if event == Event.STATE:
        ready = tag("InputReadinessState")
        told |= {
            tag("ProcedureStepState"): attribute("CS", workitem.state),
            ready: workitem.attributes[ready],
        }
    progress = tag("ProcedureStepProgressInformationSequence")
    if event == Event.PROGRESS or workitem.state == State.CANCELED:
        told[progress] = workitem.attributes[progress]
    return told | (more or {})


def clean(payload: Attributes) -> Attributes:
    """What is kept of a payload."""
    return {name: _clean(each) for name, each in payload.items() if name in _KEPT}


def _clean(each: Attribute) -> Attribute:
    items = [clean(item) if isinstance(item, dict) else item for item in each.get("Value", ())]
    return attribute(each["vr"], *items)


def studies_of(attributes: Attributes) -> Iterator[str]:
    """The studies that a workitem names, at whatever depth."""
    for name, each in attributes.items():
        for value in each.get("Value", ()):
            if isinstance(value, dict) and each.get("vr") == "SQ":
                yield from studies_of(value)
            elif name == _STUDY and isinstance(value, str):
                yield value


def values(attributes: Mapping[str, Attribute], name: str) -> list[Any]:
    """The values of an attribute that are there."""
    return [value for value in attributes.get(name, {}).get("Value", ()) if value is not None]


def attribute(kind: str, *of: object) -> Attribute:
    return {"vr": kind, "Value": list(of)} if of else {"vr": kind}


def now() -> str:
    """This moment as a DT."""
    return datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
