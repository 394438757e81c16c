"""A small number of the mutated instances of tests/fault/fuzz_deidentification.py."""

import pytest

from deidentification.deidentify import Deidentifier
from tests.fault.fuzz_deidentification import holds_identity, make_engine, make_seeds, run


@pytest.fixture(scope="module")
def engine() -> Deidentifier:
    return make_engine()


def test_every_seed_is_stored_and_full_of_identity(engine: Deidentifier) -> None:
    for syntax, instance in make_seeds():
        assert holds_identity(instance, syntax)
        assert not holds_identity(engine.deidentify(instance).instance, syntax)


@pytest.mark.parametrize("seed", [2, 3])
def test_no_mutated_instance_is_stored_with_identity(engine: Deidentifier, seed: int) -> None:
    tally = run(engine, 1500, seed)
    assert tally.leaks == []
    assert tally.stored
    assert tally.refused
