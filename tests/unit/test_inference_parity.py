"""The built-in networks answer on onnxruntime what torch answers with their weights."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from inference import installed
from inference.package import load
from inference.session import open_session
from inference.training.running import TOLERANCE, draw

KEPT = json.loads(Path(__file__).with_name("golden").joinpath("parity.json").read_text())


@pytest.mark.parametrize("name", KEPT)
def test_onnxruntime_gives_what_torch_gave(name: str) -> None:
    """The answers were made by `python -m inference.training.parity`, of inputs that a seed draws."""
    package = load(installed.BUILT_IN / name)
    assert package.passport.network_sha256 == KEPT[name]["network_sha256"], "make the answers anew"
    found = open_session(package).run(draw(tuple(KEPT[name]["shape"])))
    assert found.keys() == KEPT[name]["answers"].keys()
    for output, answer in KEPT[name]["answers"].items():
        assert np.abs(found[output] - np.asarray(answer)).max() <= TOLERANCE


@pytest.mark.parametrize("name", KEPT)
def test_torch_gives_them_now(name: str) -> None:
    pytest.importorskip("torch")
    from inference.training import parity

    for output, answer in parity.answers(name).items():
        assert np.abs(answer - np.asarray(KEPT[name]["answers"][output])).max() <= TOLERANCE


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="there is no GPU here"
)
@pytest.mark.parametrize("name", KEPT)
def test_a_gpu_gives_them(name: str) -> None:
    """Single precision there may be TF32, which has ten bits of fraction."""
    from inference.devices import Device, Kind

    session = open_session(load(installed.BUILT_IN / name), device=Device(Kind.CUDA))
    found = session.run(draw(tuple(KEPT[name]["shape"])))
    for output, answer in KEPT[name]["answers"].items():
        assert np.abs(found[output] - np.asarray(answer)).max() <= 5e-3
