"""UPS-RS: the Worklist Service (PS3.18 chapter 11, PS3.4 annex CC)."""

import json
import re
import uuid

import psycopg
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from archive.attributes import tag
from archive.workitem import FILTERED_WORKLIST, GLOBAL_WORKLIST, State
from gateway.native_model import render_native_model
from gateway.ups import channel
from tests.live import eventually
from tests.unit.native_model import read_native_model

DICOM_JSON = {"Content-Type": "application/dicom+json"}


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def data_set(**attributes) -> dict:
    vrs = {"ProcedureStepState": "CS", "ScheduledProcedureStepStartDateTime": "DT", "TransactionUID": "UI"}
    return {
        tag(keyword): {"vr": vrs.get(keyword, "SQ" if isinstance(value, dict) else "LO"), "Value": [value]}
        for keyword, value in attributes.items()
    }


def workitem(**more) -> dict:
    return data_set(
        **{
            "ProcedureStepState": "SCHEDULED",
            "ScheduledProcedureStepPriority": "MEDIUM",
            "ProcedureStepLabel": "Density",
            "ScheduledProcedureStepStartDateTime": "20260101",
            "InputReadinessState": "READY",
        }
        | more
    )


PERFORMED = data_set(
    UnifiedProcedureStepPerformedProcedureSequence=data_set(
        PerformedProcedureStepStartDateTime="20260101", PerformedProcedureStepEndDateTime="20260102"
    )
)


class Worklist:
    """The requests of the service, as a program makes them."""

    def __init__(self, client) -> None:
        self.client = client

    def create(self, payload=None, uid=None):
        uid = uid or new_uid()
        answer = self.client.post(
            f"/workitems?{uid}", content=json.dumps(payload or workitem()), headers=DICOM_JSON
        )
        return uid, answer

    def post(self, path, payload):
        return self.client.post(path, content=json.dumps([payload]), headers=DICOM_JSON)

    def state(self, uid, state, transaction=None):
        payload = data_set(
            ProcedureStepState=state, **({"TransactionUID": transaction} if transaction else {})
        )
        return self.client.put(f"/workitems/{uid}/state", content=json.dumps(payload), headers=DICOM_JSON)

    def in_state(self, state):
        """A new workitem in that state, and its Transaction UID."""
        uid, transaction = self.create()[0], new_uid()
        if state != State.SCHEDULED:
            assert self.state(uid, State.IN_PROGRESS, transaction).status_code == 200
        if state in (State.COMPLETED, State.CANCELED):
            assert self.post(f"/workitems/{uid}?{transaction}", PERFORMED).status_code == 200
            assert self.state(uid, state, transaction).status_code == 200
        return uid, transaction

    def get(self, uid):
        (found,) = self.client.get(f"/workitems/{uid}").json()
        return found


@pytest.fixture
def worklist(dicomweb):
    return Worklist(dicomweb)


class TestCreate:
    """Section 11.4."""

    def test_a_workitem_is_created_where_its_location_says(self, worklist, gateway):
        uid, answer = worklist.create()
        assert (answer.status_code, answer.content) == (201, b"")
        assert answer.headers["location"] == f"{gateway.settings.dicomweb_url}/workitems/{uid}"
        found = worklist.get(uid)
        assert found[tag("SOPInstanceUID")]["Value"] == [uid]
        assert found[tag("ProcedureStepLabel")]["Value"] == ["Density"]
        assert found[tag("PatientName")] == {"vr": "PN"}

    def test_without_a_uid_one_is_made(self, worklist):
        answer = worklist.post("/workitems", workitem())
        assert answer.status_code == 201
        assert worklist.client.get(answer.headers["location"]).status_code == 200

    def test_the_uid_may_be_in_the_data_set(self, worklist):
        uid = new_uid()
        answer = worklist.post("/workitems", workitem(SOPInstanceUID=uid))
        assert answer.headers["location"].endswith(uid)

    def test_one_that_exists_is_a_conflict(self, worklist):
        uid, _ = worklist.create()
        assert worklist.create(uid=uid)[1].status_code == 409

    @pytest.mark.parametrize(
        "keyword", ["ScheduledProcedureStepPriority", "ProcedureStepLabel", "InputReadinessState"]
    )
    def test_what_the_standard_requires_is_required(self, worklist, keyword):
        """PS3.4 table CC.2.5-3; the problem names the attribute."""
        payload = workitem()
        del payload[tag(keyword)]
        _, answer = worklist.create(payload)
        assert (answer.status_code, tag(keyword) in answer.json()["detail"]) == (400, True)

    @pytest.mark.parametrize("more", [{"ProcedureStepState": "IN PROGRESS"}, {"TransactionUID": "1.2.3"}])
    def test_none_is_created_as_claimed(self, worklist, more):
        assert worklist.create(workitem(**more))[1].status_code == 400

    def test_no_identity_comes_in_by_it(self, worklist):
        secret = data_set(PatientName="Doe^Jane", OtherPatientIDs="4711", PatientComments="Jane")
        uid, answer = worklist.create(workitem() | secret)
        assert answer.headers["warning"].startswith("299 ")
        assert "Jane" not in json.dumps(worklist.get(uid)) + "".join(
            re.findall("4711", json.dumps(worklist.get(uid)))
        )

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [
            ("{", "application/dicom+json", 400),
            ("[]", "application/dicom+json", 400),
            ("[1]", "application/dicom+json", 400),
            ('{"x": {}}', "application/dicom+json", 400),
            ('{"00741204": {"vr": "LO", "Value": "x"}}', "application/dicom+json", 400),
            ("[" * 5000, "application/dicom+json", 400),
            ('{"00741204": {"vr": "LO", "Value": ["\\u0000"]}}', "application/dicom+json", 400),
            ("{}", "text/plain", 415),
            (" " * 300_000, "application/dicom+json", 413),
        ],
    )
    def test_what_is_no_data_set_is_refused(self, dicomweb, content, kind, status):
        answer = dicomweb.post("/workitems", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


class TestStates:
    """Section 11.7 and PS3.4 table CC.1.1-2."""

    @pytest.mark.parametrize(
        ("before", "wanted", "status"),
        [
            ("SCHEDULED", "IN PROGRESS", 200),
            ("SCHEDULED", "COMPLETED", 409),
            ("SCHEDULED", "CANCELED", 409),
            ("SCHEDULED", "SCHEDULED", 400),
            ("IN PROGRESS", "IN PROGRESS", 409),
            ("IN PROGRESS", "CANCELED", 200),
            ("IN PROGRESS", "SCHEDULED", 400),
            ("COMPLETED", "COMPLETED", 200),
            ("COMPLETED", "CANCELED", 409),
            ("COMPLETED", "IN PROGRESS", 409),
            ("CANCELED", "CANCELED", 200),
            ("CANCELED", "COMPLETED", 409),
            ("CANCELED", "IN PROGRESS", 409),
        ],
    )
    def test_each_transition(self, worklist, before, wanted, status):
        uid, transaction = worklist.in_state(before)
        answer = worklist.state(uid, wanted, transaction)
        assert answer.status_code == status
        after = worklist.get(uid)[tag("ProcedureStepState")]["Value"]
        assert after == [wanted if status == 200 else before]
        assert ("already" in answer.headers.get("warning", "")) == (status == 200 and before == wanted)

    def test_a_step_is_completed_when_it_says_what_was_performed(self, worklist):
        uid, transaction = worklist.in_state("IN PROGRESS")
        assert worklist.state(uid, "COMPLETED", transaction).status_code == 409
        assert worklist.post(f"/workitems/{uid}?{transaction}", PERFORMED).status_code == 200
        assert worklist.state(uid, "COMPLETED", transaction).status_code == 200

    @pytest.mark.parametrize(("transaction", "said"), [(None, "missing"), ("1.2.3", "incorrect")])
    def test_only_who_claimed_it_ends_it(self, worklist, transaction, said):
        """Table 11.7.3-2 words the warning."""
        uid, _ = worklist.in_state("IN PROGRESS")
        answer = worklist.state(uid, "CANCELED", transaction)
        assert (answer.status_code, said in answer.headers["warning"]) == (409, True)

    def test_the_transaction_uid_is_told_nobody(self, worklist, dicomweb):
        uid, transaction = worklist.in_state("COMPLETED")
        assert transaction not in json.dumps(worklist.get(uid)) + dicomweb.get("/workitems").text

    def test_what_is_not_there_is_not_found(self, worklist, dicomweb):
        assert worklist.state(new_uid(), "IN PROGRESS", "1.2").status_code == 404
        assert dicomweb.get(f"/workitems/{new_uid()}").status_code == 404
        assert worklist.post(f"/workitems/{new_uid()}", {}).status_code == 404


class TestUpdate:
    """Section 11.6."""

    def test_one_that_is_scheduled_needs_no_transaction(self, worklist):
        uid, _ = worklist.create()
        assert worklist.post(f"/workitems/{uid}", data_set(ProcedureStepLabel="Again")).status_code == 200
        assert worklist.get(uid)[tag("ProcedureStepLabel")]["Value"] == ["Again"]

    @pytest.mark.parametrize("query", ["", "?1.2.3", "?transaction-uid=1.2.3"])
    def test_one_in_progress_needs_its_own(self, worklist, query):
        uid, transaction = worklist.in_state("IN PROGRESS")
        assert worklist.post(f"/workitems/{uid}{query}", PERFORMED).status_code == 400
        assert worklist.post(f"/workitems/{uid}?transaction-uid={transaction}", PERFORMED).status_code == 200

    @pytest.mark.parametrize("state", ["COMPLETED", "CANCELED"])
    def test_one_that_has_ended_is_not_updated(self, worklist, state):
        uid, transaction = worklist.in_state(state)
        assert worklist.post(f"/workitems/{uid}?{transaction}", PERFORMED).status_code == 400

    @pytest.mark.parametrize(
        "more", [{"ProcedureStepState": "COMPLETED"}, {"PatientID": "x"}, {"SOPInstanceUID": "1.2"}]
    )
    def test_what_an_update_can_not_set(self, worklist, more):
        uid, _ = worklist.create()
        assert worklist.post(f"/workitems/{uid}", data_set(**more)).status_code == 400


class TestCancellation:
    """Section 11.8."""

    def test_one_that_nobody_claimed_is_canceled(self, worklist):
        uid, _ = worklist.create()
        assert worklist.post(f"/workitems/{uid}/cancelrequest", {}).status_code == 202
        found = worklist.get(uid)
        assert found[tag("ProcedureStepState")]["Value"] == ["CANCELED"]
        (progress,) = found[tag("ProcedureStepProgressInformationSequence")]["Value"]
        assert tag("ProcedureStepCancellationDateTime") in progress

    def test_a_request_needs_no_payload(self, worklist, dicomweb):
        uid, _ = worklist.create()
        assert dicomweb.post(f"/workitems/{uid}/cancelrequest").status_code == 202

    @pytest.mark.parametrize(
        ("state", "status", "said"),
        [
            ("COMPLETED", 409, "already COMPLETED"),
            ("CANCELED", 202, "CANCELED"),
            ("IN PROGRESS", 409, "contacted"),
        ],
    )
    def test_others(self, worklist, state, status, said):
        uid, _ = worklist.in_state(state)
        answer = worklist.post(f"/workitems/{uid}/cancelrequest", {})
        assert (answer.status_code, said in answer.headers["warning"]) == (status, True)


class TestSearch:
    """Section 11.9."""

    def test_by_attributes_and_those_in_items(self, worklist, dicomweb):
        label = uuid.uuid4().hex
        code = data_set(CodeValue=label, CodingSchemeDesignator="99TEST", CodeMeaning="a test")
        uid, _ = worklist.create(workitem(ProcedureStepLabel=label, ScheduledWorkitemCodeSequence=code))
        worklist.create()
        for query in (
            f"ProcedureStepLabel={label}",
            f"00741204={label[:20]}*&ProcedureStepState=SCHEDULED",
            f"ScheduledWorkitemCodeSequence.CodeValue={label}",
            f"ScheduledProcedureStepStartDateTime=2025-2026&ProcedureStepLabel={label}",
        ):
            (found,) = dicomweb.get(f"/workitems?{query}").json()
            assert found[tag("SOPInstanceUID")]["Value"] == [uid]
        assert (
            dicomweb.get(f"/workitems?ProcedureStepLabel={label}&ProcedureStepState=COMPLETED").json() == []
        )

    def test_pages(self, worklist, dicomweb):
        label = uuid.uuid4().hex
        for _ in range(3):
            worklist.create(workitem(ProcedureStepLabel=label))
        pages = [
            dicomweb.get(f"/workitems?ProcedureStepLabel={label}&limit=1&offset={at}") for at in range(4)
        ]
        assert [len(page.json()) for page in pages] == [1, 1, 1, 0]

    @pytest.mark.parametrize("query", ["Foo=1", "limit=x", "StudyDate=2020"])
    def test_what_can_not_be_searched_is_refused(self, dicomweb, query):
        assert dicomweb.get(f"/workitems?{query}").status_code == 400


class TestXml:
    """Section 11.1.3: payloads of one part in the Native DICOM Model."""

    XML = {"Content-Type": "application/dicom+xml"}

    def test_a_workitem_is_created_and_retrieved(self, dicomweb):
        payload = render_native_model(workitem(ProcedureStepLabel="In XML"))
        created = dicomweb.post("/workitems", content=payload, headers=self.XML)
        assert created.status_code == 201, created.text
        answer = dicomweb.get(created.headers["location"], headers={"Accept": "application/dicom+xml"})
        assert answer.headers["content-type"] == "application/dicom+xml"
        assert read_native_model(answer.content)[tag("ProcedureStepLabel")]["Value"] == ["In XML"]

    def test_its_state_is_changed(self, worklist, dicomweb):
        uid, _ = worklist.create()
        payload = render_native_model(data_set(ProcedureStepState="IN PROGRESS", TransactionUID="1.2.3"))
        answer = dicomweb.put(f"/workitems/{uid}/state", content=payload, headers=self.XML)
        assert answer.status_code == 200
        assert worklist.get(uid)[tag("ProcedureStepState")]["Value"] == ["IN PROGRESS"]

    @pytest.mark.parametrize("document", [b"<a/>", b"<a", b"{}", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
    def test_what_is_no_data_set(self, dicomweb, document):
        assert dicomweb.post("/workitems", content=document, headers=self.XML).status_code == 400


class TestEvents:
    """Sections 11.10 to 11.13 and 8.10."""

    def listen(self, gateway, name):
        address = re.sub("^http", "ws", gateway.settings.dicomweb_url) + f"/ws/subscribers/{name}"
        return connect(address, additional_headers={"Authorization": f"Bearer {gateway.token}"})

    def test_a_subscriber_hears_of_each_change(self, worklist, gateway):
        uid, name = worklist.create()[0], uuid.uuid4().hex
        answer = worklist.client.post(f"/workitems/{uid}/subscribers/{name}?deletionlock=false")
        assert answer.status_code == 201
        assert answer.headers["content-location"].startswith("ws://")
        with self.listen(gateway, name) as channel:
            first = json.loads(channel.recv(timeout=20))
            worklist.state(uid, "IN PROGRESS", "1.2.3")
            second = json.loads(channel.recv(timeout=20))
        assert [each[tag("ProcedureStepState")]["Value"] for each in (first, second)] == [
            ["SCHEDULED"],
            ["IN PROGRESS"],
        ]
        assert (second["00001000"]["Value"], second["00001002"]["Value"]) == ([uid], [1])

    def test_a_subscriber_hears_of_it_at_once(self, worklist, gateway, monkeypatch):
        """PostgreSQL announces it: nobody has to look again."""
        monkeypatch.setattr(channel, "INTERVAL", 3600)
        uid, name = worklist.create()[0], uuid.uuid4().hex
        worklist.client.post(f"/workitems/{uid}/subscribers/{name}")
        with self.listen(gateway, name) as connection:
            assert json.loads(connection.recv(timeout=20))
            worklist.state(uid, "IN PROGRESS", "1.2.3")
            assert json.loads(connection.recv(timeout=20))[tag("ProcedureStepState")]["Value"] == [
                "IN PROGRESS"
            ]

    def test_what_comes_while_postgresql_lets_nobody_listen_is_heard_later(self, worklist, gateway):
        uid, name = worklist.create()[0], uuid.uuid4().hex
        with self.listen(gateway, name) as listening:
            cut = "select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%'"
            with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
                eventually(lambda: connection.execute(cut).rowcount)
            worklist.client.post(f"/workitems/{uid}/subscribers/{name}")
            assert json.loads(listening.recv(timeout=20))["00001000"]["Value"] == [uid]

    def test_who_subscribes_to_the_worklist_hears_of_new_ones(self, worklist, gateway, dicomweb):
        name, label = uuid.uuid4().hex, uuid.uuid4().hex
        filtered = f"/workitems/{FILTERED_WORKLIST}/subscribers/{name}"
        assert dicomweb.post(f"{filtered}?ProcedureStepLabel={label}").status_code == 201
        worklist.create()
        uid, _ = worklist.create(workitem(ProcedureStepLabel=label))
        with self.listen(gateway, name) as channel:
            assert json.loads(channel.recv(timeout=20))["00001000"]["Value"] == [uid]
        assert dicomweb.delete(filtered).status_code == 200
        assert dicomweb.delete(filtered).status_code == 404

    def test_a_performer_that_listens_is_asked_to_cancel(self, worklist, gateway):
        uid, _ = worklist.in_state("IN PROGRESS")
        name = uuid.uuid4().hex
        worklist.client.post(f"/workitems/{uid}/subscribers/{name}")
        reason = data_set(ReasonForCancellation="a mistake")
        assert worklist.post(f"/workitems/{uid}/cancelrequest", reason).status_code == 202
        with self.listen(gateway, name) as channel:
            events = [json.loads(channel.recv(timeout=20)) for _ in range(2)]
        assert events[1]["00001002"]["Value"] == [2]
        assert worklist.get(uid)[tag("ProcedureStepState")]["Value"] == ["IN PROGRESS"]

    def test_a_suspended_subscription_brings_no_new_ones(self, worklist, dicomweb):
        name = uuid.uuid4().hex
        path = f"/workitems/{GLOBAL_WORKLIST}/subscribers/{name}"
        assert dicomweb.post(path).status_code == 201
        assert dicomweb.post(f"{path}/suspend").status_code == 200
        assert dicomweb.post(f"{path}/suspend").status_code == 404

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/workitems/9.9.9/subscribers/A", 404),
            ("/workitems/x/subscribers/A", 400),
            (f"/workitems/{GLOBAL_WORKLIST}/subscribers/A?PatientID=1", 400),
            (f"/workitems/{FILTERED_WORKLIST}/subscribers/A?Foo=1", 400),
            (f"/workitems/{GLOBAL_WORKLIST}/subscribers/A?deletionlock=perhaps", 400),
            (f"/workitems/{GLOBAL_WORKLIST}/subscribers/%00", 400),
        ],
    )
    def test_what_can_not_be_subscribed_to(self, dicomweb, path, status):
        assert dicomweb.post(path).status_code == status

    def test_the_channel_asks_for_a_token(self, gateway):
        with pytest.raises(InvalidStatus) as refused:
            connect(re.sub("^http", "ws", gateway.settings.dicomweb_url) + "/ws/subscribers/A")
        assert refused.value.response.status_code == 401


class TestReadings:
    """What asks this site itself for a reading."""

    def ask(self, study, task="density"):
        code = data_set(CodeValue=task, CodingSchemeDesignator="99SENOGATE", CodeMeaning="reading")
        information = data_set(StudyInstanceUID=study)
        return workitem(ScheduledWorkitemCodeSequence=code, InputInformationSequence=information)

    @pytest.mark.parametrize("payload", [("9.9.9", "density"), ("1.1", "horoscope"), ("x", "density")])
    def test_one_that_can_not_be_done_is_refused(self, worklist, payload):
        assert worklist.create(self.ask(*payload))[1].status_code == 400
