"""The sites' weights made one (McMahan arXiv:1602.05629, Yin arXiv:1803.01498, Reddi arXiv:2003.00295)."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from archive.errors import BadRequest
from federation.hub.aggregate import (
    MOST_EXAMPLES,
    Contribution,
    Optimiser,
    check_contribution,
    check_parameters,
    combine,
    step,
)
from federation.manifest import Aggregation, Strategy
from federation.provenance.record import Reason, Refused
from tests.federation.records import MANIFEST

BASE = np.zeros(4, np.float32)
VECTORS = arrays(np.float32, 4, elements=st.floats(-100, 100, width=32))
GIVEN = st.lists(st.tuples(VECTORS, st.integers(1, 10_000)), min_size=1, max_size=6)


def of(*values: float, examples: int = 10, site: str = "a") -> Contribution:
    return Contribution(site, np.array(values, np.float32), examples)


def named(found: list[tuple[np.ndarray, int]]) -> list[Contribution]:
    return [Contribution(f"site-{i}", vector, count) for i, (vector, count) in enumerate(found)]


@given(GIVEN, st.randoms(), st.sampled_from(Aggregation))
def test_the_order_in_which_sites_answer_changes_no_bit(found, random, aggregation) -> None:
    sites = named(found)
    shuffled = random.sample(sites, len(sites))
    assert combine(sites, aggregation, 0.2).tobytes() == combine(shuffled, aggregation, 0.2).tobytes()


@given(GIVEN)
def test_the_mean_is_weighted_by_examples(found) -> None:
    vectors, counts = zip(*found, strict=True)
    expected = np.average(np.array(vectors, np.float64), axis=0, weights=counts)
    np.testing.assert_allclose(combine(named(found), Aggregation.MEAN), expected, rtol=1e-9, atol=1e-9)


@given(st.lists(VECTORS, min_size=3, max_size=7), VECTORS, st.sampled_from(["median", "trimmed-mean"]))
def test_one_poisoned_site_moves_a_robust_aggregate_no_further_than_an_honest_one_is(
    honest, direction, aggregation
) -> None:
    poisoned = Contribution("evil", direction * np.float32(1e30), MOST_EXAMPLES)
    sites = [*(Contribution(f"site-{i}", vector, 10) for i, vector in enumerate(honest)), poisoned]
    combined = combine(sites, Aggregation(aggregation), 0.2)
    assert (combined <= np.max(honest, axis=0) + 1e-4).all() and (
        combined >= np.min(honest, axis=0) - 1e-4
    ).all()


def test_parts_of_a_long_vector_are_combined_as_the_whole_is(monkeypatch) -> None:
    sites = [of(*range(i, i + 9), site=str(i)) for i in range(3)]
    whole = combine(sites, Aggregation.MEDIAN)
    monkeypatch.setattr("federation.hub.aggregate._AT_A_TIME", 6)
    assert combine(sites, Aggregation.MEDIAN).tolist() == whole.tolist() == list(range(1, 10))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (of(1, 2, 3), Reason.SHAPE),
        (Contribution("a", np.zeros(4), 1), Reason.SHAPE),
        (of(np.nan, 0, 0, 0), Reason.NOT_FINITE),
        (of(0, np.inf, 0, 0), Reason.NOT_FINITE),
        (of(3, 4, 0, 0.1), Reason.NORM),
        (of(3e38, 3e38, 3e38, 3e38), Reason.NORM),
        (of(0, 0, 0, 1, examples=0), Reason.STATEMENT),
        (of(0, 0, 0, 1, examples=MOST_EXAMPLES + 1), Reason.STATEMENT),
    ],
)
def test_weights_that_are_not_taken(given: Contribution, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        check_contribution(BASE, given, norm_bound=5.0)
    assert refused.value.reason == reason


def test_a_change_of_just_the_bound_is_taken() -> None:
    check_contribution(BASE, of(3, 4, 0, 0), norm_bound=5.0)


def test_without_a_bound_any_change_is_taken() -> None:
    check_contribution(BASE, of(3e38, 0, 0, 0), norm_bound=0)


def test_federated_averaging_goes_where_the_mean_is() -> None:
    made, _ = step(MANIFEST, BASE, np.array([1.0, 2, 3, 4]), Optimiser())
    assert made.tolist() == [1, 2, 3, 4]


def test_adam_at_the_server_keeps_its_moments_from_round_to_round() -> None:
    manifest = replace(
        MANIFEST, strategy=Strategy.FEDADAM, parameters={"server_learning_rate": 0.1, "tau": 1e-3}
    )
    vector, optimiser = BASE, Optimiser()
    momentum, velocity, expected = 0.0, 1e-6, 0.0
    for _ in range(3):
        vector, optimiser = step(manifest, vector, vector.astype(np.float64) + 0.5, optimiser)
        momentum = 0.9 * momentum + 0.1 * 0.5
        velocity = 0.99 * velocity + 0.01 * 0.25
        expected += 0.1 * momentum / (velocity**0.5 + 1e-3)
    np.testing.assert_allclose(vector, expected, rtol=1e-6)


def test_weights_that_leave_float32_end_the_round() -> None:
    with pytest.raises(BadRequest):
        step(
            replace(MANIFEST, parameters={"server_learning_rate": 100.0}), BASE, np.full(4, 3e38), Optimiser()
        )


@pytest.mark.parametrize("parameters", [{"speed": 1.0}, {"beta_1": 1.0}, {"trim": 0.5}, {"timeout": 0.0}])
def test_parameters_that_do_not_exist_or_can_not_be_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(BadRequest):
        check_parameters(replace(MANIFEST, parameters=parameters))
