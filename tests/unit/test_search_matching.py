"""Which studies a question means, against the same question put to each study by itself."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.search.counting import exact
from gateway.search.matching import _Matching, match
from gateway.search.question import All, Condition, Either, Not, Question
from tests.unit.searched import QUESTIONS, SERIES, Study, columns, facts, holds, studies

MG_OF_GE = All((Condition("modality", ("MG",)), Condition("manufacturer", ("GE",))))
LABELLED_MASS = All((Condition("finding", ("mass",)), Condition("finding_source", ("label",))))


@settings(max_examples=150, deadline=None)
@given(QUESTIONS, st.lists(studies(), max_size=20))
def test_every_question_means_the_studies_that_it_holds_for(question: Question, held: list[Study]) -> None:
    assert match(question, columns(held)).tolist() == [holds(question, study) for study in held]


@pytest.mark.parametrize("name", ["-", "...", "UNKNOWN!?"])
def test_a_manufacturers_name_without_a_word_is_nobodys(name: str) -> None:
    held = columns([Study(series=(("SR", "", ""),)), Study()])
    assert not match(Condition("manufacturer", (name,)), held).any()
    assert match(Condition("manufacturer", (name, "unknown")), held).tolist() == [True, False]


def test_what_lies_deep_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[Condition] = []
    plainly = _Matching._condition
    monkeypatch.setattr(
        _Matching,
        "_condition",
        lambda self, condition, sources: evaluated.append(condition) or plainly(self, condition, sources),
    )
    modalities = tuple(Condition("modality", (name,)) for name in ("MG", "US", "MR", "SR"))
    question: Question = Condition("age", None, 50)
    for _ in range(5):
        question = All((Either((*modalities, Condition("sex", ("F",)))), question))
    match(question, columns([Study(series=(one,)) for one in SERIES]))
    assert evaluated and len(evaluated) == len(set(evaluated))


@settings(max_examples=50, deadline=None)
@given(QUESTIONS, st.lists(studies(), max_size=30))
@example(All(), [Study()])
def test_patients_are_counted_once(question: Question, held: list[Study]) -> None:
    found = [study for study in held if holds(question, study)]
    (row,) = exact(facts(held, d=range(len(held))), question)
    assert (row.studies, row.patients) == (len(found), len({study.patient for study in found}))


@pytest.mark.parametrize(
    ("series", "is_meant"),
    [((SERIES[0], SERIES[3]), False), ((SERIES[1],), True), ((SERIES[3],), False), ((), False)],
    ids=["MG of one, US of the other", "tomosynthesis is MG", "US alone", "no series"],
)
def test_conditions_under_one_all_are_met_by_one_series(
    series: tuple[tuple[str, str, str], ...], is_meant: bool
) -> None:
    assert match(MG_OF_GE, columns([Study(series=series)])).tolist() == [is_meant]


def test_an_any_asks_the_same_series() -> None:
    asked = All(
        (Either((Condition("modality", ("MG",)), Condition("modality", ("MR",)))), MG_OF_GE.children[1])
    )
    assert match(asked, columns([Study(series=(SERIES[0], SERIES[3]))])).tolist() == [False]


def test_another_all_asks_another_series() -> None:
    asked = All(tuple(All((child,)) for child in MG_OF_GE.children))
    assert match(asked, columns([Study(series=(SERIES[0], SERIES[3]))])).tolist() == [True]


def test_not_is_of_the_study() -> None:
    asked = All((Condition("modality", ("US",)), Not(Condition("modality", ("MG",)))))
    assert match(
        asked, columns([Study(series=(SERIES[0], SERIES[3])), Study(series=(SERIES[3],))])
    ).tolist() == [
        False,
        True,
    ]


def test_a_source_narrows_the_findings_beside_it() -> None:
    read = Study(findings=(("reading", "mass"), ("label", "none")))
    assert match(LABELLED_MASS, columns([read, replace(read, findings=(("label", "mass"),))])).tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize("name", ["age", "year", "date", "round"])
def test_what_is_not_known_lies_between_nothing(name: str) -> None:
    unknown = Study(age=-1, day=0, round=0)
    assert match(Condition(name, None, 0, 9999), columns([unknown])).tolist() == [False]
