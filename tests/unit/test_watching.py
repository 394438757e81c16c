"""What is noted of each request: by its route's template, whatever the address holds."""

import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from archive import measures
from archive.logs import Json
from archive.spans import Span
from archive.trace_context import parse
from gateway import ways
from gateway.watching import Watching, templates_of
from tests.unit import fake_site
from tests.unit.fake_site import Client

UID = "1.2.840.99"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Kept:
    """Keeps spans."""

    def __init__(self, share: int = 100) -> None:
        self.share = share
        self.spans: list[Span] = []

    def export(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        return


async def show(request: Request) -> PlainTextResponse:
    return PlainTextResponse("shown")


async def break_off(request: Request) -> PlainTextResponse:
    raise RuntimeError("DOE^JANE")


def client(spans: Kept | None = None, *, writes_log: bool = False) -> Client:
    inner = [Route("/series", show), Route("/studies/{study}/series", show)]
    application = Starlette(
        routes=[Route("/broken", break_off), Mount("/dicom-web", routes=inner)],
        middleware=[Middleware(Watching, spans=spans, writes_log=writes_log)],
    )
    return Client(application)


def counted() -> Counter[tuple[str, ...]]:
    """Requests by method, route and status."""
    found: Counter[tuple[str, ...]] = Counter()
    for family in text_string_to_metric_families(measures.text()):
        for sample in family.samples:
            if sample.name == "senogate_http_requests_total":
                found[tuple(sample.labels[name] for name in ("method", "route", "status"))] = int(
                    sample.value
                )
    return found


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/dicom-web/series", "/dicom-web/series"),
        (f"/dicom-web/studies/{UID}/series", "/dicom-web/studies/{study}/series"),
        ("/dicom-web/DOE^JANE", "/dicom-web"),
        ("/DOE^JANE", "none"),
    ],
)
def test_a_request_is_counted_by_the_template_of_its_route(path: str, route: str) -> None:
    before, status = counted(), "200" if path.endswith("series") else "404"
    client().get(path)
    assert counted() - before == Counter({("GET", route, status): 1})


def test_a_method_that_is_none_is_one_of_the_others() -> None:
    before = counted()
    for method in ("DOE", "JANE"):
        client().request(method, "/dicom-web/series")
    assert set(counted() - before) == {("other", "/dicom-web/series", "405")}


def test_no_uid_stands_in_what_is_measured() -> None:
    client().get(f"/dicom-web/studies/{UID}/series?PatientName=DOE")
    assert UID not in measures.text() and "DOE" not in measures.text()


def test_every_route_of_a_site_is_known_by_what_a_request_is_found_at(tmp_path: Path) -> None:
    site = fake_site.build(tmp_path)
    routes = ways.routes(site.client._application.state.services)
    found = templates_of(routes)
    assert len(found) > 150 and not [path for path in found.values() if UID in path]
    assert [path for path in found.values() if " " in path and "{" in path] == []


def test_routes_of_one_endpoint_that_nothing_tells_apart_are_counted_together() -> None:
    assert set(templates_of([Route("/a", show), Route("/b", show)]).values()) == {"/a /b"}


def test_an_answer_names_its_trace() -> None:
    answer = client().get("/dicom-web/series", headers={"traceparent": TRACEPARENT})
    assert answer.headers["x-request-id"] == TRACEPARENT.split("-")[1]


def test_a_header_that_is_malformed_gets_a_trace_of_its_own() -> None:
    answer = client().get("/dicom-web/series", headers={"traceparent": "DOE^JANE"})
    assert len(bytes.fromhex(answer.headers["x-request-id"])) == 16


def test_a_request_is_a_span_below_its_clients() -> None:
    kept, sent = Kept(), parse(TRACEPARENT)
    client(kept).get(f"/dicom-web/studies/{UID}/series", headers={"traceparent": TRACEPARENT})
    (span,) = kept.spans
    assert sent and (span.context.trace_id, span.parent) == (sent.trace_id, sent.span_id)
    assert span.name == "GET /dicom-web/studies/{study}/series"
    assert span.attributes["http.response.status_code"] == 200


def test_a_client_can_t_have_traces_exported_that_the_site_does_not_draw() -> None:
    kept = Kept(share=0)
    client(kept).get("/dicom-web/series", headers={"traceparent": TRACEPARENT})
    assert kept.spans == []


def test_who_went_away_is_counted_and_a_failure_is_one() -> None:
    before, kept = counted(), Kept()
    with pytest.raises(RuntimeError):
        client(kept).get("/broken")
    assert counted() - before == Counter({("GET", "/broken", "499"): 1})


def test_a_line_of_the_log_has_the_route_and_no_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "senogate.access"):
        client(writes_log=True).get(f"/dicom-web/studies/{UID}/series?PatientName=DOE")
    line = json.loads(Json("gateway").format(caplog.records[-1]))
    assert (line["method"], line["route"]) == ("GET", "/dicom-web/studies/{study}/series")
    assert line["status"] == 200 and UID not in caplog.text and "DOE" not in caplog.text


def test_by_default_requests_leave_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "senogate.access"):
        client().get("/dicom-web/series")
    assert caplog.records == []
