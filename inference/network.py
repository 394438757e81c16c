"""Writes small networks as ONNX, the same bytes for the same weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Layers = Sequence[Weights]
Shape = Sequence[str | int]


def build_classifier(layers: Layers, name: str) -> bytes:
    """A fully connected classifier: `features` (n, inputs) to `probabilities` (n, classes).

    `layers` are weights (outputs, inputs) with biases (outputs,), as torch keeps them; a ReLU stands between
    two layers and a softmax behind the last.
    """
    graph = Graph()
    graph.add("Softmax", [graph.connect("features", layers)], "probabilities", axis=1)
    inputs, classes = layers[0][0].shape[1], layers[-1][0].shape[0]
    return graph.build(name, {"features": ["n", inputs]}, {"probabilities": ["n", classes]})


def build_view_classifier(
    convolutions: Layers, layers: Layers, name: str, *, views: int, rows: int, columns: int
) -> bytes:
    """A classifier of several views: `features` (n, views, rows, columns) to `probabilities` (n, classes).

    The same convolutions (weights (outputs, inputs, 3, 3), stride 2, padding 1, ReLU) see each view; what
    they tell is averaged over its area and over the views, then classified as by `build_classifier`.
    """
    graph = Graph()
    value = graph.reshape("features", [-1, 1, rows, columns])
    for weights in convolutions:
        value = graph.add("Relu", [graph.convolve(value, weights, stride=2)])
    value = graph.reshape(graph.add("GlobalAveragePool", [value]), [-1, views, convolutions[-1][0].shape[0]])
    value = graph.connect(graph.add("ReduceMean", [value], axes=[1], keepdims=0), layers)
    graph.add("Softmax", [value], "probabilities", axis=1)
    outputs = {"probabilities": ["n", layers[-1][0].shape[0]]}
    return graph.build(name, {"features": ["n", views, rows, columns]}, outputs)


class Graph:
    """Nodes and tensors of a graph that grows from its inputs to its outputs; values go by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node of one output, and return that one's name."""
        output = output or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def tensor(self, values: npt.ArrayLike, kind: type[np.generic] = np.float32) -> str:
        """Add a constant, and return its name."""
        name = f"tensor{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(values, kind)), name))
        return name

    def weights(self, weights: Weights) -> list[str]:
        return [self.tensor(one) for one in weights]

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.add("Reshape", [value, self.tensor(shape, np.int64)])

    def convolve(self, value: str, weights: Weights, *, stride: int = 1) -> str:
        """A convolution, weights (outputs, inputs, k, k) with k odd, padded so that stride 1 keeps the size."""
        size = weights[0].shape[-1]
        return self.add(
            "Conv",
            [value, *self.weights(weights)],
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[size // 2] * 4,
        )

    def double(self, value: str, weights: Weights) -> str:
        """A transposed convolution of stride 2, weights (inputs, outputs, 2, 2): twice as many rows and columns."""
        inputs = [value, *self.weights(weights)]
        return self.add("ConvTranspose", inputs, kernel_shape=[2, 2], strides=[2, 2])

    def connect(self, value: str, layers: Layers) -> str:
        """Fully connected layers, a ReLU between two."""
        for index, layer in enumerate(layers):
            value = self.add("Relu", [value]) if index else value
            value = self.add("Gemm", [value, *self.weights(layer)], transB=1)
        return value

    def build(self, name: str, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> bytes:
        """The network as ONNX, checked; inputs and outputs are float32 of these shapes, a word where free."""
        given, told = (
            [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one, shape in side.items()]
            for side in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, name, given, told, self.tensors)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
