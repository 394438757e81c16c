"""An exam as the index tells of it: its views and label, or why it can't be learnt from."""

from collections.abc import Sequence
from typing import Any

import pytest

from archive.examples import Held
from archive.label_file import Known, Lesion
from federation.examples.exam import Exam, Why, look
from federation.examples.labelling import Sources
from federation.training.task import Label
from tests.federation.reader_reports import report
from tests.unit.findings import headers
from tests.unit.test_reader_reports import composition

EXAM = headers()
INSIDE, OUTSIDE = (10.0, 10.0, 30.0, 30.0), (5000.0, 10.0, 5001.0, 30.0)


def held(number: int, change: dict[str, Any] | None = None) -> Held:
    header = EXAM[number].to_json_dict(1, lambda _: "") | (change or {})
    return Held("1.2", "1.3", str(EXAM[number].SOPInstanceUID), True, header)


def looked(given: Sequence[Held], known: Known, task: str = "density") -> Exam:
    return look(given, Sources(known), task)


def test_a_whole_exam_with_a_label_can_be_learnt_from() -> None:
    found = looked([held(number) for number in range(4)], Known("b"))
    assert (found.label, found.why, len(found.views)) == (Label("csv", "b"), None, 4)
    assert (found.manufacturer, found.age) != ("", None)


def test_density_needs_all_views_and_lesions_any() -> None:
    known = Known("b", ())
    assert looked([held(0)], known).why == Why.NO_VIEWS
    assert looked([held(0)], known, "lesions").why is None
    assert looked([], known, "lesions").why == Why.NO_VIEWS


def test_without_a_label_views_do_not_matter() -> None:
    assert looked([held(0)], Known()).why == Why.NO_LABEL


@pytest.mark.parametrize(
    ("view", "box", "why"),
    [
        (("L", "CC"), INSIDE, None),
        (("L", "CC"), OUTSIDE, Why.OUTSIDE),
        (("R", "MLO"), INSIDE, Why.OUTSIDE),  # a view that is not there
    ],
)
def test_lesions_lie_in_their_images(
    view: tuple[str, str], box: tuple[float, float, float, float], why: Why | None
) -> None:
    known = Known(lesions=(Lesion(view, "mass", box),))
    assert looked([held(0), held(1)], known, "lesions").why == why


def test_a_report_among_the_instances_is_read() -> None:
    told = report(composition("c"))
    said = Held("1.2", "1.9", str(told.SOPInstanceUID), False, told.to_json_dict())
    found = looked([*(held(number) for number in range(4)), said], Known())
    assert found.label == Label("reader-sr", "c")


@pytest.mark.parametrize(
    "damage",
    [{"00280010": {"vr": "US", "Value": ["x"]}}, {"00082218": "x"}, {"x": {}}],
)
def test_a_damaged_header_is_no_view(damage: dict[str, Any]) -> None:
    assert len(looked([held(0, damage), held(1)], Known("a")).views) == 1
