"""How events of the trail are coded: DICOM PS3.16 CID 400 Audit Event ID and CID 401 Audit Event Type Code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from archive.audit import Event, Outcome


class Code(NamedTuple):
    """A code of the DICOM controlled terminology (PS3.16 annex D) and its meaning."""

    value: str
    meaning: str


class Kind(NamedTuple):
    """The identifier and type of an event, and what was done: C, R, U, D or E (PS3.15 A.5.2)."""

    identifier: Code
    type: Code | None
    action: str


SOURCE, DESTINATION = Code("110153", "Source Role ID"), Code("110152", "Destination Role ID")
STUDY_UID, SOP_CLASS_UID = Code("110180", "Study Instance UID"), Code("110181", "SOP Class UID")
OUTCOMES = {Outcome.SUCCESS: "0", Outcome.REFUSED: "4", Outcome.FAILED: "8", Outcome.UNAVAILABLE: "12"}
"""EventOutcomeIndicator (PS3.15 A.5.1), which FHIR takes over."""

_ALERT = Code("110113", "Security Alert")
_LOGGED = Code("110114", "User Authentication")
_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
_ACTIVITY = Code("110100", "Application Activity")
_RESTRICTED = Kind(_ALERT, Code("110132", "Use of Restricted Function"), "E")
_OBJECTS = Kind(_ALERT, Code("110135", "Object Security Attributes Changed"), "E")
_ROLES = Kind(_ALERT, Code("110136", "Security Roles Changed"), "E")
_USERS = Kind(_ALERT, Code("110137", "User security Attributes Changed"), "E")
_SECURITY = Kind(_ALERT, Code("110129", "Security Configuration"), "E")
_CONFIGURATION = Kind(_ALERT, Code("110131", "Software Configuration"), "E")

KINDS: dict[Event, Kind] = {
    Event.READ: Kind(_TRANSFERRED, None, "R"),
    Event.SEARCH: Kind(Code("110112", "Query"), None, "E"),
    Event.WRITE: Kind(_TRANSFERRED, None, "C"),
    Event.DENIED: _RESTRICTED,
    Event.ARRIVED: Kind(_TRANSFERRED, None, "C"),
    Event.LOGIN: Kind(_LOGGED, Code("110122", "Login"), "E"),
    Event.LOGOUT: Kind(_LOGGED, Code("110123", "Logout"), "E"),
    Event.TOKEN: Kind(_LOGGED, Code("110122", "Login"), "E"),
    Event.PERMIT_REQUESTED: _OBJECTS,
    Event.PERMIT_GRANTED: _OBJECTS,
    Event.PERMIT_REJECTED: _OBJECTS,
    Event.PERMIT_REVOKED: _OBJECTS,
    Event.PERMIT_EXPIRED: _OBJECTS,
    Event.PERMIT_WITHDRAWN: _OBJECTS,
    Event.APPLICATION_CHANGED: _OBJECTS,
    Event.RULES_PUBLISHED: _CONFIGURATION,
    Event.CONSENT_RECORDED: _OBJECTS,
    Event.CONSENT_DEMANDED: _OBJECTS,
    Event.DATASET_CREATED: _OBJECTS,
    Event.DATASET_FROZEN: _OBJECTS,
    Event.CATALOGUE_CHANGED: _OBJECTS,
    Event.CATALOGUE_DRIFTED: _OBJECTS,
    Event.DATASET_DELETED: _OBJECTS,
    Event.ROLE_CHANGED: _ROLES,
    Event.OPTOUT_ADDED: _OBJECTS,
    Event.OPTOUT_WITHDRAWN: _OBJECTS,
    Event.ERASURE: Kind(Code("110105", "DICOM Study Deleted"), None, "D"),
    Event.CROSSWALK_OPENED: _RESTRICTED,
    Event.SPOOL_OPENED: _RESTRICTED,
    Event.INFERENCE_DONE: Kind(Code("110103", "DICOM Instances Accessed"), None, "R"),
    Event.REVIEW: Kind(_ACTIVITY, None, "C"),
    Event.DELIVERY_DONE: Kind(Code("110106", "Export"), None, "R"),
    Event.DELIVERY_CHANGED: Kind(_ACTIVITY, None, "E"),
    Event.DELIVERY_ACKNOWLEDGED: _SECURITY,
    Event.NOTICE_SENT: Kind(Code("110106", "Export"), None, "R"),
    Event.TRAINING_ROUND: Kind(_ACTIVITY, None, "E"),
    Event.CLIENT_CHANGED: _USERS,
    Event.ACCOUNT_CHANGED: _USERS,
    Event.ISSUER_CHANGED: _SECURITY,
    Event.KEY_ROTATED: _SECURITY,
    Event.CONFIGURATION_CHANGED: _CONFIGURATION,
    Event.MODEL_CHANGED: _CONFIGURATION,
    Event.LABELS_CHANGED: Kind(_ACTIVITY, None, "E"),
    Event.FEDERATION_RUN: Kind(_ACTIVITY, None, "E"),
    Event.FEDERATION_ANSWER: Kind(_ACTIVITY, None, "E"),
    Event.WEBHOOK_CHANGED: _CONFIGURATION,
    Event.FEDERATION_MEMBER: _SECURITY,
    Event.FEDERATION_SEARCH: Kind(Code("110112", "Query"), None, "E"),
    Event.MODEL_REGISTERED: _CONFIGURATION,
    Event.MODEL_SENT: Kind(Code("110106", "Export"), None, "R"),
    Event.JOB_SUBMITTED: Kind(_ACTIVITY, None, "C"),
    Event.JOB_DECIDED: Kind(_ACTIVITY, None, "E"),
    Event.JOB_RUN: Kind(Code("110103", "DICOM Instances Accessed"), None, "R"),
    Event.JOB_RELEASED: Kind(Code("110106", "Export"), None, "R"),
    Event.PACKAGE_RECEIVED: _CONFIGURATION,
    Event.BACKUP_MADE: Kind(Code("110106", "Export"), None, "R"),
    Event.RESTORED: Kind(Code("110107", "Import"), None, "C"),
    Event.EXPORT: Kind(Code("110101", "Audit Log Used"), None, "R"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it is read from the trail; `patient` is the pseudonym of whom the study is about, where known.

    `shown` are the marks of the studies that an answer listed (`archive.audit.mark_of`).
    """

    number: int
    event: Event
    outcome: Outcome
    subject: str
    time: str
    permits: tuple[str, ...]
    study: str | None
    patient: str | None
    detail: Mapping[str, str | int]
    shown: tuple[str, ...] = ()

    @property
    def client_id(self) -> str | None:
        """The OAuth client's identifier, where a program acted."""
        kind, _, name = self.subject.partition(":")
        return name if kind == "client" else None

    def to_json(self) -> dict[str, Any]:
        """As `senogate audit list --json` prints it."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "permits": list(self.permits),
            "shown": list(self.shown),
        }


def read_entry(number: int, content: str, patient: str | None = None) -> Entry:
    """The entry that a record's content is."""
    found = json.loads(content)
    return Entry(
        number,
        Event(found["event"]),
        Outcome(found["outcome"]),
        found["subject"],
        found["time"],
        tuple(found.get("permits", ())),
        found.get("study"),
        found.get("patient") or patient,
        found.get("detail", {}),
        tuple(found.get("shown", ())),
    )
