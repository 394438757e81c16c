"""A network with floating-point numbers of 16 bits, and whether it answers as the one with 32 does."""

import warnings
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

Tensor = npt.NDArray[np.float32]
_SEED = 20240304


def to_half(network: bytes) -> bytes:
    """The network with weights and values of 16 bits; what goes in and comes out has 32.

    Raises ValueError where it has no such form.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16  # takes a second to import

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # it tells of each weight that rounds to nothing: `agree` is what counts
        made = convert_float_to_float16(onnx.load_model_from_string(network), keep_io_types=True)
    return bytes(made.SerializeToString())


def agree(one: Mapping[str, Tensor], other: Mapping[str, Tensor], difference: float) -> bool:
    """Whether answers differ by that share of the largest of each output at most, and of 1 for shares."""
    return all(
        other[name].shape == values.shape
        and np.abs(other[name] - values).max(initial=0)
        <= difference * max(1.0, np.abs(values).max(initial=0))
        for name, values in one.items()
    )


def draw(shape: tuple[int, ...]) -> Tensor:
    """An input to compare on: from 0 to 1, the same each time."""
    return np.random.default_rng(_SEED).random(shape, np.float32)
