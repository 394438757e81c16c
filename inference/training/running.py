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
