"""What features and counts come to, and what an attacker makes of it (federation.jobs.tables)."""

from collections.abc import Collection, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.job_questions import AGES, DENSITIES, LEAST_PATIENTS, read_question
from federation.jobs import check, tables
from federation.jobs.cohort import NOT_TOLD, Participant
from federation.jobs.differencing import gives_away

AREA = {"kind": "features", "features": ["breast_area"]}


class Ledger:
    """As the site keeps it: of whom a statistic was told."""

    def __init__(self) -> None:
        self.told: dict[str, list[set[bytes]]] = {}

    def __call__(self, statistic: str, cells: Sequence[Collection[str]]) -> bool:
        before = self.told.setdefault(statistic, [])
        new = [{one.encode() for one in cell} for cell in cells]
        if gives_away([*before, *new], LEAST_PATIENTS):
            return False
        before += new
        return True


def person(
    number: int, value: float = 100.0, density: str = "b", age: str = AGES[2], vendor: str = "GE"
) -> Participant:
    groups = {"vendor": vendor, "age": age, "density": density, "lesions": NOT_TOLD}
    labels = {"density": DENSITIES.index(density) + 1.0} if density in DENSITIES else {}
    return Participant(f"1.{number}", f"p{number}", groups, {"breast_area": value}, labels)


def told(people: Sequence[Participant], ledger: Ledger | None = None, **more: object) -> dict[str, object]:
    question = read_question(AREA | more)
    found = tables.features(people, [{}] * len(people), question, ledger or Ledger())
    return dict(found["features"]["breast_area"])


people = st.lists(
    st.tuples(
        st.floats(1, 400), st.sampled_from((*DENSITIES, NOT_TOLD)), st.sampled_from((*AGES, NOT_TOLD)),
        st.sampled_from(["GE", "HOLOGIC", "SIEMENS", "another", NOT_TOLD]),
    ),
    max_size=60,
).map(lambda found: [person(number, *one) for number, one in enumerate(found)])  # fmt: skip


class TestFeatures:
    @given(people, st.sampled_from([[], ["density"], ["age", "vendor"]]))
    def test_whatever_comes_out_passes_the_output_check(
        self, some: list[Participant], groups: list[str]
    ) -> None:
        question = read_question(AREA | {"groups": groups, "labels": ["density"]})
        answer = tables.features(some, [{}] * len(some), question, Ledger())
        assert all(one.holds for one in check.check(check.written(answer))), check.check(
            check.written(answer)
        )

    def test_figures_are_those_of_the_values(self) -> None:
        values = np.linspace(80, 120, 20)
        found = told([person(number, value) for number, value in enumerate(values)])
        assert (found["patients"], found["mean"]) == (20, 100.0)
        assert found["sd"] == tables.rounded(values.std(ddof=1))

    def test_least_squares_are_numpys(self) -> None:
        random = np.random.default_rng(0)
        some = [person(n, 100 + 10 * (n % 4) + random.normal(), DENSITIES[n % 4]) for n in range(40)]
        line = told(some, labels=["density"])["least_squares"]["density"]
        across, up = [one.labels["density"] for one in some], [one.numbers["breast_area"] for one in some]
        slope, intercept = np.polyfit(across, up, 1)
        assert line["slope"] == tables.rounded(slope) and line["intercept"] == tables.rounded(intercept)
        assert line["correlation"] == tables.rounded(np.corrcoef(across, up)[0, 1])

    def test_a_mean_that_one_patient_makes_is_not_told(self) -> None:
        found = told([person(number, 1.0) for number in range(9)] + [person(9, 10_000.0)])
        assert (found["mean"], found["sd"]) == (None, None)

    def test_beside_such_a_group_none_is_told(self) -> None:
        """Its mean would follow from the others' and from that of all (secondary suppression)."""
        some = [person(n, 100.0, "a") for n in range(60)] + [person(60 + n, 1.0, "d") for n in range(5)]
        found = told([*some, person(70, 300.0, "d")], groups=["density"])
        assert found["mean"] is not None and found["groups"] == {}

    def test_counts_are_told_in_fives(self) -> None:
        assert told([person(number, 90 + number) for number in range(13)])["patients"] == 10

    @given(st.lists(st.floats(0, 400), min_size=5, max_size=40))
    def test_cells_of_a_histogram_are_large_and_their_edges_fixed(self, values: list[float]) -> None:
        runs = tables.histogram(tables.FEATURES["breast_area"], values)
        assert all(count >= LEAST_PATIENTS and count % 5 == 0 for _, _, count in runs)
        assert all(edge % 20 == 0 for low, high, _ in runs for edge in (low, high))


class TestAttacker:
    """She knows the method, asks what she likes, and wants one patient's value."""

    @pytest.mark.parametrize("missing", range(1, LEAST_PATIENTS))
    def test_two_means_whose_patients_differ_in_few_are_not_told(self, missing: int) -> None:
        ledger, some = Ledger(), [person(number, 90 + number) for number in range(20)]
        assert "mean" in told(some, ledger)
        assert "mean" not in told(some[missing:], ledger)
        assert "mean" not in told([*some, person(99)], ledger)

    def test_a_group_and_a_filter_that_differ_in_one_are_not_both_told(self) -> None:
        """The vendor's twenty patients, and the age band of the same and one more."""
        some = [person(n, 90 + n, vendor="GE", age=AGES[1]) for n in range(20)]
        some += [person(30, 150, vendor="HOLOGIC", age=AGES[1])]
        some += [person(40 + n, 80, vendor="HOLOGIC", age=AGES[3]) for n in range(20)]
        found = told(some, groups=["age", "vendor"])
        assert len(found["groups"]) == 1

    @pytest.mark.parametrize("sizes", [(10, 10, 10, 1), (10, 20, 4), (5, 5, 5, 5, 2)], ids=str)
    def test_what_filters_leave_over_is_not_told(self, sizes: Sequence[int]) -> None:
        """All of a category less each of its age bands that is large: the last band, which is small."""
        bands = [[f"{band}.{one}" for one in range(size)] for band, size in enumerate(sizes)]
        ledger = Ledger()
        assert ledger("breast_area", [[one for band in bands for one in band]])
        answers = [ledger("breast_area", [band]) for band in bands[:-1]]
        assert answers == [True] * (len(sizes) - 2) + [False]

    @given(
        people,
        st.lists(st.tuples(st.sampled_from(DENSITIES), st.sampled_from(AGES), st.booleans()), max_size=8),
    )
    def test_no_system_of_answers_is_solved_for_anybody(self, some: list[Participant], asked: list) -> None:
        ledger = Ledger()
        for density, age, only_one in asked:
            of_density = [one for one in some if one.groups["density"] == density]
            chosen = [one for one in of_density if only_one or one.groups["age"] == age]
            told(chosen, ledger, groups=["vendor"] if only_one else [])
        sets = ledger.told.get("breast_area", [])
        rows = np.array([[one.person.encode() in each for one in some] for each in sets], float)
        for number in range(len(some)) if sets else ():
            others = np.delete(rows, number, axis=1)
            assert np.linalg.matrix_rank(others) == np.linalg.matrix_rank(rows)


class TestCounts:
    @given(people, st.sampled_from([["density"], ["age"], ["age", "density"], ["density", "vendor"]]))
    def test_every_cell_is_nothing_or_large(self, some: list[Participant], groups: list[str]) -> None:
        question = read_question({"kind": "counts", "groups": groups})
        try:
            answer = tables.counts(some, question, Ledger())
        except BadRequest:
            return
        assert all(one.holds for one in check.check(check.written(answer))), answer
        assert all(count == 0 or count >= LEAST_PATIENTS for row in answer["rows"].values() for count in row)

    def test_they_count_patients_by_both(self) -> None:
        some = [person(n, density="ad"[n % 2], age=AGES[n % 2]) for n in range(40)]
        answer = tables.counts(
            some, read_question({"kind": "counts", "groups": ["age", "density"]}), Ledger()
        )
        assert answer["columns"] == ["a", "d"]
        assert answer["rows"] == {AGES[0]: [20, 0], AGES[1]: [0, 20]}
