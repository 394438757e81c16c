"""What a site tells of patients: no count below the bound, nor any that gives one away (`federation.evaluation`)."""

import json
from collections import defaultdict
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from federation.evaluation.release import Plan, Release, Seen, large_strata, protect, read_text, to_text

LEAST = 3


def patients(counts: list[list[int]]) -> list[Seen]:
    """`counts[g][c]` patients of group g in cell c."""
    return [
        Seen({"score": {cell: 1}}, {"vendor": f"V{group}"})
        for group, row in enumerate(counts)
        for cell, number in enumerate(row)
        for _ in range(number)
    ]


def told(counts: list[list[int]]) -> Release | None:
    plan = Plan({"score": len(counts[0])}, ("score",), {"vendor": ("V0", "V1")})
    try:
        return protect(patients(counts), 0, plan, LEAST)
    except BadRequest:
        return None


def spread(cells: int, most: int) -> list[tuple[int, ...]]:
    return [one for one in product(range(most + 1), repeat=cells) if sum(one) <= most]


def sums(counts: tuple[int, ...], cells: int) -> dict[object, int]:
    """Every count that one could want to know: of each set of cells, in each group and in all."""
    rows = [counts[start : start + cells] for start in range(0, len(counts), cells)]
    named = {**dict(enumerate(rows)), "all": tuple(map(sum, zip(*rows, strict=True)))}
    return {
        (name, some): sum(row[cell] for cell in some)
        for name, row in named.items()
        for size in range(1, cells + 1)
        for some in combinations(range(cells), size)
    }


@pytest.mark.parametrize(("groups", "cells", "most"), [(1, 4, 9), (2, 2, 12), (2, 3, 9)])
def test_no_small_count_can_be_had_even_by_who_knows_how_it_is_made(groups, cells, most):
    """Of all that could have made a release, each count from 1 to the bound less 1 is another somewhere."""
    worlds = defaultdict(list)
    for counts in spread(groups * cells, most):
        release = told([list(counts[start : start + cells]) for start in range(0, len(counts), cells)])
        worlds[release and to_text(release, task="t", package="p")].append(sums(counts, cells))
    for release, alike in worlds.items():
        for wanted in alike[0] if release else ():
            values = {one[wanted] for one in alike}
            assert len(values) > 1 or not 0 < values.pop() < LEAST, (release, wanted)


PLAN = Plan({"score": 4, "marks": 4}, ("score",), {"vendor": ("V0", "V1")})
several = st.builds(
    Seen,
    st.fixed_dictionaries({
        "score": st.integers(0, 3).map(lambda cell: {cell: 1}),
        "marks": st.dictionaries(st.integers(0, 3), st.integers(1, 4)),
    }),
    st.fixed_dictionaries({"vendor": st.sampled_from(["V0", "V1", "V2"])}),
)  # fmt: skip


def whose(seen: list[Seen], name: str, first: int, last: int) -> int:
    return sum(any(first <= cell <= last for cell in one.counts[name]) for one in seen)


@given(st.lists(several, min_size=LEAST, max_size=40))
def test_what_is_told_is_of_as_many_patients_as_the_bound(seen):
    """Also where a patient adds several marks, and in each group by itself."""
    release = protect(seen, 0, PLAN, LEAST)
    by_label = {
        label: [one for one in seen if one.groups["vendor"] in label.split(" or ")]
        for label in release.groups["vendor"]
    }
    told = [
        (seen, release.tables),
        *((by_label[label], release.groups["vendor"][label]) for label in by_label),
    ]
    for some, tables in told:
        for name, table in tables.items():
            assert all(whose(some, name, first, last) >= LEAST for first, last, _ in table.runs)


@given(st.lists(several, min_size=LEAST, max_size=40))
def test_what_is_told_of_groups_adds_up_to_what_is_told_of_all(seen):
    release = protect(seen, 0, PLAN, LEAST)
    groups = release.groups["vendor"].values()
    for name, table in release.tables.items():
        if all(name in tables for tables in groups):
            assert sum(tables[name].total for tables in groups) == table.total


@given(st.lists(several, min_size=LEAST, max_size=40), st.integers(0, 9))
def test_a_release_is_read_as_it_was_written(seen, unread):
    release = protect(seen, unread, PLAN, LEAST)
    assert read_text(to_text(release, task="t", package="p"), PLAN, task="t", package="p") == release


def test_few_whom_the_model_did_not_read_are_not_told():
    assert [protect(patients([[4], [4]]), unread, Plan({"score": 1}, ("score",)), 3).unread for unread in range(4)] == [
        0, None, None, 3,
    ]  # fmt: skip


def test_of_a_stratum_that_is_too_small_nothing_is_told():
    seen = [Seen({"healthy": {0: 1}})] * 9 + [Seen({"ill": {0: 1}})] * 2
    assert set(protect(seen, 0, Plan({"healthy": 1, "ill": 1}, ("healthy", "ill")), 3).tables) == {
        "healthy",
        "ill",
    }
    assert protect(seen, 0, Plan({"healthy": 1, "ill": 1}, ("healthy", "ill")), 3).tables["ill"].total == 0


def test_patients_are_those_of_the_strata_that_are_told_of():
    """Else who are not told of would stand in for others who are, when two releases are compared."""
    seen = {f"H{number}": Seen({"healthy": {0: 1}}) for number in range(4)}
    seen |= {f"I{number}": Seen({"ill": {0: 1}}) for number in range(2)}
    assert large_strata(seen, ("healthy", "ill"), 3) == {"healthy": ("H0", "H1", "H2", "H3")}


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"format":1,"task":"t","package":"other"}'])
def test_what_is_no_release_is_refused(text):
    with pytest.raises(BadRequest):
        read_text(text, PLAN, task="t", package="p")


@pytest.mark.parametrize(
    "runs", [[[0, 0, -1]], [[2, 1, 5]], [[0, 2, 5], [2, 3, 5]], [[0, 4, 5]], [[0, 0, True]]]
)
def test_runs_that_overlap_or_are_of_no_table_are_refused(runs):
    text = to_text(
        protect(patients([[9, 0, 0, 0]]), 0, Plan({"score": 4}, ("score",)), 3), task="t", package="p"
    )
    with pytest.raises(BadRequest):
        read_text(
            text.replace(b"[0,0,9]", str(runs)[1:-1].replace("True", "true").encode()),
            PLAN,
            task="t",
            package="p",
        )


def told_of(content: dict[str, object]) -> bytes:
    fixed = {"format": 1, "task": "t", "package": "p", "least": 3, "unread": 0, "groups": {}}
    return json.dumps(fixed | {"tables": {}} | content).encode()


@pytest.mark.parametrize("squares", [0, 8, 82])
def test_squares_that_no_patients_have_are_refused(squares):
    """Figures are divided by them, so that a site could end the hub's evaluation."""
    text = told_of({"tables": {"score": {"runs": [[0, 0, 9]], "squares": squares}}})
    with pytest.raises(BadRequest):
        read_text(text, PLAN, task="t", package="p")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a\nb"])
@pytest.mark.parametrize("place", ["dimension", "label"])
def test_names_of_groups_that_can_not_be_kept_are_refused(name, place):
    groups = {name: {}} if place == "dimension" else {"vendor": {name: {}}}
    with pytest.raises(BadRequest):
        read_text(told_of({"groups": groups}), PLAN, task="t", package="p")


def test_a_release_is_utf_8_as_it_is_kept():
    with pytest.raises(BadRequest):
        read_text(told_of({}).decode().encode("utf-16"), PLAN, task="t", package="p")
