"""The `Findings` value and its JSON."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.findings import (
    EXAM,
    Code,
    Evaluation,
    Findings,
    Lesion,
    Level,
    Likelihood,
    Measurement,
    Model,
    NotApplicable,
    Region,
    Shape,
    Source,
    Target,
    Task,
    from_json,
    to_json,
)
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.picture import Placement

LIKELIHOODS = tuple(
    Likelihood(label, code, probability)
    for (label, code), probability in zip(CATEGORIES.items(), (0.1, 0.2, 0.3, 0.4), strict=True)
)
FINDINGS = Findings(
    task=Task.DENSITY,
    study_instance_uid="2.25.1",
    model=Model("m", "M", "1.0.0", "0" * 64, "nothing"),
    evaluations=(Evaluation(EXAM, BREAST_COMPOSITION, CATEGORIES["d"], LIKELIHOODS),),
    sources=(Source("L", "CC", "1.2", "2.25.2", "2.25.3"),),
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    applicability="MG",
    facts={"provider": "CPU"},
)


def test_json_round_trip() -> None:
    assert from_json(to_json(FINDINGS)) == FINDINGS


def test_json_is_the_same_text_for_the_same_findings() -> None:
    assert to_json(FINDINGS) == to_json(replace(FINDINGS, facts=dict(FINDINGS.facts)))


def test_not_applicable_round_trip() -> None:
    assert from_json(to_json(NotApplicable("R MLO is missing"))) == NotApplicable("R MLO is missing")


def test_answer_has_the_label_of_its_category() -> None:
    assert FINDINGS.evaluations[0].label == "d"


def test_evaluations_are_found_by_level() -> None:
    breast = Evaluation(Target(Level.BREAST, "L"), BREAST_COMPOSITION, CATEGORIES["a"])
    findings = replace(FINDINGS, evaluations=(*FINDINGS.evaluations, breast))
    assert findings.of(Level.BREAST) == (breast,)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), float("inf")])
def test_probability_outside_0_to_1_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Likelihood("a", CATEGORIES["a"], probability)


def test_created_at_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(FINDINGS, created_at=datetime(2026, 1, 2))


@given(st.text() | st.binary())
def test_other_text_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FINDINGS.__slots__)), JSON)
def test_a_damaged_part_is_refused_or_read(key: str, value: object) -> None:
    content = json.loads(to_json(FINDINGS))
    content["findings"][key] = value
    with suppress(ValueError):
        from_json(json.dumps(content))


def test_lesions_and_measurements_survive_the_round_trip_through_json() -> None:
    """PS3.3 C.18.6: what is found in a place keeps its place to the last digit."""
    uid = "2.25.7"
    outline = Region(uid, Shape.POLYGON, ((1.25, 2.5), (3.0, 2.5), (3.0, 7.125), (1.25, 2.5)))
    percent = Code("%", "UCUM", "percent")
    mass = Code("4147007", "SCT", "Mass")
    target = Target(Level.LESION, "L", uid, "1")
    found = replace(
        FINDINGS,
        lesions=(Lesion("1", "L", mass, 0.75, (outline,)),),
        measurements=(Measurement(target, BREAST_COMPOSITION, 12.5, percent, (outline,)),),
        operating_point="score 0.5",
    )
    assert from_json(to_json(found)) == found
    assert outline.box == (1.25, 2.5, 3.0, 7.125)


@given(
    st.tuples(*(st.floats(-100, 100) for _ in range(4))),
    st.tuples(st.floats(0.1, 9), st.floats(0.1, 9), st.floats(1, 500)),
)
def test_a_point_goes_to_the_stored_image_and_back(
    point: tuple[float, ...], step: tuple[float, float, float]
) -> None:
    """Cropped, mirrored and scaled as a network takes it, a place is still found where it was stored."""
    placed = Placement().cropped(point[0], point[1]).mirrored(step[2]).scaled(step[0], step[1])
    ((column, row),) = placed.own(placed.stored([(point[2], point[3])]))
    assert (column, row) == (pytest.approx(point[2], abs=1e-6), pytest.approx(point[3], abs=1e-6))
