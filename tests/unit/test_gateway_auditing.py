"""What is asked of the gateway is on record before it answers, and where it can't be, nothing is answered."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from archive.audit import Event, Outcome, Record
from archive.errors import NotFound, Unavailable
from archive.policy import Principal
from gateway.auditing import ANONYMOUS, Auditing, note, note_shown
from gateway.problem import HANDLERS, LastResort
from tests.unit.fake_site import FakeSite, FakeTrail, build

PATIENT = "SG" + "A" * 24
WADO_URI = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4"
SERVED: list[str] = []


@pytest.fixture
def trail() -> FakeTrail:
    return FakeTrail()


@pytest.fixture
def client(trail: FakeTrail) -> Iterator[TestClient]:
    """An application that is audited and, as each part of it begins to answer, counts what the trail has by then."""
    SERVED.clear()

    async def plain(request: Request) -> Response:
        request.scope["principal"] = Principal("client:a", frozenset())
        request.scope["permits_used"] = ("P-1",)
        note(request, results=3)
        note_shown(request, ["1.2", "1.3"])
        return Response(b"x", int(request.query_params.get("limit", 200)))

    async def stream(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            SERVED.append(f"{len(trail.records)} recorded")
            yield b"x"

        return StreamingResponse(parts())

    async def hidden(request: Request) -> Response:
        raise NotFound("no such resource")

    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    async def channel(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"{len(trail.records)} recorded")
        await websocket.close()

    routes = [
        Route("/studies", plain, methods=["GET", "POST", "OPTIONS"]),
        Route("/studies/{study}", stream),
        Route("/studies/{study}/series/{series}", hidden),
        Route("/broken", broken),
        WebSocketRoute("/ws/{name}", channel),
    ]
    audited = Middleware(Auditing, trail=trail, is_pseudonym=lambda text: text == PATIENT)
    app = Starlette(
        routes=[Mount("/dicom-web", app=Router(routes), middleware=[audited])],
        middleware=[Middleware(LastResort)],
        exception_handlers=HANDLERS,
    )
    with TestClient(app, base_url="http://site.test/dicom-web", raise_server_exceptions=False) as made:
        yield made


def only(trail: FakeTrail) -> Record:
    (record,) = trail.records
    return record


class TestRecord:
    def test_says_who_under_which_permit_and_with_how_many_results(self, client, trail) -> None:
        client.get("/studies?limit=203")
        record = only(trail)
        assert (record.event, record.subject, record.permits) == (Event.SEARCH, "client:a", ("P-1",))
        assert record.outcome == Outcome.SUCCESS
        assert record.detail["results"] == 3

    def test_names_the_study_and_not_the_path(self, client, trail) -> None:
        client.get("/studies/1.2.3")
        record = only(trail)
        assert (record.event, record.study_instance_uid) == (Event.READ, "1.2.3")
        assert record.detail["route"] == "/dicom-web/studies/{study}"

    def test_names_the_studies_that_an_answer_lists(self, client, trail) -> None:
        client.get("/studies")
        assert only(trail).shown == ["1.2", "1.3"]

    def test_a_study_that_is_named_is_not_listed_as_well(self, client, trail) -> None:
        client.get("/studies?StudyInstanceUID=1.2")
        assert (only(trail).study_instance_uid, only(trail).shown) == ("1.2", None)

    def test_an_error_lists_none(self, client, trail) -> None:
        client.get("/studies?limit=406")
        assert only(trail).shown is None

    def test_what_is_stored_is_a_write(self, client, trail) -> None:
        client.post("/studies")
        assert only(trail).event == Event.WRITE

    def test_an_absence_is_a_denial_with_its_uids(self, client, trail) -> None:
        client.get("/studies/1.2.3/series/1.2.4")
        record = only(trail)
        assert (record.event, record.outcome) == (Event.DENIED, Outcome.REFUSED)
        assert (record.study_instance_uid, record.detail["series"]) == ("1.2.3", "1.2.4")

    def test_an_unforeseen_error_is_one_too(self, client, trail) -> None:
        assert client.get("/broken").status_code == 500
        assert only(trail).outcome == Outcome.FAILED

    @pytest.mark.parametrize(
        "path", ["/studies/Doe^Jane", "/Doe^Jane", "/studies/1.2/series/Doe^Jane", "/Doe^Jane/x"]
    )
    def test_no_part_of_an_address_that_could_be_a_value(self, client, trail, path: str) -> None:
        client.get(path)
        assert "Doe" not in only(trail).content()

    def test_no_method_that_could_be_one(self, client, trail) -> None:
        client.request("JANEDOE", "/studies")
        assert only(trail).detail["method"] == "?"

    def test_the_keys_of_a_query_and_no_values(self, client, trail) -> None:
        client.get(
            "/studies?PatientName=Doe^Jane&00100030=1960&Doe^Jane=&19600102&RequestAttributesSequence.Modality=Doe"
        )
        content = only(trail).content()
        assert (
            json.loads(content)["detail"]["keys"]
            == "PatientName 00100030 ? ? RequestAttributesSequence.Modality"
        )
        assert "Doe" not in content and "1960" not in content

    def test_the_patient_that_is_asked_for_by_pseudonym(self, client, trail) -> None:
        client.get(f"/studies?0020000D=1.2&00100020={PATIENT}")
        record = only(trail)
        assert (record.study_instance_uid, record.patient_id) == ("1.2", PATIENT)

    def test_never_a_patient_id_that_is_no_pseudonym(self, client, trail) -> None:
        client.get("/studies?PatientID=4711&StudyInstanceUID=4711-x")
        assert "4711" not in only(trail).content()

    def test_options_tell_nothing_and_are_not_recorded(self, client, trail) -> None:
        client.options("/studies")
        assert trail.records == []


class TestBeforeTheFirstByte:
    def test_of_a_stream(self, client) -> None:
        client.get("/studies/1.2.3")
        assert SERVED == ["1 recorded"]

    def test_of_a_websocket(self, client, trail) -> None:
        with client.websocket_connect("/dicom-web/ws/a") as websocket:
            assert websocket.receive_text() == "1 recorded"
        assert only(trail).detail["status"] == 101

    @pytest.mark.parametrize(
        "path", ["/studies", "/studies/1.2.3", "/studies/1.2/series/1.3", "/nothing", "/broken"]
    )
    def test_without_a_trail_nothing_is_served(self, client, trail, path: str) -> None:
        trail.problem = Unavailable("the audit trail can't be written")
        answer = client.get(path)
        assert (answer.status_code, SERVED) == (503, [])
        assert answer.headers["content-type"] == "application/problem+json"

    def test_without_a_trail_no_connection_opens(self, client, trail) -> None:
        trail.problem = Unavailable("the audit trail can't be written")
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/dicom-web/ws/a"):
            pass


class TestGateway:
    @pytest.fixture
    def site(self, tmp_path: Path) -> FakeSite:
        return build(tmp_path)

    def test_a_request_without_a_token(self, site: FakeSite) -> None:
        site.client.get("/dicom-web/studies/1.2.3/metadata")
        record = only(site.trail)
        assert (record.event, record.subject, record.study_instance_uid) == (Event.DENIED, ANONYMOUS, "1.2.3")

    @pytest.mark.parametrize("path", ["/dicom-web/studies", WADO_URI, "/dicom-web/workitems"])
    def test_a_token_without_the_scope(self, site: FakeSite, path: str) -> None:
        assert site.client.get(path, headers=site.bearer("dicomweb.write")).status_code == 403
        record = only(site.trail)
        assert (record.event, record.detail["status"]) == (Event.DENIED, 403)
        assert record.subject == "administrator"

    def test_health_is_told_without_a_trail(self, site: FakeSite) -> None:
        site.trail.problem = Unavailable("the audit trail can't be written")
        assert site.client.get("/health/live").status_code == 200
