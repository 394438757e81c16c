"""Searches as SQL: values are parameters, whoever asks is a condition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import listing, search
from archive.attributes import Level
from archive.conditions import Parameters, _like, condition, every
from archive.errors import BadRequest
from archive.policy import EVERYTHING, NOTHING
from archive.query import parse_parameters, parse_query
from archive.resource import Resource


def conditions(text: str, level: Level = Level.INSTANCE) -> tuple[str, dict]:
    parameters = Parameters()
    query = parse_query(level, parse_parameters(text.encode()))
    composed = every([condition(match, parameters) for match in query.matches])
    return composed, parameters.values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientID=a", "study.patient_id = %(p0)s"),
        ("PatientID=a*", "study.patient_id like %(p0)s"),
        ("StudyInstanceUID=1.2,1.3", "study.study_instance_uid = any(%(p0)s::text[])"),
        ("SeriesNumber=1", "series.series_number::bigint = any(%(p0)s::bigint[])"),
        ("ModalitiesInStudy=MG", "study.modalities && %(p0)s::text[]"),
        ("", "true"),
    ],
)
def test_conditions(text, expected):
    assert conditions(text)[0] == expected


@pytest.mark.parametrize(
    ("pattern", "like"), [("a*b?", "a%b_"), ("100%", "100\\%"), ("a_b", "a\\_b"), ("a\\*", "a\\\\%")]
)
def test_only_the_standards_wildcards_are_wild(pattern, like):
    """PS3.4 section C.2.2.2.4."""
    assert _like(pattern) == like


@given(st.text(alphabet="ab'\";%_\\*?-$()=^ ", min_size=1, max_size=30))
def test_no_value_gets_into_the_statement(value):
    for key in ("PatientID", "PatientName", "ManufacturerModelName", "ProcedureCodeSequence.CodeValue"):
        try:
            statement, _ = conditions(f"{key}=" + value.replace("%", "%25").replace(";", "%3B"))
        except BadRequest:
            continue
        assert len(statement) < 300
        assert statement in {conditions(f"{key}={plain}")[0] for plain in ("x", "x*", "x=y", "")}


def test_what_may_be_seen_is_a_condition():
    assert listing.restrict(EVERYTHING, Parameters()) == "not study.withheld and true"
    assert listing.restrict(NOTHING, Parameters()) == "not study.withheld and false"


@pytest.mark.parametrize(
    ("resource", "level", "include", "told"),
    [
        (Resource(), Level.STUDY, "", {}),
        (Resource(), Level.SERIES, "", {Level.STUDY: True}),
        (Resource("1.2"), Level.SERIES, "", {}),
        (Resource("1.2"), Level.SERIES, "PatientName", {Level.STUDY: False}),
        (Resource("1.2"), Level.INSTANCE, "", {Level.SERIES: True}),
        (Resource("1.2", "3"), Level.INSTANCE, "", {}),
        (Resource("1.2", "3"), Level.INSTANCE, "Rows", {}),
        (Resource("1.2", "3"), Level.INSTANCE, "ImageLaterality", {Level.INSTANCE: False}),
        (Resource(), Level.STUDY, "PatientAge", {Level.STUDY: False}),
        (Resource(), Level.STUDY, "SeriesDescription", {}),
    ],
)
def test_levels_that_an_answer_tells_of(resource, level, include, told):
    """PS3.18 section 10.6.3.3."""
    query = parse_query(level, parse_parameters(f"includefield={include}".encode()))
    assert search._levels_told(resource, query) == told
