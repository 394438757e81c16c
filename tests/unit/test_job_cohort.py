"""What headers tell of an exam for a job (federation.jobs.cohort)."""

import pytest

from archive.attributes import tag
from federation.jobs.cohort import _numbers


@pytest.mark.parametrize(
    ("value", "told"), [(0.02, 2.0), ("0.02", 2.0), (1e308, None), ("1e200", None), ("nan", None)]
)
def test_an_absurd_number_of_a_header_is_none(value: object, told: float | None) -> None:
    """PS3.3 C.8.11.7: Organ Dose in dGy. One header that says more than a float holds withholds no job's answer."""
    assert _numbers([], [{tag("OrganDose"): {"Value": [value]}}], None).get("organ_dose") == told
