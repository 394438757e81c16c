"""A few rounds of the campaign of faults, and that its judgement finds what is wrong."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.campaign import Campaign, draw
from tests.fault.exams import Arrivals, write
from tests.fault.faults import FAULTS
from tests.fault.ground import ground
from tests.fault.invariants import find_identity

QUICK = ("orthanc killed", "connections cut", "disk full", "files damaged")


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with ground() as made:
        yield Campaign(made, seed=10)


@pytest.mark.parametrize("number", range(len(QUICK)), ids=[name.replace(" ", "-") for name in QUICK])
def test_a_site_recovers_by_itself_and_nothing_is_lost_doubled_or_identified(
    campaign: Campaign, number: int
) -> None:
    needed = FAULTS[QUICK[number]].needs & campaign.ground.missing
    if needed:
        pytest.skip(f"this machine does not allow to move or mount its {', '.join(sorted(needed))}")
    assert campaign.run(number, QUICK[number]).wrong == []


def test_the_same_seed_draws_the_same_faults() -> None:
    drawn = [draw(30, frozenset({"clock"}), random.Random(1)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {name for name, fault in FAULTS.items() if "clock" not in fault.needs}


def test_who_is_named_in_a_file_is_found(tmp_path: Path) -> None:
    """The judgement itself is put to the test, too."""
    arrivals = write(tmp_path / "sent", random.Random(1), exams=1)
    assert len(find_identity([tmp_path / "sent"], 0, Arrivals((), ()))) == len(arrivals.sound)
    (tmp_path / "log").write_text(f"stored {arrivals.sound[0].sop_instance_uid}")
    assert find_identity([tmp_path], 0, arrivals)[0] == str(tmp_path / "log")
