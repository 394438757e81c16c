"""Of whom a site told figures, and what a hub keeps of evaluations (archive.evaluations)."""

import secrets
from collections.abc import Sequence

import pytest

from archive import evaluations
from archive.errors import Forbidden
from tests.live import LiveSite

LEAST = 5


def patients(count: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in range(count)]


def tell(site: LiveSite, package: str, of: Sequence[bytes]) -> None:
    with site.database() as connection:
        evaluations.tell_of(connection, package, of, LEAST)


def test_the_same_patients_are_told_of_again(site: LiveSite) -> None:
    package = secrets.token_hex(32)
    for _ in range(2):
        tell(site, package, patients(20))


@pytest.mark.parametrize("count", [16, 19, 21, 24])
def test_figures_that_with_earlier_ones_tell_of_few_are_refused(site: LiveSite, count: int) -> None:
    """One to four patients came, or went: as by an opt-out."""
    package = secrets.token_hex(32)
    tell(site, package, patients(20))
    with pytest.raises(Forbidden):
        tell(site, package, patients(count))
    tell(site, secrets.token_hex(32), patients(count))


def test_where_as_many_changed_as_the_bound_they_are_told(site: LiveSite) -> None:
    package = secrets.token_hex(32)
    tell(site, package, patients(20))
    tell(site, package, patients(25))
    with pytest.raises(Forbidden):
        tell(site, package, patients(24))


def test_a_large_cohort_is_kept_once(site: LiveSite) -> None:
    """More than a row of an index has room for."""
    package, many = secrets.token_hex(32), sorted(secrets.token_bytes(32) for _ in range(2000))
    for _ in range(2):
        tell(site, package, many)
    with site.database() as connection:
        kept = connection.execute("select count(*) from evaluated_cohort where package = %s", [package])
        assert kept.fetchone() == (1,)
