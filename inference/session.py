"""A network ready to run: on the device that was chosen, threads bounded, warmed up, and what it answers checked."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from inference import preprocess
from inference.devices import CPU, CUDA, Device, Provider, check, providers
from inference.errors import PackageError, ReadingFailed
from inference.features import SIZES
from inference.half import agree, draw, to_half
from inference.network_check import check_network
from inference.package import Package
from inference.passport import Kind, Per
from inference.preprocess import shape_of

MAX_THREADS = 8
_FATAL = 4
_WARM_UP = 64  # rows and columns of the image with which a network that takes any size is run first

_log = logging.getLogger("senogate.session")

Tensor = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]
Outputs = Mapping[str, Tensor]

_OUTPUTS: Mapping[Kind, tuple[frozenset[str], frozenset[str]]] = {
    Kind.CLASSES: (frozenset({"probabilities"}), frozenset({"fraction"})),
    Kind.REGRESSION: (frozenset({"values"}), frozenset()),
    Kind.BOXES: (frozenset({"boxes", "scores"}), frozenset({"mask"})),
    Kind.MASK: (frozenset({"mask"}), frozenset()),
    Kind.RISK: (frozenset({"probabilities"}), frozenset({"contributions"})),
}
"""The outputs that a network of each kind must have, and those that it may have."""

_SHARES = frozenset({"probabilities", "fraction", "scores", "mask"})  # from 0 to 1
_SLACK, _HALF_SLACK = 1e-3, 1e-2  # of numbers of 32 bits, and of 16

_RUNTIME_ERRORS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
    states.EPFail,
    MemoryError,
    ValueError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Session:
    """A package's network in memory: the name and shape of its one input, None where a size is free.

    `providers` are those it runs on, the preferred first; `number` is that of the GPU. `is_half`: with 16 bits.
    """

    package: Package
    network: onnxruntime.InferenceSession
    input: str
    shape: Shape
    number: int = 0
    is_half: bool = False

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.network.get_providers())

    @property
    def takes_batches(self) -> bool:
        """Whether it takes any number of rows, each of which it answers by itself."""
        inputs = self.package.passport.inputs
        return inputs.per is not Per.EXAM and self.shape[0] is None

    def run(self, tensor: Tensor) -> dict[str, Tensor]:
        """The network's outputs by name, for a tensor of the shape that it takes.

        Raises ReadingFailed where the network can't be run on it or answers what can't be.
        """
        if not _fits(tensor.shape, self.shape) or not np.isfinite(tensor).all():
            raise ReadingFailed(
                "the preprocessed images are not of the shape that the network takes, or not finite"
            )
        try:
            outputs = self._run(tensor)
        except _RUNTIME_ERRORS as error:
            raise ReadingFailed(
                f"the network can't be run on the preprocessed images{_why(error)}"
            ) from error
        kind = self.package.passport.outputs.kind
        for name, values in outputs.items():
            _check_values(name, values, _HALF_SLACK if self.is_half else _SLACK, sums=kind is Kind.CLASSES)
        return outputs

    def _run(self, tensor: Tensor) -> dict[str, Tensor]:
        names = [one.name for one in self.network.get_outputs()]
        if self.providers[0] == CPU:
            answers = self.network.run(names, {self.input: tensor})
        else:
            answers = self._run_bound(tensor, names)
        return {name: np.asarray(one, np.float32) for name, one in zip(names, answers, strict=True)}

    def _run_bound(self, tensor: Tensor, names: list[str]) -> list[Tensor]:
        """On a GPU: the input copied there once, outputs of sizes that only the run tells copied back."""
        device = "cuda" if CUDA in self.providers else "cpu"
        binding = self.network.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy(tensor, device, self.number)
        binding.bind_ortvalue_input(self.input, value)
        for name in names:
            binding.bind_output(name, device, self.number)
        self.network.run_with_iobinding(binding)
        copied: list[Tensor] = binding.copy_outputs_to_cpu()
        return copied


@dataclass(frozen=True, slots=True)
class Measured:
    """A package in which a method of this program stands in place of a network."""

    package: Package
    providers: tuple[str, ...] = (CPU,)


def open_model(package: Package, *, threads: int = 0, device: Device = Device()) -> Session | Measured:  # noqa: B008
    """What reads studies by a package: its network, or the method in its place. Raises as `open_session`."""
    return (
        Measured(package)
        if package.passport.method
        else open_session(package, threads=threads, device=device)
    )


def open_session(package: Package, *, threads: int = 0, device: Device = Device()) -> Session:  # noqa: B008
    """Load a package's network and run it once, so that the first study does not wait.

    `threads` is how many threads one run may use; 0 means as many as there are cores, at most `MAX_THREADS`.
    Raises PackageError for a network that can't be loaded or does not take and give what the passport says, and
    ConfigurationError where the device that a site asks for can't be used.
    """
    package.read_record()
    content = package.read_network()
    check_network(content, str(package.folder))
    session = _load(package, content, providers(device), threads, device)
    check(device, session.providers)
    _check_outputs(session)
    expected = shape_of_input(package)
    if not _fits(expected, session.shape):
        raise PackageError(
            f"{package.folder} holds a network that does not take what its preprocessing gives"
        )
    some = _some_shape(expected, session.shape)
    session.run(np.zeros(some, np.float32))
    if package.passport.half is None or not is_on_gpu(session):
        return session
    return _with_half(session, content, draw(some), threads, device) or session


def is_on_gpu(session: Session) -> bool:
    return session.providers[0] != CPU


def _with_half(
    session: Session, content: bytes, tensor: Tensor, threads: int, device: Device
) -> Session | None:
    """The session's network with 16 bits; None where it has no such form, or does not answer as the session does."""
    package = session.package
    try:
        loaded = _load(package, to_half(content), providers(device), threads, device)
        half = replace(loaded, is_half=True)
        if agree(session.run(tensor), half.run(tensor), package.passport.half or 0.0):
            return half
    except (ValueError, PackageError, ReadingFailed) as error:
        _log.warning("%s is run with 32 bits (%s)", package.reference, type(error).__name__)
        return None
    _log.warning(
        "%s is run with 32 bits: with 16 its answers differ by more than it allows", package.reference
    )
    return None


def shape_of_input(package: Package) -> Shape:
    """The shape of one run's tensor, None where it depends on the pictures. Raises PackageError."""
    inputs = package.passport.inputs
    if inputs.features:
        return 1, sum(SIZES[name] for name in inputs.features)
    steps = [(step.name, step.parameters) for step in inputs.preprocessing]
    if not steps:
        raise PackageError(f"{package.folder} says no preprocessing")
    preprocess.check(steps)
    return tuple(shape_of(steps, len(inputs.views) if inputs.per is Per.EXAM else 1))


def _load(package: Package, content: bytes, wanted: list[Provider], threads: int, device: Device) -> Session:
    try:
        network = onnxruntime.InferenceSession(content, options(threads), providers=wanted)
    except _RUNTIME_ERRORS as error:
        raise PackageError(f"{package.folder} holds a network that onnxruntime can't load") from error
    (only, *more) = network.get_inputs()
    if more or only.name not in ("features", "image"):
        raise PackageError(f"{package.folder} holds a network whose one input is neither features nor image")
    shape = tuple(size if isinstance(size, int) else None for size in only.shape)
    return Session(package, network, only.name, shape, device.number)


def options(threads: int) -> onnxruntime.SessionOptions:
    """How networks run: on so many threads (0: one for each core, at most `MAX_THREADS`), which sleep when idle."""
    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads = threads or min(os.cpu_count() or 1, MAX_THREADS)
    found.inter_op_num_threads = 1
    found.log_severity_level = _FATAL
    found.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return found


def _check_outputs(session: Session) -> None:
    passport = session.package.passport
    outputs = {one.name: one.shape for one in session.network.get_outputs()}
    if passport.outputs.kind not in _OUTPUTS:
        raise PackageError(f"{session.package.folder} holds a network, and its kind of outputs needs none")
    needed, allowed = _OUTPUTS[passport.outputs.kind]
    if not needed <= outputs.keys() <= needed | allowed:
        names = " and ".join(sorted(needed))
        raise PackageError(f"{session.package.folder} holds a network whose outputs are not {names}")
    classes = len(passport.outputs.classes)
    for name in ("probabilities", "scores"):
        size = outputs[name][1] if name in outputs and len(outputs[name]) == 2 else None
        if passport.outputs.kind is not Kind.RISK and isinstance(size, int) and size != classes:
            raise PackageError(
                f"{session.package.folder} holds a network that does not give {classes} {name}"
            )


def _check_values(name: str, values: Tensor, slack: float, *, sums: bool) -> None:
    """Raise ReadingFailed for what is not finite, and for a share or a probability that is none."""
    if not np.isfinite(values).all():
        raise ReadingFailed(f"the network's answer is not finite: {name}")
    if name in _SHARES and values.size and (values.min() < -slack or values.max() > 1 + slack):
        raise ReadingFailed(f"the network's answer is no probability: {name}")
    if name == "probabilities" and sums and np.abs(values.sum(axis=1) - 1).max(initial=0) > slack:
        raise ReadingFailed(f"the network's answer is no probability: {name} do not sum to 1")


def _why(error: Exception) -> str:
    text = str(error).lower()
    return ": there is not memory enough" if "alloc" in text or isinstance(error, MemoryError) else ""


def _some_shape(expected: Shape, taken: Shape) -> tuple[int, ...]:
    """A shape that fits both, for the run that warms up."""
    return tuple(wanted or size or _WARM_UP for wanted, size in zip(expected, taken, strict=True))


def _fits(shape: Shape, expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        None in (size, wanted) or wanted == size for size, wanted in zip(shape, expected, strict=True)
    )
