"""A site as its operations see it: metrics of all its processes, traces through its parts, lines of JSON."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.collector import Collector, collecting
from tests.live import LiveSite, eventually


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def watched(new_home, free_ports, collector: tuple[Collector, str]) -> Iterator[LiveSite]:
    """A site of two gateways that exports traces."""
    extra = {"SENOGATE_GATEWAY_PROCESSES": "2", "SENOGATE_TRACES_URL": collector[1]}
    extra |= {"SENOGATE_LOG_FORMAT": "json", "SENOGATE_ACCESS_LOG": "true", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    live = LiveSite(new_home(), free_ports(3), extra).start()
    yield live
    assert live.stop() == 0


@pytest.fixture(scope="module")
def exam(watched: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory) -> dict[str, Any]:
    """An exam that was sent and read."""
    folder = tmp_path_factory.mktemp("exam")
    for number, instance in enumerate(phantom_exam()):
        (folder / f"{number}.dcm").write_bytes(instance)
    return watched.send(folder)


def scrape(site: LiveSite) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each series of /metrics, over a connection of its own."""
    answer = httpx.get(f"{site.base_url}/metrics", timeout=20, trust_env=False)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def total(site: LiveSite, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    wanted = labels.items()
    return sum(
        value for (each, own), value in scrape(site).items() if each == name and wanted <= dict(own).items()
    )


def test_whichever_gateway_is_asked_tells_of_all_requests(watched: LiveSite) -> None:
    def count() -> float:
        return total(watched, "senogate_http_requests_total", route="/health/live")

    eventually(lambda: {f"gateway-{number}" for number in (1, 2)} <= answering(watched))
    before = count()
    for _ in range(24):
        httpx.get(f"{watched.base_url}/health/live", trust_env=False)
    assert {count() for _ in range(6)} == {before + 24}


def answering(site: LiveSite) -> set[str]:
    """The processes that are told of; none when the connection was one of a gateway that was killed."""
    with suppress(httpx.TransportError):
        return {dict(own)["process"] for name, own in scrape(site) if name == "senogate_process_answers"}
    return set()


def test_the_worker_and_the_keeper_are_told_of_too(watched: LiveSite) -> None:
    assert eventually(lambda: {"worker-1", "keeper-1"} <= answering(watched))


def test_a_gateway_that_is_killed_is_told_of_no_more_until_it_is_back(watched: LiveSite) -> None:
    gateways = [each for each in psutil.Process(watched.pid).children() if "gateway" in each.cmdline()]
    os.kill(gateways[1].pid, signal.SIGKILL)
    assert eventually(lambda: answering(watched) >= {"gateway-1", "gateway-2", "worker-1"})


def test_an_exam_is_counted_on_its_whole_way(watched: LiveSite, exam: dict[str, Any]) -> None:
    names = (
        "senogate_indexed_instances_total",
        "senogate_readings_ended_total",
        "senogate_exams_arrived_today",
    )
    for name in names:
        assert eventually(lambda name=name: total(watched, name) >= 1)
    eventually(lambda: total(watched, "senogate_door_instances_total", verdict="modify") >= 4)
    assert eventually(lambda: total(watched, "senogate_index_lag_changes") == 0)


def test_nothing_of_an_exam_stands_in_what_is_measured(watched: LiveSite, exam: dict[str, Any]) -> None:
    text = httpx.get(f"{watched.base_url}/metrics", trust_env=False).text
    with watched.database() as database:
        rows = database.execute("select study_instance_uid, patient_id from study").fetchall()
    assert rows and not [value for row in rows for value in row if value in text]


def test_a_client_with_the_scope_reads_it_over_oauth(watched: LiveSite) -> None:
    """As Prometheus' `oauth2` does it."""
    added = watched.run("client", "add", "prometheus", "--scope", "metrics.read", "--json").stdout
    secret = json.loads(added)["client_secret"]
    form = {"grant_type": "client_credentials", "scope": "metrics.read"}
    token = httpx.post(
        f"{watched.base_url}/oauth/token", data=form, auth=("prometheus", secret), trust_env=False
    ).json()["access_token"]
    by_proxy = {"Host": "images.example", "X-Forwarded-For": "192.0.2.1"}
    address = f"{watched.base_url}/metrics"
    assert httpx.get(address, headers=by_proxy, trust_env=False).status_code == 401
    known = by_proxy | {"Authorization": f"Bearer {token}"}
    assert httpx.get(address, headers=known, trust_env=False).status_code == 200
    assert httpx.get(f"{watched.dicomweb_url}/studies", headers=known, trust_env=False).status_code == 403


def test_an_exam_is_one_trace_through_orthanc_and_the_worker(
    watched: LiveSite, exam: dict[str, Any], collector: tuple[Collector, str]
) -> None:
    found = collector[0]

    def ways() -> list[list[str]]:
        """Of each reading the spans that it is below."""
        return [
            above(read, {span.span_id: span for span in list(found.spans)}) for read in found.named("read")
        ]

    assert eventually(lambda: ["index", "receive"] in ways()), ways()
    assert {one.trace_id for one in found.named("read")} <= {
        one.trace_id for one in found.named("de-identify")
    }


def above(span: Any, known: dict[bytes, Any]) -> list[str]:
    names = []
    while span := known.get(span.parent_span_id):
        names.append(span.name)
    return names


def test_the_result_is_received_as_a_part_of_the_same_trace(
    watched: LiveSite, exam: dict[str, Any], collector: tuple[Collector, str]
) -> None:
    found = collector[0]

    def received() -> list[Any]:
        reads = {span.span_id for span in found.named("read")}
        return [span for span in found.named("receive") if span.parent_span_id in reads]

    assert eventually(received)


def test_what_is_stored_by_dicomweb_is_one_trace_from_the_gateway_on(
    watched: LiveSite, phantom_exam: Callable[[], list[bytes]], collector: tuple[Collector, str]
) -> None:
    boundary, (instance, *_) = "b", phantom_exam()
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + instance + b"\r\n--b--\r\n"
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
    with watched.client() as client:
        trace = client.post("/studies", content=body, headers=headers).headers["x-request-id"]

    def names() -> set[str]:
        return {span.name for span in collector[0].spans if span.trace_id.hex() == trace}

    assert eventually(lambda: {"POST /dicom-web/studies", "receive", "index"} <= names())


def test_nothing_of_an_exam_stands_in_a_span(
    watched: LiveSite, exam: dict[str, Any], collector: tuple[Collector, str]
) -> None:
    eventually(lambda: collector[0].named("index"))
    with watched.database() as database:
        uids = [uid for (uid,) in database.execute("select study_instance_uid from study")]
    sent = b"".join(collector[0].bodies)
    assert uids and not [uid for uid in uids if uid.encode() in sent]
    assert b"PATIENT" not in sent.upper()


def test_logs_are_objects_and_name_the_trace_of_an_answer(watched: LiveSite) -> None:
    trace = httpx.get(f"{watched.base_url}/health/live", trust_env=False).headers["x-request-id"]

    def lines() -> list[dict[str, Any]]:
        texts = [path.read_text("utf-8") for path in Path(watched.home, "logs").glob("gateway*.log")]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    assert eventually(lambda: [line for line in lines() if line.get("trace") == trace])
    (line,) = [line for line in lines() if line.get("trace") == trace]
    assert (line["route"], line["status"], line["part"]) == ("/health/live", 200, "gateway")
