"""What the plugin remembers of instances that came in, for the worker to make spans of; and what it counts."""

import threading

import pytest

from archive.spans import Span
from archive.trace_context import begin, parse
from inference.arrivals import ArrivalSpans
from orthanc_plugin.arrivals import Arrivals
from orthanc_plugin.tally import Tally
from tests.unit.test_watching import Kept


def arrive(arrivals: Arrivals, verdict: str = "modify", place: str = "a-place", header: str = "") -> None:
    arrivals.hear({"traceparent": header})
    arrivals.decided(1, verdict)
    if verdict in ("modify", "keep"):
        arrivals.stored(place)


def test_an_instance_begins_a_trace_of_its_own() -> None:
    arrivals = Arrivals(100)
    arrive(arrivals)
    (told,) = arrivals.fetch()
    assert (told["place"], told["parent"], told["verdict"]) == ("a-place", "", "modify")
    assert parse(str(told["trace"])) and arrivals.fetch() == []


def test_one_that_the_gateway_hands_over_goes_on_in_its_trace() -> None:
    arrivals, sender = Arrivals(100), begin(100)
    arrive(arrivals, header=sender.header)
    (told,) = arrivals.fetch()
    found = parse(str(told["trace"]))
    assert found and (found.trace_id, told["parent"]) == (sender.trace_id, sender.span_id)


def test_one_that_is_not_stored_is_remembered_without_a_place() -> None:
    arrivals = Arrivals(100)
    arrive(arrivals, "refuse")
    assert [told["place"] for told in arrivals.fetch()] == [""]


def test_where_nothing_is_exported_nothing_is_remembered() -> None:
    arrivals = Arrivals(0)
    arrive(arrivals, header=begin(100).header)
    assert arrivals.fetch() == [] and arrivals.handed() is None


def test_a_thread_stores_what_another_decided_on() -> None:
    arrivals = Arrivals(100)
    arrivals.decided(1, "modify")
    passage = arrivals.handed()

    def store() -> None:
        with arrivals.instead(passage):
            arrivals.stored("there")

    thread = threading.Thread(target=store)
    thread.start()
    thread.join()
    assert [told["place"] for told in arrivals.fetch()] == ["there"]


def test_what_is_never_fetched_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orthanc_plugin.arrivals._MOST", 3)
    arrivals = Arrivals(100)
    for number in range(5):
        arrive(arrivals, place=str(number))
    assert [told["place"] for told in arrivals.fetch()] == ["2", "3", "4"]


class FakeOrthanc:
    """Tells once what an Arrivals remembers."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals.fetch


def spans_of(arrivals: Arrivals) -> list[Span]:
    kept = Kept()
    ArrivalSpans(kept, FakeOrthanc(arrivals)).note([], 1)
    return kept.spans


def test_the_worker_makes_spans_of_what_it_fetches() -> None:
    arrivals = Arrivals(100)
    arrive(arrivals)
    received, deidentified = spans_of(arrivals)
    assert (received.name, deidentified.name) == ("receive", "de-identify")
    assert deidentified.parent == received.context.span_id and received.began == 1


def test_a_plugin_that_tells_what_is_none_is_passed_over() -> None:
    kept = Kept()
    odd = [{"trace": "x"}, {}, {"trace": begin(100).header, "began": "1", "decided": 1, "ended": 1}]
    orthanc = type("Odd", (), {"arrivals": lambda self: odd})()
    ArrivalSpans(kept, orthanc).note([], 1)
    assert kept.spans == []


def test_the_door_counts_what_became_of_instances() -> None:
    tally = Tally()
    tally.note(10, 0.5)
    tally.count("modify")
    tally.note(5, 0.25)
    tally.count("refuse")
    tally.refuse("not-dicom")
    tally.count("fence")
    told = tally.to_json()
    assert told["instances"] == {"modify": 1, "keep": 0, "discard": 0, "refuse": 1, "fence": 1}
    assert (told["refusals"], told["bytes"], told["seconds"]) == ({"not-dicom": 1}, 15, 0.75)
