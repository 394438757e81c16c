"""Runs a network that was just trained, and tells its figures as a passport does."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Tensor = npt.NDArray[np.float32]
Run = Callable[[Tensor], Mapping[str, Tensor]]
Figure = tuple[float, float, float]
"""A value with the lower and the upper end of its 95 % interval."""


def runner(network: bytes) -> Run:
    """What runs an ONNX network of one input on one CPU thread, and gives its outputs by their names."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    (given,) = (one.name for one in session.get_inputs())
    names = [one.name for one in session.get_outputs()]

    def run(tensor: Tensor) -> Mapping[str, Tensor]:
        return dict(zip(names, session.run(names, {given: tensor}), strict=True))

    return run


def metrics(figures: Mapping[str, Figure], measured_on: str) -> list[dict[str, Any]]:
    """The tables `metrics` of a passport, to three digits."""
    return [
        {
            "name": name,
            **dict(zip(("value", "low", "high"), (round(one, 3) for one in figure), strict=True)),
            "measured_on": measured_on,
        }
        for name, figure in figures.items()
    ]


PARITY_SEED = 20240303
TOLERANCE = 2e-5
"""The most that two runtimes may differ in an answer, a share of 0 to 1, both in single precision."""


def draw(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Inputs from 0 to 1 that are smooth as images are, the same each time: what runtimes are compared on."""
    coarse = np.random.default_rng(PARITY_SEED).random((*shape[:-2], 8, 8))
    rows, columns = (np.arange(size) * 8 // size for size in shape[-2:])
    fine = np.random.default_rng(PARITY_SEED + 1).random(shape)
    return np.asarray(0.8 * coarse[..., rows[:, None], columns] + 0.2 * fine, np.float32)
