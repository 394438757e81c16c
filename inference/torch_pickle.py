"""Reads the tensors of a legacy torch pickle without torch, and without unpickling.

`pickle.load` runs whatever a file tells it to. Here `pickletools` lists the opcodes, and they are interpreted
by the few rules that a dictionary of float32 tensors needs. Every other opcode, global or shape is refused,
so a hostile file can neither run code nor take memory that it does not fill itself.

The layout (torch.save before version 1.6): a pickle each for magic number, protocol version, the byte order
of the machine that wrote it, and the object; a pickle with the list of storage keys; then each storage in
that order, as a 64-bit count and its values.
"""

import io
import math
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.errors import WeightsError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MAX_BYTES = 64 * 1024**2
MAX_OPCODES = 10_000
MAX_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Read the named float32 tensors of a `state_dict` that torch saved.

    Raises WeightsError for everything that is not exactly that.
    """
    if len(content) > MAX_BYTES:
        raise WeightsError(f"the weights are larger than {MAX_BYTES} bytes")
    file = io.BytesIO(content)
    try:
        magic, protocol, system, tensors, keys = (_Interpreter().run(file) for _ in range(5))
        if (magic, protocol) != (MAGIC, PROTOCOL) or system.get("little_endian") is not True:
            raise WeightsError("the weights are not a legacy torch pickle in little-endian order")
        storages = _read_storages(file, keys, _counts(tensors))
        return {name: _view(tensor, storages) for name, tensor in tensors.items()}
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, struct.error) as error:
        raise WeightsError("the weights are not a legacy torch pickle of float32 tensors") from error


def _counts(tensors: dict[str, _Tensor]) -> dict[str, int]:
    if not all(isinstance(name, str) and isinstance(one, _Tensor) for name, one in tensors.items()):
        raise WeightsError("the weights hold something else than named tensors")
    if 4 * sum(math.prod(tensor.shape) for tensor in tensors.values()) > MAX_BYTES:
        raise WeightsError("the weights hold tensors larger than themselves")
    return {tensor.storage.key: tensor.storage.count for tensor in tensors.values()}


def _read_storages(
    file: io.BytesIO, keys: list[str], counts: dict[str, int]
) -> dict[str, npt.NDArray[np.float32]]:
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        values = file.read(4 * counts[key])
        if count != counts[key] or len(values) != 4 * count:
            raise WeightsError("a tensor of the weights is cut short")
        storages[key] = np.frombuffer(values, "<f4")
    return storages


def _view(tensor: _Tensor, storages: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """The tensor's own copy of its values, after it was checked that they all lie in its storage."""
    storage = storages[tensor.storage.key]
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    positive = (
        tensor.offset >= 0 and all(size > 0 for size in tensor.shape) and min(tensor.strides, default=0) >= 0
    )
    if not positive or last >= storage.size or math.prod(tensor.shape) > storage.size:
        raise WeightsError("a tensor of the weights reaches outside its storage")
    strides = [4 * stride for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).astype(
        "f4", order="C"
    )


def _ordered_dict() -> dict[str, Any]:
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any) -> _Tensor:
    whole = all(type(size) is int for size in (offset, *shape, *strides))
    if not isinstance(storage, _Storage) or not whole or len(shape) > MAX_DIMENSIONS:
        raise WeightsError("the weights hold a tensor of an unknown kind")
    return _Tensor(storage, offset, shape, strides)


_FLOAT_STORAGE = object()
_GLOBALS: dict[str, Any] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch FloatStorage": _FLOAT_STORAGE,
}
_CALLABLE: tuple[Callable[..., Any], ...] = (_ordered_dict, _tensor)
_LITERALS = {"LONG1", "BININT", "BININT1", "BININT2", "BINUNICODE"}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Interpreter:
    """A stack machine for the opcodes that a dictionary of tensors is pickled with (pickle protocol 2)."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: io.BytesIO) -> Any:
        """Interpret one pickle and return its object; the file then stands behind it."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > MAX_OPCODES:
                raise WeightsError("the weights hold too many objects")
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise WeightsError("the weights are cut short")

    def _step(self, name: str, argument: Any) -> None:
        match name:
            case _ if name in _LITERALS:
                self.stack.append(argument)
            case _ if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            case _ if name in _TUPLES:
                self.stack.append(tuple(self._take(len(self.stack) - _TUPLES[name])))
            case "PROTO" | "BUILD":
                self._take(len(self.stack) - (name == "BUILD"))
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_LIST":
                self.stack.append([])
            case "MARK":
                self.marks.append(len(self.stack))
            case "TUPLE":
                self.stack.append(tuple(self._take(self.marks.pop())))
            case "APPEND" | "APPENDS":
                items = self._take(self.marks.pop() if name == "APPENDS" else len(self.stack) - 1)
                self.stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._take(self.marks.pop() if name == "SETITEMS" else len(self.stack) - 2)
                self._set_items(items)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "GLOBAL" if argument in _GLOBALS:
                self.stack.append(_GLOBALS[argument])
            case "REDUCE":
                self._call()
            case "BINPERSID":
                self._load_storage()
            case _:
                raise WeightsError(
                    "the weights hold something else than float32 tensors; they were not opened"
                )

    def _take(self, start: int) -> list[Any]:
        """Pop everything from `start` on."""
        if not 0 <= start <= len(self.stack):
            raise WeightsError("the weights are not a well-formed pickle")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _set_items(self, items: list[Any]) -> None:
        if not all(isinstance(key, str) for key in items[::2]):
            raise WeightsError("the weights hold a dictionary whose keys are not names")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _call(self) -> None:
        function, arguments = self._take(len(self.stack) - 2)
        if function not in _CALLABLE or not isinstance(arguments, tuple):
            raise WeightsError("the weights ask for a call that is not allowed; they were not opened")
        self.stack.append(function(*arguments))

    def _load_storage(self) -> None:
        kind, storage_type, key, _location, count, view = self.stack.pop()
        if (kind, view) != ("storage", None) or storage_type is not _FLOAT_STORAGE:
            raise WeightsError("the weights hold a storage of an unknown kind")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise WeightsError("the weights hold a storage of an unknown kind")
        self.stack.append(_Storage(key, count))
