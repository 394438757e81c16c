"""Spans: what may stand in one, and how they come to a collector."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from archive.collector import open_spans
from archive.settings import Settings
from archive.spans import Nowhere, Span, spanning
from archive.trace_context import begin, current
from tests.collector import collecting
from tests.unit.test_watching import Kept


def test_a_span_has_no_attribute_but_those_on_the_list() -> None:
    with pytest.raises(ValueError, match="not on the list"):
        Span("read", begin(), 1, 2, attributes={"dicom.patient_name": "x"})


def test_what_is_done_is_a_span_below_its_parent_and_says_only_what_kind_of_error_ended_it() -> None:
    kept, parent = Kept(), begin(100)
    with suppress(KeyError), spanning(kept, "read", parent, task="density"):
        assert current.get() not in (None, parent)
        raise KeyError("DOE^JANE")
    (span,) = kept.spans
    assert (span.parent, span.error, span.attributes) == (
        parent.span_id,
        "KeyError",
        {"senogate.task": "density"},
    )


@pytest.mark.parametrize("parent", [None, begin(0)], ids=["none", "not-drawn"])
def test_without_a_trace_that_is_exported_there_is_no_span(parent: object) -> None:
    kept = Kept()
    with spanning(kept, "read", parent):
        assert current.get() is None
    assert kept.spans == []


def test_traces_are_off_by_default(tmp_path: Path) -> None:
    assert isinstance(open_spans(Settings(home=tmp_path), "gateway"), Nowhere)


def test_a_collector_gets_spans_as_otlp_has_them(tmp_path: Path) -> None:
    context, parent = begin(100), begin(100)
    with collecting() as (collector, address):
        spans = open_spans(Settings(home=tmp_path, traces_url=address), "gateway")
        told = {"http.route": "/dicom-web/studies"}
        spans.export(Span("GET", context, 5, 9, parent.span_id, "server", told, "503"))
        spans.close()
    (span,) = collector.spans
    assert (span.trace_id.hex(), span.span_id.hex()) == (context.trace_id, context.span_id)
    assert (span.parent_span_id.hex(), span.start_time_unix_nano, span.end_time_unix_nano) == (
        parent.span_id,
        5,
        9,
    )
    assert collector.services[span.span_id] == "senogate-gateway"
    assert [one.key for one in span.attributes] == ["http.route"] and span.status.message == "503"


def test_a_collector_that_is_not_there_hinders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.otlp._WAIT", 0.2)
    spans = open_spans(Settings(home=tmp_path, traces_url="http://127.0.0.1:9"), "worker")
    spans.export(Span("read", begin(100), 1, 2))
    spans.close()


def test_a_site_without_traces_loads_no_opentelemetry() -> None:
    loads = "import sys, gateway.watching, inference.arrivals; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads]).returncode == 0
