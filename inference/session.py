"""A network ready to run: onnxruntime with providers chosen and reported, threads bounded, warmed up."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnxruntime.capi import onnxruntime_pybind11_state as states

from inference.errors import PackageError, ReadingFailed
from inference.package import Package
from inference.preprocess import find_step

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
MAX_THREADS = 8
_FATAL = 4
OPERATORS = {"", "ai.onnx", "ai.onnx.ml"}

Tensor = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]

_RUNTIME_ERRORS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
    states.EPFail,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Session:
    """A package's network in memory. `providers` are those it runs on, the preferred first."""

    package: Package
    network: onnxruntime.InferenceSession
    shape: Shape

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.network.get_providers())

    def run(self, features: Tensor) -> Tensor:
        """The probabilities of the classes, (n, classes), for features of the shape that the network takes.

        Raises ReadingFailed where the network can't be run on them or answers what is no probability.
        """
        if not _fits(features.shape, self.shape) or not np.isfinite(features).all():
            raise ReadingFailed(
                "the preprocessed images are not of the shape that the network takes, or not finite"
            )
        try:
            (answer,) = self.network.run(["probabilities"], {"features": features})
        except _RUNTIME_ERRORS as error:
            raise ReadingFailed("the network can't be run on the preprocessed images") from error
        if not np.isfinite(answer).all() or (answer < 0).any() or np.abs(answer.sum(axis=1) - 1).max() > 1e-3:
            raise ReadingFailed("the network's answer is no probability")
        return np.asarray(answer / answer.sum(axis=1, keepdims=True), np.float32)


def open_session(package: Package, *, threads: int = 0, providers: tuple[str, ...] = PROVIDERS) -> Session:
    """Load a package's network and run it once, so that the first study does not wait.

    `threads` is how many threads one run may use; 0 means as many as there are cores, at most `MAX_THREADS`.
    Raises PackageError for a network that can't be loaded or does not take and give what the passport says.
    """
    content = package.read_network()
    _check_network(content, package)
    available = [name for name in providers if name in onnxruntime.get_available_providers()]
    try:
        network = onnxruntime.InferenceSession(content, _options(threads), providers=available)
    except _RUNTIME_ERRORS as error:
        raise PackageError(f"{package.folder} holds a network that onnxruntime can't load") from error
    session = Session(package, network, _input_shape(network, package))
    inputs = package.passport.inputs
    if not inputs.preprocessing:
        raise PackageError(f"{package.folder} is not of a kind that is read from images by a network")
    last = inputs.preprocessing[-1]
    shape = find_step(last.name).shape(len(inputs.views), last.parameters)
    if not _fits(shape, session.shape):
        raise PackageError(
            f"{package.folder} holds a network that does not take what its preprocessing gives"
        )
    session.run(np.zeros(shape, np.float32))
    return session


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(os.cpu_count() or 1, MAX_THREADS)
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _check_network(content: bytes, package: Package) -> None:
    """Refuse what the hash does not cover: tensors in other files, and operators that libraries bring."""
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise PackageError(f"{package.folder} holds a network that is not ONNX") from error
    if any(one.domain not in OPERATORS for one in model.opset_import):
        raise PackageError(f"{package.folder} holds a network that needs operators which are not ONNX's own")
    graphs = [model.graph, *model.functions]
    if any(
        tensor.data_location == onnx.TensorProto.EXTERNAL for graph in graphs for tensor in _tensors(graph)
    ):
        raise PackageError(f"{package.folder} holds a network that keeps tensors in other files")


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


def _input_shape(network: onnxruntime.InferenceSession, package: Package) -> Shape:
    """The shape of the network's one input, None where it is free. Raises PackageError."""
    inputs, outputs = network.get_inputs(), network.get_outputs()
    names = [one.name for one in inputs], [one.name for one in outputs]
    classes = len(package.passport.outputs.classes)
    if names != (["features"], ["probabilities"]) or list(outputs[0].shape[1:]) != [classes]:
        raise PackageError(
            f"{package.folder} holds a network that does not map features to {classes} probabilities"
        )
    return tuple(size if isinstance(size, int) else None for size in inputs[0].shape)


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(shape, expected, strict=True)
    )
