"""Writes small networks as ONNX, the same bytes for the same weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Layers = Sequence[Weights]


def build_classifier(layers: Layers, name: str) -> bytes:
    """A fully connected classifier: `features` (n, inputs) to `probabilities` (n, classes).

    `layers` are weights (outputs, inputs) with biases (outputs,), as torch keeps them; a ReLU stands between
    two layers and a softmax behind the last.
    """
    graph = _Graph()
    graph.classify("features", layers)
    return graph.build(name, ["n", layers[0][0].shape[1]], layers[-1][0].shape[0])


def build_view_classifier(
    convolutions: Layers, layers: Layers, name: str, *, views: int, rows: int, columns: int
) -> bytes:
    """A classifier of several views: `features` (n, views, rows, columns) to `probabilities` (n, classes).

    The same convolutions (weights (outputs, inputs, 3, 3), stride 2, padding 1, ReLU) see each view; what
    they tell is averaged over its area and over the views, then classified as by `build_classifier`.
    """
    graph = _Graph()
    value = graph.reshape("features", [-1, 1, rows, columns])
    for weight in convolutions:
        inputs = [value, *graph.weights(weight)]
        value = graph.add("Conv", inputs, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        value = graph.add("Relu", [value])
    value = graph.reshape(graph.add("GlobalAveragePool", [value]), [-1, views, convolutions[-1][0].shape[0]])
    value = graph.add("ReduceMean", [value], axes=[1], keepdims=0)
    graph.classify(value, layers)
    return graph.build(name, ["n", views, rows, columns], layers[-1][0].shape[0])


class _Graph:
    """Nodes and tensors of a graph that grows from `features` to `probabilities`."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node, return the name of its output."""
        output = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def tensor(self, values: npt.NDArray[Any]) -> str:
        name = f"tensor{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, weights: Weights) -> list[str]:
        return [self.tensor(one) for one in weights]

    def reshape(self, value: str, shape: list[int]) -> str:
        return self.add("Reshape", [value, self.tensor(np.array(shape, np.int64))])

    def classify(self, value: str, layers: Layers) -> None:
        for index, layer in enumerate(layers):
            value = self.add("Relu", [value]) if index else value
            value = self.add("Gemm", [value, *self.weights(layer)], transB=1)
        self.add("Softmax", [value], "probabilities", axis=1)

    def build(self, name: str, shape: list[str | int], classes: int) -> bytes:
        inputs = helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)
        outputs = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])
        graph = helper.make_graph(self.nodes, name, [inputs], [outputs], self.tensors)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
