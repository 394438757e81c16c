"""What comes of a run is a package like any other: a task's export and its record fit the passport's format."""

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

pytest.importorskip("torch")

from federation.hub.registration import complete, figures
from federation.provenance.record import End, parse_entry, write
from federation.provenance.trace import read_provenance
from federation.provenance.verification import verify
from federation.training.task import task_of
from inference.errors import PackageError
from inference.package import load, save
from inference.session import open_session
from inference.signature import identify
from tests.federation.records import HUB, MANIFEST, MODEL_KEY, Written, whole


def record(task: str, network: bytes) -> bytes:
    """Of a whole run of the task, which ended with this network."""
    written = Written(replace(MANIFEST, task=task))
    for number in (1, 2, 3, 4):
        written.round(number)
    written.end(network=hashlib.sha256(network).hexdigest())
    return written.content


@pytest.mark.parametrize("name", ["density", "lesions"])
def test_what_a_task_exports_becomes_a_package_that_runs(name, tmp_path):
    task = task_of(name)
    network, tables = task.export(task.initial(0))
    text = record(name, network)
    save(tmp_path / "m", network, complete(tables, verify(text)), MODEL_KEY, text)
    package = load(tmp_path / "m", {identify(MODEL_KEY.public_key()): MODEL_KEY.public_key()})
    assert read_provenance(package, HUB.public_key().public_bytes_raw()).manifest.task == name
    assert open_session(package).shape


def test_figures_are_of_the_weights_that_were_best():
    written = whole()
    last = parse_entry(written.lines.pop())
    assert isinstance(last, End)
    for best, expected in ((1, 0.52), (3, 0.54)):
        end = replace(last, best=best, weights=_weights(written, best))
        text = b"".join(line.to_bytes() for line in (*written.lines, write(end, HUB)))
        names = {one["name"]: one for one in figures(verify(text))}
        assert "primary" not in names and names["loss"]["value"] == pytest.approx(1.0)
        assert names["kappa"]["value"] == pytest.approx(expected)


def _weights(written: Written, round: int) -> str:
    entry = parse_entry(written.lines[round])
    return entry.weights_out


def test_the_key_of_a_record_is_that_of_its_package(tmp_path):
    task = task_of("density")
    network, tables = task.export(task.initial(0))
    text = record("density", network)
    other = Ed25519PrivateKey.generate()
    package = save(tmp_path / "m", network, complete(tables, verify(text)), other, text)
    with pytest.raises(PackageError, match="another key"):
        read_provenance(package)
