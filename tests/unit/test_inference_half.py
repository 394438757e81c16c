"""Networks with 16 bits: on a GPU alone, where a passport allows it, and where their answers agree."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from inference import installed, session
from inference.errors import PackageError
from inference.half import agree, draw, to_half
from inference.package import Package, load, save
from inference.session import Session, open_session

DENSITY = load(installed.BUILT_IN / "phantom_density")
OTHERS = ("format", "network", "signature")


def package(folder: Path, half: float | None) -> Package:
    """The built-in density model, with that tolerance."""
    passport = tomllib.loads((DENSITY.folder / "passport.toml").read_text())
    kept = {name: table for name, table in passport.items() if name not in OTHERS}
    tolerance = {} if half is None else {"network": {"half": half}}
    return save(folder, DENSITY.read_network(), kept | tolerance)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "is_on_gpu", lambda _: True)


@pytest.mark.usefixtures("as_on_a_gpu")
class TestOnAGpu:
    """As on one: the CPU runs both."""

    def test_it_answers_within_the_tolerance(self, tmp_path: Path) -> None:
        half = open_session(package(tmp_path / "m", 0.01))
        whole = open_session(package(tmp_path / "n", None))
        assert (half.is_half, whole.is_half) == (True, False)
        tensor = draw((2, *map(int, whole.shape[1:])))
        assert agree(whole.run(tensor), half.run(tensor), 0.01)

    def test_one_that_differs_by_more_runs_with_32_bits(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert not open_session(package(tmp_path / "m", 1e-7)).is_half
        assert "differ by more" in caplog.text

    def test_one_that_has_no_such_form_runs_with_32_bits(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: bytes) -> bytes:
            raise ValueError

        monkeypatch.setattr(session, "to_half", fail)
        assert not open_session(package(tmp_path / "m", 0.01)).is_half


def test_a_cpu_runs_it_with_32_bits(tmp_path: Path) -> None:
    opened = open_session(package(tmp_path / "m", 0.1))
    assert isinstance(opened, Session) and not opened.is_half


@pytest.mark.parametrize("half", [-0.1, 0.2])
def test_a_tolerance_that_is_none_is_refused(tmp_path: Path, half: float) -> None:
    with pytest.raises(PackageError, match="half"):
        package(tmp_path / "m", half)


def test_weights_take_half_the_room() -> None:
    network = DENSITY.read_network()
    assert len(to_half(network)) < 0.6 * len(network)


@pytest.mark.parametrize(
    ("other", "agrees"), [([0.5, 100.9], True), ([0.52, 100.0], True), ([0.5, 101.1], False), ([0.5], False)]
)
def test_answers_agree_by_a_share_of_the_largest(other: list[float], agrees: bool) -> None:
    one = {"values": np.asarray([0.5, 100.0], np.float32)}
    assert agree(one, {"values": np.asarray(other, np.float32)}, 0.01) is agrees
