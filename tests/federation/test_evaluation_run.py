"""A package is tried on what two real sites hold out: from the proposal to the figures, over Flower's own processes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from federation.examples.split import is_held_out
from federation.manifest import Kind
from federation.site_key import derive
from tests.federation.exams import draw_exams
from tests.federation.live import Federation, federation
from tests.federation.teaching import DATASET, VENDORS, is_over, look, teach_site
from tests.live import LiveSite, eventually

pytest.importorskip("flwr")
SITES = 2
CATEGORIES = "abcd" * 3 + "cd"
"""Six patients without dense breasts and eight with, so that both classes of each site may be told of."""


def is_judged_by(site: LiveSite, patient: str) -> bool:
    return is_held_out(derive(site.settings, "split"), site.pseudonyms().patient_id(patient))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Federation]:
    with federation(SITES) as made:
        for vendor, site in zip(VENDORS, made.sites.values(), strict=False):
            drawn = draw_exams(vendor, CATEGORIES, of=lambda patient, site=site: is_judged_by(site, patient))
            teach_site(site, drawn, Kind.EVALUATION)
        yield made


@pytest.fixture(scope="module")
def followed(nodes: Federation) -> tuple[str, str]:
    """The run, and what its server wrote, followed from when it was submitted to its end."""
    command = f"evaluate phantom-trained-density --dataset {DATASET} --min-sites {SITES}"
    proposed = nodes.hub.run("federation", *command.split(), "--json")
    run = json.loads(proposed.stdout)["run"]
    eventually(lambda: look(nodes, run)["flower_run"], 300)
    return run, nodes.hub.run("federation", "run", "logs", run, "--follow").stdout


@pytest.fixture(scope="module")
def evaluated(nodes: Federation, followed: tuple[str, str]) -> tuple[str, Mapping[str, Any]]:
    """The run, and what its figures are."""
    run, _ = followed
    eventually(lambda: is_over(nodes, run), 300)
    assert look(nodes, run)["state"] == "done", look(nodes, run)
    (told,) = json.loads(nodes.hub.run("federation", "figures", run, "--json").stdout)
    return run, told


def test_every_exam_that_was_held_out_counts(evaluated: tuple[str, Mapping[str, Any]]) -> None:
    _, told = evaluated
    assert told["exams"] == SITES * len(CATEGORIES)
    assert "phantoms, no patients" in told["model"]["trained_on"]
    figures = {one["name"]: one for one in told["figures"]}
    assert figures.keys() >= {"area under the curve", "quadratic kappa", "linear kappa", "accuracy"}
    assert all(one["low"] <= one["value"] <= one["high"] for one in figures.values())


def test_it_tells_of_each_site(evaluated: tuple[str, Mapping[str, Any]]) -> None:
    sites = evaluated[1]["groups"]["site"]
    assert {name: group["exams"] for name, group in sites.items()} == {
        f"site-{number}": len(CATEGORIES) for number in range(1, SITES + 1)
    }


def test_both_sites_have_it_on_record_that_nothing_was_learnt(
    nodes: Federation, evaluated: tuple[str, Mapping[str, Any]]
) -> None:
    for site in nodes.sites.values():
        with site.database() as database:
            rounds = database.execute(
                "select count(*) from site_round where run = %s", [evaluated[0]]
            ).fetchone()
            assert rounds == (1,)
            assert database.execute("select count(*) from training_use").fetchone() == (0,)


def test_what_a_runs_server_writes_is_read_while_it_runs_and_afterwards(
    nodes: Federation, followed: tuple[str, str], evaluated: tuple[str, Mapping[str, Any]]
) -> None:
    """The last line, too; and of no site does it tell an exam."""
    run, told = followed
    afterwards = nodes.hub.run("federation", "run", "logs", run).stdout
    assert told.splitlines() and set(told.splitlines()) <= set(afterwards.splitlines())
    assert "2.25." not in afterwards
