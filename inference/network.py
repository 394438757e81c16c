"""Writes small networks as ONNX, the same bytes for the same weights."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

Layers = Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


def build_classifier(layers: Layers, name: str) -> bytes:
    """A fully connected classifier as ONNX: `features` (n, inputs) to `probabilities` (n, classes).

    `layers` are weights (outputs, inputs) with biases (outputs,), as torch keeps them; a ReLU stands between
    two layers and a softmax behind the last.
    """
    nodes, tensors, value = [], [], "features"
    for index, (weight, bias) in enumerate(layers):
        tensors += [numpy_helper.from_array(weight, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(
            helper.make_node("Gemm", [value, f"w{index}", f"b{index}"], [f"linear{index}"], transB=1)
        )
        value = f"linear{index}"
        if index + 1 < len(layers):
            nodes.append(helper.make_node("Relu", [value], [f"relu{index}"]))
            value = f"relu{index}"
    nodes.append(helper.make_node("Softmax", [value], ["probabilities"], axis=1))
    inputs, classes = layers[0][0].shape[1], layers[-1][0].shape[0]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
