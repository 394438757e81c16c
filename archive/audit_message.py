"""Entries of the trail as DICOM audit messages (PS3.15 annex A.5): XML by the schema of A.5.1."""

import base64
from xml.etree.ElementTree import Element, SubElement, tostring

from archive.audit import Event
from archive.audit_codes import DESTINATION, KINDS, OUTCOMES, SOP_CLASS_UID, SOURCE, STUDY_UID, Code, Entry

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # what a search asks as DIMSE would (PS3.15 A.5.3.10)
_TRANSFERS = frozenset([Event.READ, Event.SEARCH, Event.WRITE])


def audit_message(entry: Entry, site: str) -> str:
    """One AuditMessage on one line. `site` is the URL that the site is known by."""
    message = Element("AuditMessage")
    _identify(message, entry)
    _participate(message, entry, site)
    source = SubElement(message, "AuditSourceIdentification", AuditSourceID=site)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
    if entry.event == Event.SEARCH:
        _add_query(message, entry)
    elif entry.study:
        _add_details(_add_object(message, entry.study, "2", "3", STUDY_UID, "DCM", "study"), entry)
    elif entry.detail:
        _add_details(_add_object(message, site, "2", "13", Code("12", "URI"), "RFC-3881", "site"), entry)
    if entry.patient:
        _add_object(message, entry.patient, "1", "1", Code("2", "Patient Number"), "RFC-3881", "pseudonym")
    for permit in entry.permits:
        _add_object(message, permit, "2", "13", Code("permit", "Permit"), "99SENOGATE", "permit")
    return tostring(message, encoding="unicode")


def _identify(message: Element, entry: Entry) -> None:
    """A.5.2: what was done, when, and how it ended."""
    kind = KINDS[entry.event]
    event = SubElement(
        message,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=entry.time,
        EventOutcomeIndicator=OUTCOMES[entry.outcome],
    )
    _add_code(event, "EventID", kind.identifier)
    if kind.type:
        _add_code(event, "EventTypeCode", kind.type)
    _add_code(event, "EventTypeCode", Code(entry.event, entry.event), "99SENOGATE")


def _participate(message: Element, entry: Entry, site: str) -> None:
    """Who asked, and of what crosses the network the site at its other end."""
    asking, serving = (DESTINATION, SOURCE) if entry.event == Event.READ else (SOURCE, DESTINATION)
    who = SubElement(message, "ActiveParticipant", UserID=entry.subject, UserIsRequestor="true")
    if "from" in entry.detail:
        who.set("NetworkAccessPointID", str(entry.detail["from"]))
        who.set("NetworkAccessPointTypeCode", "2")
    if entry.event in _TRANSFERS:
        _add_code(who, "RoleIDCode", asking)
        here = SubElement(message, "ActiveParticipant", UserID=site, UserIsRequestor="false")
        here.set("NetworkAccessPointID", site)
        here.set("NetworkAccessPointTypeCode", "5")
        _add_code(here, "RoleIDCode", serving)


def _add_query(message: Element, entry: Entry) -> None:
    """A.5.3.10: the names of the keys that were asked for; their values are on no record."""
    query = SubElement(message, "ParticipantObjectIdentification", ParticipantObjectID=_STUDY_ROOT_FIND)
    query.set("ParticipantObjectTypeCode", "2")
    query.set("ParticipantObjectTypeCodeRole", "3")
    _add_code(query, "ParticipantObjectIDTypeCode", SOP_CLASS_UID)
    SubElement(query, "ParticipantObjectQuery").text = _base64(str(entry.detail.get("keys", "")))
    _add_details(query, entry)


def _add_object(
    message: Element, identifier: str, kind: str, role: str, id_type: Code, system: str, name: str
) -> Element:
    added = SubElement(message, "ParticipantObjectIdentification", ParticipantObjectID=identifier)
    added.set("ParticipantObjectTypeCode", kind)
    added.set("ParticipantObjectTypeCodeRole", role)
    _add_code(added, "ParticipantObjectIDTypeCode", id_type, system)
    SubElement(added, "ParticipantObjectName").text = name
    return added


def _add_details(added: Element, entry: Entry) -> None:
    for name, value in sorted(entry.detail.items()):
        SubElement(added, "ParticipantObjectDetail", type=name, value=_base64(str(value)))
    for mark in entry.shown:
        SubElement(added, "ParticipantObjectDetail", type="shown", value=_base64(mark))


def _add_code(parent: Element, name: str, code: Code, system: str = "DCM") -> None:
    attributes = {"csd-code": code.value, "codeSystemName": system, "originalText": code.meaning}
    SubElement(parent, name, attributes)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
