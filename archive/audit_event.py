"""Entries of the trail as FHIR R4 AuditEvent, in the profiles of IHE BALP (Basic Audit Log Patterns) 1.1.

Its RESTful profiles are for what succeeded; what did not has the same form and names no profile.
"""

import base64
import re
from typing import Any

from archive.audit import Event, Outcome
from archive.audit_codes import DESTINATION, KINDS, OUTCOMES, SOURCE, Code, Entry

_BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_ACTIONS = {"read": "R", "search": "E", "create": "C", "update": "U", "delete": "D"}
_PROFILES = {"read": "Read", "search": "Query", "create": "Create", "update": "Update", "delete": "Delete"}
_METHODS = {"POST": "create", "PUT": "update", "DELETE": "delete"}

_ILLEGAL = re.compile(r"[^ \r\n\t\S]|[\x00-\x08\x0b\x0c\x0e-\x1f]")  # FHIR R4, 2.24.0.1 string

Json = dict[str, Any]


def audit_event(entry: Entry, site: str) -> Json:
    """The resource. `site` is the URL that the site is known by."""
    interaction = _interaction(entry)
    made: Json = _legal(_made(entry, interaction, site))
    return made


def _made(entry: Entry, interaction: str | None, site: str) -> Json:
    form = _restful(entry, interaction, site) if interaction else _other(entry, site)
    return {
        "resourceType": "AuditEvent",
        "id": f"audit-{entry.number}",
        **form,
        "recorded": entry.time,
        "outcome": OUTCOMES[entry.outcome],
        "source": {
            "site": site,
            "observer": {"display": "Senogate", "identifier": {"system": "urn:ietf:rfc:3986", "value": site}},
            "type": [_coding(_TERMINOLOGY + "security-source-type", "4", "Application Server")],
        },
    }


def _legal(value: Any) -> Any:
    """With U+FFFD in place of what no string of FHIR may hold: control characters, and spaces of other kinds."""
    if isinstance(value, dict):
        return {name: _legal(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_legal(each) for each in value]
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value


def _interaction(entry: Entry) -> str | None:
    """What FHIR would call the request; None for what was none."""
    match entry.event:
        case Event.SEARCH:
            return "search"
        case Event.READ | Event.WRITE | Event.DENIED:
            return _METHODS.get(str(entry.detail.get("method", "")), "read")
    return None


def _restful(entry: Entry, interaction: str, site: str) -> Json:
    profile = f"{'Patient' if entry.patient else ''}{_PROFILES[interaction]}"
    entities = [_query(entry) if interaction == "search" else _data(entry)]
    named = {"meta": {"profile": [_BALP + profile]}} if entry.outcome == Outcome.SUCCESS else {}
    return named | {
        "type": _coding(_TERMINOLOGY + "audit-event-type", "rest", "Restful Operation"),
        "subtype": [_coding(_INTERACTIONS, interaction, interaction)],
        "action": _ACTIONS[interaction],
        "agent": _requestors(entry, interaction, site),
        "entity": entities + _shown(entry) + _patient(entry, site) + _permits(entry, site),
    }


def _other(entry: Entry, site: str) -> Json:
    kind = KINDS[entry.event]
    subtypes = [_coding(f"{site}/audit/event", entry.event.value, entry.event.value)]
    return {
        "type": _dcm(kind.identifier),
        "subtype": [*([_dcm(kind.type)] if kind.type else []), *subtypes],
        "action": kind.action,
        "agent": [_agent(_coding(_DCM, "110150", "Application"), _who(entry, site), requestor=True)],
        "entity": [_data(entry), *_patient(entry, site), *_permits(entry, site)],
    }


def _requestors(entry: Entry, interaction: str, site: str) -> list[Json]:
    """The client, the server, and the person where one acted."""
    client, server = (DESTINATION, SOURCE) if interaction == "read" else (SOURCE, DESTINATION)
    is_program = entry.client_id is not None
    address = {"address": str(entry.detail.get("from", "unknown")), "type": "2"}
    program = _who(entry, site) if is_program else {"display": "the person's program"}
    agents = [
        _agent(_dcm(client), program, requestor=is_program, network=address),
        _agent(_dcm(server), _identified(site), requestor=False, network={"address": site, "type": "5"}),
    ]
    if not is_program:
        role = (
            ("AUT", "author (originator)")
            if interaction in _METHODS.values()
            else ("IRCP", "information recipient")
        )
        participation = _coding(_TERMINOLOGY + "v3-ParticipationType", *role)
        agents.append(_agent(participation, _who(entry, site), requestor=True))
    return agents


def _agent(kind: Json, who: Json, *, requestor: bool, network: Json | None = None) -> Json:
    agent = {"type": {"coding": [kind]}, "who": who, "requestor": requestor}
    return agent | ({"network": network} if network else {})


def _who(entry: Entry, site: str) -> Json:
    """A program by its OAuth client identifier at this site's issuer, anybody else by the subject."""
    if entry.client_id is not None:
        return {"identifier": {"system": f"{site}/oauth/client", "value": entry.client_id}}
    return {"identifier": {"system": f"{site}/subject", "value": entry.subject}}


def _data(entry: Entry) -> Json:
    """What was asked for: a study by its UID, else the kind of resource."""
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{entry.study}"}
    what = {"identifier": uid} if entry.study else {"display": str(entry.detail.get("route", entry.event))}
    details = [{"type": name, "valueString": str(value)} for name, value in sorted(entry.detail.items())]
    entity = _entity("2", "System Object", "4", "Domain Resource") | {"what": what}
    return entity | ({"detail": details} if details else {})


def _query(entry: Entry) -> Json:
    """The names of the query's keys: their values are on no record."""
    keys = str(entry.detail.get("keys", "")).split()
    text = f"{entry.detail.get('route', '')}?{'&'.join(f'{key}=' for key in keys)}".encode()
    return _entity("2", "System Object", "24", "Query") | {"query": base64.b64encode(text).decode()}


def _shown(entry: Entry) -> list[Json]:
    """The studies that the answer listed, as an entity of their own: that of a query has no details."""
    marks = [{"type": "shown", "valueString": mark} for mark in entry.shown]
    what = {"what": {"display": "studies that were listed"}, "detail": marks}
    return [_entity("2", "System Object", "4", "Domain Resource") | what] if marks else []


def _patient(entry: Entry, site: str) -> list[Json]:
    if not entry.patient:
        return []
    what = {"type": "Patient", "identifier": {"system": f"{site}/patient", "value": entry.patient}}
    return [_entity("1", "Person", "1", "Patient") | {"what": what}]


def _permits(entry: Entry, site: str) -> list[Json]:
    kind = _coding("http://hl7.org/fhir/resource-types", "Consent", "Consent")
    return [
        {"type": kind, "what": {"identifier": {"system": f"{site}/permit", "value": permit}}}
        for permit in entry.permits
    ]


def _entity(kind: str, kind_meaning: str, role: str, role_meaning: str) -> Json:
    return {
        "type": _coding(_TERMINOLOGY + "audit-entity-type", kind, kind_meaning),
        "role": _coding(_TERMINOLOGY + "object-role", role, role_meaning),
    }


def _identified(site: str) -> Json:
    return {"identifier": {"system": "urn:ietf:rfc:3986", "value": site}}


def _dcm(code: Code) -> Json:
    return _coding(_DCM, code.value, code.meaning)


def _coding(system: str, code: str, display: str) -> Json:
    return {"system": system, "code": code, "display": display}
