"""From what a person asks for to a manifest that sites can decide on (federation.hub.asked)."""

import hashlib
from pathlib import Path

import pytest

from archive.errors import BadRequest, Conflict
from archive.federation_roles import Hub, write_role
from archive.purpose import Purpose
from archive.settings import Settings
from federation.hub.asked import evaluation, training
from federation.manifest import Kind
from inference.errors import PackageError
from inference.installed import BUILT_IN

DENSITY = (BUILT_IN / "phantom_density" / "passport.toml").read_bytes()
TERMS = {
    "task": "density", "dataset": "screening", "purpose": "algorithms", "rounds": 3, "min_sites": 2,
    "strategy": "fedprox", "epochs": 1, "noise": 1.1,
}  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    write_role(settings, Hub("hub", "2026-11-23T10:00:00+00:00"))
    return settings


def ask(settings: Settings, *models: str):
    return evaluation(settings, models, "screening", purpose=Purpose.ALGORITHMS, min_sites=2)


@pytest.mark.parametrize(
    "name", ["phantom-trained-density", "phantom-trained-density-2.1.0", "phantom_density"]
)
def test_a_package_is_named_by_its_passports_hash(hub, name):
    manifest, content = ask(hub, str(BUILT_IN / name) if "_" in name else name)
    assert manifest.packages == (hashlib.sha256(DENSITY).hexdigest(),) == tuple(content)
    assert (manifest.kind, manifest.rounds, manifest.task) == (Kind.EVALUATION, 1, "density")


def test_packages_of_two_tasks_are_not_evaluated_together(hub):
    with pytest.raises(BadRequest):
        ask(hub, "phantom-trained-density", "phantom-trained-lesions")


@pytest.mark.parametrize(("name", "error"), [("no-such-model", PackageError), ("image-quality", BadRequest)])
def test_what_sites_can_not_evaluate_is_refused(hub, name, error):
    with pytest.raises(error):
        ask(hub, name)


def test_a_node_that_is_no_hub_asks_for_nothing(tmp_path):
    with pytest.raises(Conflict):
        ask(Settings(home=tmp_path), "phantom-trained-density")


def test_a_training_that_is_asked_for_has_its_terms(hub):
    pytest.importorskip("torch")
    manifest = training(hub, TERMS)
    assert (manifest.kind, manifest.rounds, manifest.hub) == (Kind.TRAINING, 3, "hub")
    assert manifest.privacy.noise_multiplier == 1.1 and manifest.strategy == "fedprox"


@pytest.mark.parametrize(
    ("asked", "bound"), [({}, 17.419), ({"norm_bound": 0}, 0), ({"norm_bound": 2.5}, 2.5)]
)
def test_no_site_outweighs_all_others_unless_the_hub_wants_it(hub, asked, bound):
    """The bound that nobody chose is the norm of the weights that the run begins with."""
    pytest.importorskip("torch")
    assert training(hub, TERMS | asked).norm_bound == bound


@pytest.mark.parametrize("asked", [{"strategy": "best"}, {"aggregation": "all"}])
def test_what_there_is_to_choose_from_is_told(hub, asked):
    pytest.importorskip("torch")
    with pytest.raises(BadRequest, match="one of"):
        training(hub, TERMS | asked)
