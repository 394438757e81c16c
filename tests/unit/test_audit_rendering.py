"""The trail as others read it: FHIR AuditEvent in the profiles of IHE BALP, and DICOM audit messages."""

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given
from hypothesis import strategies as st

from archive.audit import Event, Outcome, Record
from archive.audit_codes import KINDS, Entry, read_entry
from archive.audit_event import audit_event
from archive.audit_message import audit_message

SITE = "https://images.hospital.example"
PATIENT = "SG" + "A" * 24
ASKED = {"method": "GET", "route": "/dicom-web/studies/{study}", "status": 200, "from": "192.0.2.7"}

events = pytest.mark.parametrize("event", list(Event))


def entry(event: Event = Event.READ, patient: str | None = None, **values: object) -> Entry:
    made: dict = {
        "subject": "client:viewer",
        "detail": ASKED,
        "study_instance_uid": "1.2.3",
        "permits": ["HDAB-7"],
    }
    return read_entry(7, Record(event, **(made | values)).content(), patient)


@st.composite
def entries(draw: Callable) -> Entry:
    """Any record that can be written, about whatever; the names of its details are words of ours."""
    names, text = st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text(max_size=40)
    record = Record(
        draw(st.sampled_from(list(Event))),
        draw(text),
        draw(st.sampled_from(list(Outcome))),
        draw(st.lists(text, max_size=3)),
        draw(st.none() | text),
        draw(st.none() | text),
        draw(st.dictionaries(names, text | st.integers(), max_size=4)),
    )
    return read_entry(1, record.content())


class TestAuditEvent:
    @events
    def test_is_a_fhir_resource(self, event: Event) -> None:
        made = audit_event(entry(event, PATIENT), SITE)
        assert AuditEvent.model_validate(made).model_dump(mode="json")["type"]

    @given(entries())
    def test_is_one_whatever_the_record_holds(self, made: Entry) -> None:
        AuditEvent.model_validate(audit_event(made, SITE))

    def test_a_character_that_no_string_of_fhir_may_hold_is_replaced(self) -> None:
        made = audit_event(entry(subject="account:\u00a0a\u2003\x0bb c"), SITE)
        named = [agent["who"].get("identifier", {}).get("value") for agent in made["agent"]]
        assert "account:\ufffda\ufffd\ufffdb c" in named
        AuditEvent.model_validate(audit_event(entry(subject="\u00a0"), SITE))

    @pytest.mark.parametrize(
        ("event", "method", "patient", "profile", "action"),
        [
            (Event.READ, "GET", None, "Read", "R"),
            (Event.READ, "GET", PATIENT, "PatientRead", "R"),
            (Event.SEARCH, "GET", None, "Query", "E"),
            (Event.SEARCH, "GET", PATIENT, "PatientQuery", "E"),
            (Event.WRITE, "POST", None, "Create", "C"),
            (Event.WRITE, "PUT", PATIENT, "PatientUpdate", "U"),
            (Event.WRITE, "DELETE", None, "Delete", "D"),
        ],
    )
    def test_names_its_profile(self, event, method, patient, profile, action) -> None:
        made = audit_event(entry(event, patient, detail=ASKED | {"method": method}), SITE)
        named = f"https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.{profile}"
        assert (made["meta"]["profile"], made["action"], made["type"]["code"]) == ([named], action, "rest")

    def test_what_was_denied_names_no_profile_of_what_succeeded(self) -> None:
        made = audit_event(entry(Event.DENIED, outcome=Outcome.REFUSED), SITE)
        assert ("meta" in made, made["outcome"]) == (False, "4")

    @pytest.mark.parametrize(
        ("event", "roles"), [(Event.READ, ["110152", "110153"]), (Event.SEARCH, ["110153", "110152"])]
    )
    def test_the_client_and_the_server_by_their_roles(self, event: Event, roles: list[str]) -> None:
        """BALP Read and Query: the client is the destination of what is read, and the source of a query."""
        client, server = audit_event(entry(event), SITE)["agent"]
        assert [agent["type"]["coding"][0]["code"] for agent in (client, server)] == roles
        assert client["who"]["identifier"]["value"] == "viewer"
        assert (client["network"]["address"], server["network"]["address"]) == ("192.0.2.7", SITE)

    def test_a_person_is_an_agent_beside_the_program(self) -> None:
        client, _, person = audit_event(entry(subject="account:rosa"), SITE)["agent"]
        assert (client["requestor"], person["requestor"]) == (False, True)
        assert person["type"]["coding"][0]["code"] == "IRCP"
        assert person["who"]["identifier"]["value"] == "account:rosa"

    def test_a_query_has_its_keys_and_nothing_that_its_profile_forbids(self) -> None:
        """BALP Query: entity:query has neither what nor detail."""
        made = audit_event(entry(Event.SEARCH, detail=ASKED | {"keys": "PatientName limit"}), SITE)
        query = made["entity"][0]
        assert base64.b64decode(query["query"]).endswith(b"?PatientName=&limit=")
        assert set(query) == {"type", "role", "query"}

    def test_the_studies_that_were_listed_are_an_entity(self) -> None:
        made = audit_event(entry(Event.SEARCH, study_instance_uid=None, shown=["1.2", "1.3"]), SITE)
        _, listed, _ = made["entity"]
        assert [(each["type"], each["valueString"]) for each in listed["detail"]] == [
            ("shown", "1.2"),
            ("shown", "1.3"),
        ]

    def test_one_entity_of_a_type_is_the_patient_and_one_the_data(self) -> None:
        made = audit_event(entry(Event.READ, PATIENT), SITE)
        assert [entity["type"]["code"] for entity in made["entity"]] == ["2", "1", "Consent"]
        assert made["entity"][1]["what"]["identifier"]["value"] == PATIENT


CODE = {"csd-code", "codeSystemName", "originalText"}
ELEMENTS = {
    "AuditMessage": (
        "EventIdentification ActiveParticipant+ AuditSourceIdentification ParticipantObjectIdentification*",
        set(),
    ),
    "EventIdentification": (
        "EventID EventTypeCode* EventOutcomeDescription?",
        {"EventDateTime", "EventOutcomeIndicator"},
    ),
    "ActiveParticipant": ("RoleIDCode* MediaIdentifier?", {"UserID", "UserIsRequestor"}),
    "AuditSourceIdentification": ("AuditSourceTypeCode*", {"AuditSourceID"}),
    "AuditSourceTypeCode": ("", {"csd-code"}),
    "ParticipantObjectIdentification": (
        "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )"
        "ParticipantObjectDetail* ParticipantObjectDescription*",
        {"ParticipantObjectID"},
    ),
    "ParticipantObjectDetail": ("", {"type", "value"}),
    **dict.fromkeys(["EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"], ("", CODE)),
}  # fmt: skip
"""Of PS3.15 A.5.1: the order of an element's children, and the attributes that it must have."""


def check(element: ElementTree.Element) -> None:
    """Assert that an element and all below it are as the schema has them."""
    content, required = ELEMENTS.get(element.tag, ("", set()))
    pattern = re.sub(r"(\w+)([*+?]?) ?", r"(?:\1 )\2", content)
    assert re.fullmatch(pattern, "".join(f"{child.tag} " for child in element)), element.tag
    assert required <= set(element.keys()), element.tag
    for child in element:
        check(child)


class TestAuditMessage:
    @events
    def test_is_as_the_schema_has_it(self, event: Event) -> None:
        check(ElementTree.fromstring(audit_message(entry(event, PATIENT), SITE)))

    @given(entries())
    def test_is_so_whatever_the_record_holds(self, made: Entry) -> None:
        text = audit_message(made, SITE)
        check(ElementTree.fromstring(text))
        assert "\n" not in text

    def test_the_check_itself_can_fail(self) -> None:
        wrong = audit_message(entry(), SITE).replace("AuditSourceIdentification", "ActiveParticipant")
        with pytest.raises(AssertionError):
            check(ElementTree.fromstring(wrong))

    def test_a_transfer_names_study_and_patient(self) -> None:
        """A.5.3.7."""
        message = ElementTree.fromstring(audit_message(entry(Event.READ, PATIENT), SITE))
        assert message.find("EventIdentification/EventID").get("csd-code") == "110104"
        objects = message.findall("ParticipantObjectIdentification")
        assert [each.get("ParticipantObjectID") for each in objects] == ["1.2.3", PATIENT, "HDAB-7"]
        roles = [each.get("csd-code") for each in message.findall("ActiveParticipant/RoleIDCode")]
        assert roles == ["110152", "110153"]

    def test_a_query_has_the_studies_that_were_listed(self) -> None:
        made = entry(Event.SEARCH, study_instance_uid=None, shown=["1.2", "1.3"])
        details = ElementTree.fromstring(audit_message(made, SITE)).iter("ParticipantObjectDetail")
        listed = [each.get("value") for each in details if each.get("type") == "shown"]
        assert [base64.b64decode(value) for value in listed] == [b"1.2", b"1.3"]


def test_every_event_has_a_code() -> None:
    assert set(KINDS) == set(Event)
