"""That questions for counts give nobody away: a test plays who wants to know whether one patient is in a dataset.

Each attack is tried on many nodes of random keys and patients, of which every other one has her. What it finds is told
apart by the best threshold, chosen with hindsight; how well that may do, `gateway.search.disclosure` says.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import pytest

from archive.settings import Settings
from gateway.search.counting import Counting
from gateway.search.disclosure import FEWEST, LEAST, STEP, Protection
from gateway.search.question import EVERYTHING, All, Condition, Either, Not, Question
from tests.unit.searched import SERIES, Study, facts

SIGMA, BUDGET = (Settings.__dataclass_fields__[name].default for name in ("search_noise", "search_budget"))
TRIALS, TRIALS_OF_A_DAY = 200, 120
SHE = Study(0, (SERIES[1],), 20200606, 57, "F", density="d", assessment=5)
HERS = All((Condition("age", None, 57, 57), Condition("density", ("d",)), Condition("assessment", ("5",))))
GE = Condition("manufacturer", ("GE",))

Node = Callable[[Question], list[int]]
"""Asks, and is told patients and studies of each dataset; 0 for too few."""
Attack = Callable[[Node], float]


def luck(trials: int) -> float:
    """What a threshold may gain by hindsight: three standard errors."""
    return 3 * 0.5 / trials**0.5


def allowed(questions: int, trials: int = TRIALS) -> float:
    """How often the best guess may be right after so many questions, half of them with her."""
    return NormalDist().cdf((questions / 2) ** 0.5 / SIGMA / 2) + luck(trials)


def others(seed: int, number: int) -> list[Study]:
    drawn = random.Random(seed)
    return [
        Study(
            patient + 1, (drawn.choice(SERIES[:3]),), 20200101 + drawn.randrange(28), drawn.randrange(45, 75), "F",
            density=drawn.choice("abc"), assessment=drawn.choice([1, 2]),
        )
        for patient in range(number)
    ]  # fmt: skip


def node(held: Sequence[Study], key: int, **datasets: Sequence[int]) -> Node:
    counting = Counting(facts(held, **(datasets or {"d": range(len(held))})))
    protection = Protection(random.Random(key).randbytes(32), SIGMA)

    def ask(question: Question) -> list[int]:
        rows = counting.tell(question, protection).rows
        return [count or 0 for row in rows for count in (row.patients, row.studies)]

    return ask


def gained(attack: Callable[[int, bool], float], trials: int = TRIALS) -> float:
    """How often the best threshold on what an attack finds tells whether she is there."""
    found = sorted((attack(seed, seed % 2 == 1), seed % 2 == 1) for seed in range(trials))
    right = best = sum(is_there for _, is_there in found)
    for place, (value, is_there) in enumerate(found):
        right += -1 if is_there else 1
        if place + 1 == len(found) or found[place + 1][0] > value:
            best = max(best, right, trials - right)
    return best / trials


def without_her(base: Question) -> All:
    return All((base, Not(HERS)))


def differ(one: Question, other: Question) -> Attack:
    return lambda ask: sum(ask(one)) - sum(ask(other))


def by_age(ask: Node) -> float:
    return sum(ask(Condition("age", None, 50, 57))) - sum(ask(Condition("age", None, 50, 56)))


def by_union(ask: Node) -> float:
    dense, suspicious = Condition("density", ("d",)), Condition("assessment", ("5",))
    one, other = Either((GE, dense)), Either((Not(GE), suspicious))
    return sum(ask(one)) + sum(ask(other)) - sum(ask(Either((one, other))))


def by_tracker(ask: Node) -> float:
    """D. Denning, P. Denning and M. Schwartz 1979: what is too small is asked for with a half, and with the other."""
    half = Condition("age", None, 60)
    return (
        sum(ask(Either((HERS, half))))
        + sum(ask(Either((HERS, Not(half)))))
        - (sum(ask(half)) + sum(ask(Not(half))))
    )


def by_repetition(ask: Node) -> float:
    return sum(sum(ask(All((GE,) * again))) - sum(ask(without_her(GE))) for again in range(1, 5))


def by_averaging(ask: Node) -> float:
    """All of a day's budget on pairs that mean the same studies, and are different questions."""
    told = 0
    for year in range(1000, 1000 + BUDGET // 2):
        base = All((GE, Not(Condition("year", None, year, year))))
        told += sum(ask(base)) - sum(ask(without_her(base)))
    return told


def by_equality(ask: Node) -> float:
    return float(ask(GE) == ask(without_her(GE)))


ATTACKS: dict[str, tuple[Attack, int]] = {
    "all but her": (differ(EVERYTHING, without_her(EVERYTHING)), 2),
    "a few but her": (differ(GE, without_her(GE)), 2),
    "a year of age": (by_age, 2),
    "a union": (by_union, 3),
    "a tracker": (by_tracker, 4),
    "whether two answers are equal": (by_equality, 2),
    "the same again": (by_repetition, 2),
    "a whole day": (by_averaging, BUDGET),
    "by herself": (lambda ask: float(sum(ask(HERS))), 1),
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_nobody_learns_whether_she_is_there(name: str) -> None:
    attack, questions = ATTACKS[name]
    number = 40 if name == "a few but her" else 150
    trials = TRIALS_OF_A_DAY if questions == BUDGET else TRIALS

    def learn(seed: int, is_there: bool) -> float:
        return attack(node(others(seed, number) + [SHE] * is_there, seed))

    assert gained(learn, trials) <= allowed(questions, trials)


def test_a_dataset_with_her_and_one_without() -> None:
    def subtract(seed: int, is_there: bool) -> float:
        held = [*others(seed, 100), SHE if is_there else replace(SHE, patient=1)]
        told = node(held, seed, a=range(101), b=range(100))(EVERYTHING)
        return told[0] + told[1] - told[2] - told[3]

    assert gained(subtract) <= allowed(2)


def test_who_came_between_two_questions() -> None:
    def compare(seed: int, is_there: bool) -> float:
        held, somebody = others(seed, 60), replace(SHE, patient=999, series=(SERIES[0],))
        after = node([*held, SHE if is_there else somebody], seed)
        return sum(after(GE)) - sum(node(held, seed)(GE))

    assert gained(compare) <= allowed(2)


def test_a_fifth_patient_among_four_that_are_known() -> None:
    four = [replace(SHE, patient=number, age=56) for number in range(1, 5)]
    asked = All((Condition("density", ("d",)), Condition("age", None, 56, 57)))

    def learn(seed: int, is_there: bool) -> float:
        return sum(node(others(seed, 50) + four + [SHE] * is_there, seed)(asked))

    assert gained(learn) <= 0.5 + (1 - NormalDist().cdf((LEAST - FEWEST) / SIGMA)) / 2 + luck(TRIALS)


@pytest.mark.parametrize("number", range(FEWEST))
def test_none_and_few_look_alike(number: int) -> None:
    held = others(1, 100) + [replace(SHE, patient=200 + one) for one in range(number)] * 3
    assert not any(node(held, key)(HERS) != [0, 0] for key in range(50))


def test_what_is_told_is_rounded_and_there_are_at_least_as_many_studies() -> None:
    for key in range(60):
        patients, studies = node(others(key, 10 + key), key)(EVERYTHING)
        assert patients % STEP == studies % STEP == 0 and (studies >= patients >= LEAST or not patients)


def test_large_numbers_are_about_right() -> None:
    assert all(abs(node(others(key, 2000), key)(EVERYTHING)[0] - 2000) <= 5 * SIGMA for key in range(5))


def test_the_same_question_has_the_same_answer() -> None:
    ask = node(others(1, 80), 1)
    assert ask(GE) == ask(All((GE, EVERYTHING))) == ask(Not(Not(GE)))


def test_processes_that_hold_the_same_tell_the_same_however_they_came_by_it() -> None:
    """As many studies as before, of fewer patients: a patient counts with more of them."""
    before, now = (
        others(1, 300),
        [replace(study, patient=1 + number // 3) for number, study in enumerate(others(1, 300))],
    )
    old, new = Counting(facts(before, d=range(300))), Counting(facts(now, d=range(300)))
    protection = Protection(bytes(32), SIGMA)
    old.tell(EVERYTHING, protection)
    old.facts = new.facts
    old.facts._revision = 7
    assert (
        old.tell(EVERYTHING, protection).rows[0].studies == new.tell(EVERYTHING, protection).rows[0].studies
    )


def test_what_a_dataset_has_is_told_of_enough_patients() -> None:
    counting = Counting(facts([*others(3, 300), replace(SHE, age=99, sex="M")], d=range(301)))
    (row,) = counting.tell(EVERYTHING, Protection(bytes(32), SIGMA)).rows
    assert row.ages == (45, 74) and row.sexes == ("F",) and row.body_parts == ("BREAST",)
    assert row.modalities == ("DBT", "MG")
