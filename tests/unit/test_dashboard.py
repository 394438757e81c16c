"""The dashboard and the alerts that come with a site: what they ask for exists, and Prometheus understands them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from archive import measures
from gateway.site_measures import HELP

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "senogate-rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "senogate.json").read_text("utf-8"))
OF_PROMETHEUS = {"up"}
PROCESS = {"cpu_seconds_total", "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds"}


def told() -> dict[str, set[str]]:
    """By the name of each series that /metrics may tell, its labels, those of a process's among them."""
    series: dict[str, set[str]] = {name: set() for name in HELP}
    series |= {f"process_{name}": {"process"} for name in PROCESS}
    for family in measures.REGISTRY._names_to_collectors.values():
        labels = {*getattr(family, "_labelnames", ()), "process"}
        kind, name = getattr(family, "_type", ""), getattr(family, "_name", "")
        names = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
        series |= {f"{name}{ending}": labels for ending in names}
    return series


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


QUERIES = [
    (panel["title"], target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*"))
    for panel in panels()
    for target in panel["targets"]
]
ALERTS = [
    (rule["alert"], rule["expr"]) for rule in yaml.safe_load(RULES.read_text("utf-8"))["groups"][0]["rules"]
]
ASKED = [(f"{name} {number}", query) for number, (name, query) in enumerate([*QUERIES, *ALERTS])]


@pytest.mark.parametrize("query", [query for _, query in ASKED], ids=[name for name, _ in ASKED])
def test_what_is_asked_for_is_measured(query: str) -> None:
    names = set(re.findall(r"\b((?:senogate|process)_\w+|up\b)", re.sub(r'"[^"]*"', "", query)))
    assert names and names <= told().keys() | OF_PROMETHEUS


def test_everything_that_is_measured_of_a_site_is_shown_or_told_of() -> None:
    asked = " ".join(query for _, query in ASKED)
    seldom = {
        *("senogate_orthanc_info", "senogate_exams_arrived_week", "senogate_index_unreadable_instances"),
        *("senogate_webhooks", "senogate_access_requests_open", "senogate_erasures_open"),
        *("senogate_catalogue_records", "senogate_catalogue_records_faulty", "senogate_audit_records"),
        *("senogate_audit_verified_timestamp_seconds", "senogate_signing_key_made_timestamp_seconds"),
    }
    assert {name for name in HELP if name not in asked} == seldom


def test_panels_lie_side_by_side_and_never_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & taken and place["x"] + place["w"] <= 24
        taken |= own


def test_panels_have_numbers_of_their_own_and_ask_the_source_that_is_chosen() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    sources = {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]}
    assert sources == {"${datasource}"}


def test_documents_name_every_metric() -> None:
    text = (DEPLOY.parent / "docs" / "watching.md").read_text("utf-8")
    documented = set(re.findall(r"`((?:senogate|process)_\w+)`", text))
    counted = {name.removesuffix("_bucket") for name in told() if not name.endswith(("_sum", "_count"))}
    assert documented >= counted - {f"process_{name}" for name in PROCESS}


@pytest.fixture
def promtool() -> str:
    own = Path(sys.executable).parent / "promtool"  # where tools/setup.sh puts it
    found = str(own) if own.exists() else shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed: it comes with Debian's package prometheus")
    return found


def run(promtool: str, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], cwd=RULES.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_the_alerts_and_they_come_when_they_should(promtool: str) -> None:
    run(promtool, "check", "rules", RULES.name)
    run(promtool, "test", "rules", "senogate-rules-test.yml")


def test_prometheus_understands_its_own_part(promtool: str) -> None:
    run(promtool, "check", "config", "--syntax-only", "prometheus.yml")


def test_prometheus_understands_what_the_dashboard_asks(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"asked:{number}", "expr": query} for number, (_, query) in enumerate(QUERIES)]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    run(promtool, "check", "rules", str(tmp_path / "asked.yml"))
