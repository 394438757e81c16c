"""`senogate alive`: what containers are asked whether their part does its work."""

import pytest

from tests.live import LiveSite, eventually


@pytest.mark.parametrize("part", ["schema", "worker", "keeper"])
def test_a_part_of_a_site_that_runs_does_its_work(site: LiveSite, part: str) -> None:
    assert eventually(lambda: site.run("alive", part, check=False).returncode == 0)


@pytest.mark.parametrize("part", ["conductor", "superlink", "relay", "supernode", "trainer"])
def test_a_part_that_does_not_run_does_not(site: LiveSite, part: str) -> None:
    """The site is of no federation."""
    done = site.run("alive", part, check=False)
    assert (done.returncode, done.stderr.startswith("senogate: ")) == (1, True)


def test_a_part_that_is_none_is_wrong_usage(site: LiveSite) -> None:
    assert site.run("alive", "frob", check=False).returncode == 2
