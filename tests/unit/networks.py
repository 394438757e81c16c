"""Networks that misbehave, as packages: `features` (n, 200) to `probabilities` (n, 4), as the NYU histogram model."""

from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper

from inference import nyu
from inference.network import IR_VERSION, OPSET
from inference.package import Package, save

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def package(folder: Path, network: bytes) -> Package:
    """Signed by `KEY`, which a home must trust."""
    return save(folder, network, nyu._passport(published=True), KEY)


def hungry(gigabytes: int = 8) -> bytes:
    """Wants so much memory at once."""
    many = helper.make_tensor("many", TensorProto.INT64, [2], [gigabytes << 14, 1 << 14])
    nodes = [
        helper.make_node("Shape", ["features"], ["shape"]),
        helper.make_node("ReduceMin", ["shape"], ["rows"], keepdims=0),  # known only when it is run
        helper.make_node("Mul", ["many", "rows"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["even", "nothing"], ["probabilities"]),
    ]
    return _network(nodes, [many])


def endless() -> bytes:
    """Never comes to an answer."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("Softmax", ["value"], ["next"], axis=1),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 4]),
        ],
    )
    turns = helper.make_tensor("turns", TensorProto.INT64, [], [2**62])
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    return _network(
        [helper.make_node("Loop", ["turns", "true", "even"], ["probabilities"], body=body)], [turns, true]
    )


def _network(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]) -> bytes:
    even = numpy_helper.from_array(np.full((1, 4), 0.25, np.float32), "even")
    graph = helper.make_graph(
        nodes,
        "misbehaving",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 200])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 4])],
        [even, *tensors],
    )
    opset = helper.make_opsetid("", OPSET)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString())
