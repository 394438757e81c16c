"""What a network may hold: ONNX's own operators, and every tensor within its one file."""

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError

from inference.errors import PackageError

OPERATORS = {"", "ai.onnx", "ai.onnx.ml"}


def check_network(content: bytes, name: str) -> None:
    """Raise PackageError for what its hash does not cover: tensors in other files, and operators that libraries bring.

    `name` is told in the error.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise PackageError(f"{name} holds a network that is not ONNX") from error
    if any(one.domain not in OPERATORS for one in model.opset_import):
        raise PackageError(f"{name} holds a network that needs operators which are not ONNX's own")
    graphs = [model.graph, *model.functions]
    if any(
        tensor.data_location == onnx.TensorProto.EXTERNAL for graph in graphs for tensor in _tensors(graph)
    ):
        raise PackageError(f"{name} holds a network that keeps tensors in other files")


def _tensors(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """All tensors of a graph, those of nodes and of graphs inside nodes too."""
    if isinstance(graph, onnx.GraphProto):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)
