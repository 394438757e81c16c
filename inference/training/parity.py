"""What torch answers with the weights of the built-in networks: `python -m inference.training.parity FILE`.

Inputs are drawn from a seed, so the file holds answers alone; onnxruntime has to give the same on whatever it runs. It
is written anew when a network is.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from inference import installed
from inference.package import load
from inference.training import density_exams, ultrasound
from inference.training.density_network import ViewDensity
from inference.training.running import draw

Answers = Mapping[str, npt.NDArray[np.float32]]


def _density(network: nn.Module, value: torch.Tensor) -> dict[str, torch.Tensor]:
    assert isinstance(network, ViewDensity)
    return network.answers(value)


def _ultrasound(network: nn.Module, value: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"mask": torch.sigmoid(network(value))}


_Answer = Callable[[nn.Module, torch.Tensor], dict[str, torch.Tensor]]
NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...], _Answer]] = {
    "phantom_density": (ViewDensity, (3, 1, density_exams.ROWS, density_exams.COLUMNS), _density),
    "phantom_ultrasound": (ultrasound.Segmenter, (2, 1, 32, 48), _ultrasound),
}
"""By package: the network in torch, the shape of its inputs, and what it answers as the written one does."""


def restore(network: nn.Module, content: bytes) -> None:
    """Give a network the weights of one that was written as ONNX, layer by layer in the order of its graph.

    Raises ValueError where the two differ.
    """
    graph = onnx.load_model_from_string(content).graph
    tensors = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    kept = [
        [tensors[name] for name in node.input[1:]]
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose", "Gemm")
    ]
    layers = [
        one for one in _in_order(network) if isinstance(one, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
    ]
    if len(layers) != len(kept):
        raise ValueError("the network that was written has other layers")
    for layer, (weight, bias) in zip(layers, kept, strict=True):
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.copy()))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    if isinstance(network, ViewDensity):
        (spread,) = (tensors[node.input[1]] for node in graph.node if node.op_type == "Div")
        with torch.no_grad():
            network.log_spread.fill_(float(np.log(spread.item())))


def _in_order(network: nn.Module) -> list[nn.Module]:
    """The layers in the order in which values pass them."""
    if isinstance(network, ultrasound.Segmenter):
        down = [one for pair in zip(network.down, network.look, strict=True) for one in pair]
        up = [one for pair in zip(network.up, network.join, strict=True) for one in pair]
        return [*down, *up, network.tell]
    return list(network.modules())


def answers(name: str) -> Answers:
    """What torch answers with the weights of a built-in network."""
    make, shape, answer = NETWORKS[name]
    network = make()
    restore(network, load(installed.BUILT_IN / name).read_network())
    with torch.no_grad():
        return {
            key: one.numpy() for key, one in answer(network.eval(), torch.from_numpy(draw(shape))).items()
        }


def vectors() -> dict[str, Any]:
    """The answers, with what they were made from, as they are kept."""
    return {
        name: {
            "network_sha256": load(installed.BUILT_IN / name).passport.network_sha256,
            "shape": list(shape),
            "answers": {key: np.round(one.astype(float), 7).tolist() for key, one in answers(name).items()},
        }
        for name, (_, shape, _) in NETWORKS.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write what torch answers with the built-in networks.")
    parser.add_argument("file", type=Path, help="tests/unit/golden/parity.json")
    parser.parse_args().file.write_text(json.dumps(vectors()) + "\n")
