"""That questions which mean the same are known to, however they are written."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.search.meaning import digest
from gateway.search.question import All, Condition, Either, Not, Question, read_question, to_json
from tests.unit.searched import QUESTIONS, Study, holds, studies

OVER_50 = Condition("age", None, 50)
DENSE = Condition("density", ("c", "d"))
MG = Condition("modality", ("MG",))


def made_by(*names: str) -> Condition:
    return Condition("manufacturer", names)


SAME: dict[str, tuple[Question, Question]] = {
    "order": (All((OVER_50, DENSE)), All((DENSE, OVER_50))),
    "repetition": (DENSE, All((DENSE, All((DENSE, DENSE))))),
    "double negation": (OVER_50, Not(Not(OVER_50))),
    "De Morgan": (All((OVER_50, DENSE)), Not(Either((Not(OVER_50), Not(DENSE))))),
    "distribution": (
        All((OVER_50, Either((DENSE, MG)))),
        Either((All((OVER_50, DENSE)), All((OVER_50, All((MG,)))))),
    ),
    "a limit that nobody reaches": (OVER_50, Condition("age", None, 50, 200)),
    "whole years": (OVER_50, Condition("age", None, 49.5)),
    "parts": (OVER_50, Either((Condition("age", None, 50, 59), Condition("age", None, 60)))),
    "a year as days": (Condition("year", None, 2020, 2020), Condition("date", None, 20200101, 20201231)),
    "values one by one": (DENSE, Either((Condition("density", ("c",)), Condition("density", ("d",))))),
    "the other values": (DENSE, Not(Condition("density", ("a", "b", "unknown")))),
    "a tautology": (All(), Either((DENSE, Not(DENSE)))),
    "a contradiction": (Either(), All((DENSE, Condition("density", ("a",))))),
    "any finding": (
        Condition("finding", ("any",)),
        Condition("finding", ("mass", "calcifications", "other")),
    ),
    "repetition of what one series has": (All((MG, MG)), All((Either((MG, MG)), MG))),
    "modalities one by one": (
        Condition("modality", ("MG", "US")),
        Either((MG, Condition("modality", ("US",)))),
    ),
    "tomosynthesis, which is mammography": (MG, Condition("modality", ("MG", "DBT"))),
    "tomosynthesis apart": (MG, Either((Condition("modality", ("DBT",)), MG))),
    "small letters": (MG, Condition("modality", ("mg",))),
    "a maker's other name": (made_by("GE"), made_by("General Electric")),
    "a maker's longer name beside a shorter one": (made_by("GE"), made_by("ge", "GE medical")),
    "marks between words": (made_by("GE MEDICAL"), made_by("GE, Medical-")),
    "modalities of one series, twice": (
        All((MG, made_by("GE"))),
        All((MG, Condition("modality", ("MG", "US")), made_by("GE"))),
    ),
    "modalities that no series has both": (Either(), All((MG, Condition("modality", ("US",))))),
    "up to a year, and not from the next": (
        Condition("year", None, None, 2023),
        All((Condition("year", None, 0), Not(Condition("year", None, 2024)))),
    ),
    "up to the end of a February, and not from March": (
        Condition("date", None, None, 20230228),
        All((Condition("date", None, 10101), Not(Condition("date", None, 20230301)))),
    ),
}


@pytest.mark.parametrize("name", list(SAME))
def test_the_same_in_other_words(name: str) -> None:
    one, other = SAME[name]
    assert digest(one) == digest(other)


@settings(max_examples=60, deadline=None)
@given(QUESTIONS, QUESTIONS, st.lists(studies(), max_size=12))
def test_what_has_one_digest_means_the_same(one: Question, other: Question, held: list[Study]) -> None:
    if digest(one) == digest(other):
        assert [holds(one, study) for study in held] == [holds(other, study) for study in held]


@settings(max_examples=60, deadline=None)
@given(QUESTIONS)
def test_another_way_to_write_it_has_the_same_digest(question: Question) -> None:
    written = read_question(json.loads(json.dumps(to_json(question))))
    assert digest(question) == digest(written) == digest(Not(Not(question)))


def test_who_is_not_known_is_not_somebody_of_that_name() -> None:
    for criterion in ("modality", "manufacturer", "body_part"):
        one, other = (Condition(criterion, (value,)) for value in ("unknown", "UNKNOWN"))
        assert digest(one) != digest(other)


def test_one_year_more_is_another_question() -> None:
    assert len({digest(Condition("age", None, low, 69)) for low in range(40, 60)}) == 20


def test_a_large_question_is_taken_by_its_text() -> None:
    days = [Condition("date", None, 20200101 + day, 20200101 + day) for day in range(28)]
    parts = [All((one, Condition("age", None, place, place))) for place, one in enumerate(days)]
    assert digest(Either(tuple(parts))) == digest(Either(tuple(reversed(parts))))
