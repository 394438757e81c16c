"""A site is asked to evaluate a package: what it states, and what goes on record (federation.site.assessing)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archive.errors import BadRequest, Forbidden
from archive.purpose import Purpose
from archive.settings import Settings
from federation.evaluation.packages import Evaluated, Exam, join
from federation.examples.held_out import HeldOut
from federation.manifest import Kind, Manifest
from federation.site import assessing
from federation.site.work import Order
from federation.training.task import Label
from inference.installed import BUILT_IN
from tests.federation.exams import draw_exams

FOLDER = BUILT_IN / "phantom_density"
PACKAGE = (FOLDER / "passport.toml").read_bytes(), (FOLDER / "model.onnx").read_bytes()
SHA256 = hashlib.sha256(PACKAGE[0]).hexdigest()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Evaluated]]:
    """Of whom it was told. The site holds out ten exams."""
    exams = tuple(
        Exam(one.study_instance_uid, one.patient_id, one.instances, Label("csv", one.category))
        for one in draw_exams("alpha", "aabbbccddd")
    )

    @contextmanager
    def given(*_: object, **__: object) -> Iterator[HeldOut]:
        yield HeldOut(exams, "v" * 64, "r" * 64, "o" * 64)

    kept: list[tuple[str, Evaluated]] = []
    monkeypatch.setattr(assessing, "held_out", given)
    monkeypatch.setattr(assessing, "_keep", lambda _, package, told: kept.append((package, told)))
    return kept


def order(home: Path, *packages: str, task: str = "density") -> Order:
    manifest = Manifest(
        "R0123456789abcdef", Kind.EVALUATION, task, "screening", Purpose.ALGORITHMS, "hub", datetime.now(UTC),
        rounds=1, min_sites=1, code="c" * 64, packages=packages,
    )  # fmt: skip
    return Order(Settings(home=home), manifest, "north", "P1", "evaluate", 1, "", {})


def test_what_is_told_is_bound_to_the_statement_by_its_hash(kept, tmp_path):
    outcome = assessing.assess(order(tmp_path, SHA256), PACKAGE)
    told = join({"north": outcome.release}, task="density", package=SHA256)
    figures = outcome.figures
    assert figures.weights_out == hashlib.sha256(outcome.release).hexdigest()
    assert (figures.weights_in, figures.cohort, figures.dataset_version) == (SHA256, "r" * 64, "v" * 64)
    assert told["exams"] == figures.studies == figures.number_of_patients == 10
    assert figures.patients == () and outcome.weights is None


def test_of_whom_it_was_told_is_kept_at_the_site(kept, tmp_path):
    assessing.assess(order(tmp_path, SHA256), PACKAGE)
    ((package, told),) = kept
    assert package == SHA256
    assert {stratum: len(some) for stratum, some in told.patients.items()} == {"negative": 5, "positive": 5}


def test_nothing_is_told_of_a_package_that_was_not_approved(kept, tmp_path):
    with pytest.raises(Forbidden):
        assessing.assess(order(tmp_path, "0" * 64), PACKAGE)
    assert not kept


def test_a_task_without_tables_is_refused(kept, tmp_path):
    with pytest.raises(BadRequest):
        assessing.assess(order(tmp_path, SHA256, task="quality"), PACKAGE)
