"""The published NYU weights: read without unpickling, and turned into a package."""

import collections
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import WeightsError
from inference.nyu import WEIGHTS_SHA256, import_histogram_model
from inference.session import open_session
from inference.torch_pickle import MAGIC, PROTOCOL, read_tensors

SYSTEM = {
    "protocol_version": PROTOCOL,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


class FloatStorage:
    pass


class _Tensor:
    """Pickles as torch pickles a tensor."""

    def __init__(self, key: str, count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.storage, self.rest = (key, count), (offset, shape, strides, False, collections.OrderedDict())


class _Pickler(pickle._Pickler):
    """Writes what torch would write, without torch."""

    def persistent_id(self, value: object) -> object:
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    def save_global(self, obj: object, name: str | None = None) -> None:
        module = {"FloatStorage": "torch", "OrderedDict": "collections"}.get(obj.__name__, "torch._utils")
        self.write(pickle.GLOBAL + f"{module}\n{obj.__name__}\n".encode())
        self.memoize(obj)

    def reducer_override(self, value: object) -> object:
        if isinstance(value, _Tensor):
            key, count = value.storage
            return _rebuild_tensor_v2, (("storage", FloatStorage, key, "cpu", count, None), *value.rest)
        return NotImplemented


class _rebuild_tensor_v2:  # noqa: N801
    pass


def _dump(value: object) -> bytes:
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def legacy(tensors: object, storages: dict[str, np.ndarray]) -> bytes:
    """A legacy torch pickle."""
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, SYSTEM))
    tail = b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())
    return head + _dump(tensors) + pickle.dumps(list(storages), 2) + tail


VALUES = np.arange(6, dtype=np.float32)


class TestTensors:
    def test_a_tensor_is_read(self) -> None:
        read = read_tensors(legacy({"w": _Tensor("1", 6, 0, (2, 3), (3, 1))}, {"1": VALUES}))
        np.testing.assert_array_equal(read["w"], VALUES.reshape(2, 3))

    def test_a_transposed_tensor_is_read(self) -> None:
        read = read_tensors(legacy({"w": _Tensor("1", 6, 0, (2, 3), (1, 2))}, {"1": VALUES}))
        np.testing.assert_array_equal(read["w"], VALUES.reshape(3, 2).T)

    def test_an_offset_is_honoured(self) -> None:
        read = read_tensors(legacy({"w": _Tensor("1", 6, 4, (2,), (1,))}, {"1": VALUES}))
        np.testing.assert_array_equal(read["w"], [4, 5])

    @pytest.mark.parametrize(
        "tensor",
        [
            _Tensor("1", 6, 1, (2, 3), (3, 1)),
            _Tensor("1", 6, -1, (2,), (1,)),
            _Tensor("1", 6, 0, (2, 3), (-3, 1)),
            _Tensor("1", 6, 0, (1000, 1000), (0, 0)),
            _Tensor("1", 6, 0, (2, 3), (3,)),
            _Tensor("1", 10**12, 0, (2, 3), (3, 1)),
            _Tensor("1", -1, 0, (1,), (1,)),
            _Tensor("2", 6, 0, (2, 3), (3, 1)),
        ],
    )
    def test_a_tensor_outside_its_storage_is_refused(self, tensor: _Tensor) -> None:
        with pytest.raises(WeightsError):
            read_tensors(legacy({"w": tensor}, {"1": VALUES}))


class _Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


class TestHostile:
    """No code of a file runs, whatever the file holds."""

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_a_pickle_that_calls_the_shell(self, tmp_path: Path, protocol: int) -> None:
        content = pickle.dumps(_Attack(tmp_path / "marker"), protocol)
        with pytest.raises(WeightsError):
            read_tensors(content)
        assert not (tmp_path / "marker").exists()

    def test_an_attack_in_the_place_of_the_object(self, tmp_path: Path) -> None:
        head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, SYSTEM))
        with pytest.raises(WeightsError, match="not opened"):
            read_tensors(head + pickle.dumps({"w": _Attack(tmp_path / "marker")}, 2))
        assert not (tmp_path / "marker").exists()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x80\x02",
            b".",
            b"\x80\x02.",
            b"\x80\x02r\xff\xff\xff\xff.",
            b"\x80\x02X\xff\xff\xff\xff.",
            b"\x80\x02((((t.",
            b"PK\x03\x04" + bytes(100),
            b"\x80\x02" + b"]" * 200_000 + b".",
        ],
    )
    def test_damaged_pickles(self, content: bytes) -> None:
        with pytest.raises(WeightsError):
            read_tensors(content)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, content: bytes) -> None:
        with pytest.raises(WeightsError):
            read_tensors(content)


def published(shared: Path) -> bytes:
    return (shared / "data" / "nyu-density" / "histogram_model.p").read_bytes()


class TestPublished:
    def test_any_cut_is_refused(self, shared: Path) -> None:
        content = published(shared)

        @settings(max_examples=60, deadline=None)
        @given(st.integers(0, len(content) - 1))
        def cut(length: int) -> None:
            with pytest.raises(WeightsError):
                read_tensors(content[:length])

        cut()

    def test_any_changed_byte_of_the_head_is_refused_or_read(self, shared: Path) -> None:
        content = published(shared)

        @settings(max_examples=200, deadline=None)
        @given(st.integers(0, 743), st.integers(0, 255))
        def change(position: int, value: int) -> None:
            try:
                read_tensors(content[:position] + bytes([value]) + content[position + 1 :])
            except WeightsError:
                return

        change()

    def test_the_passport_names_its_training(self, shared: Path, tmp_path: Path) -> None:
        package = import_histogram_model(shared / "data/nyu-density/histogram_model.p", tmp_path / "m")
        assert (package.model.name, "NYU" in package.model.trained_on) == ("nyu-density", True)

    def test_the_network_is_the_same_twice(self, shared: Path, tmp_path: Path) -> None:
        weights = shared / "data/nyu-density/histogram_model.p"
        packages = [import_histogram_model(weights, tmp_path / name) for name in ("one", "other")]
        assert packages[0].model == packages[1].model

    def test_the_package_opens(self, shared: Path, tmp_path: Path) -> None:
        package = import_histogram_model(shared / "data/nyu-density/histogram_model.p", tmp_path / "m")
        assert open_session(package).shape == (None, 200)

    def test_changed_weights_are_said_to_be(self, shared: Path, tmp_path: Path) -> None:
        content = bytearray(published(shared))
        content[-1] ^= 1
        (tmp_path / "weights").write_bytes(content)
        assert (
            import_histogram_model(tmp_path / "weights", tmp_path / "m").model.name == "nyu-density-changed"
        )


class TestRefused:
    """The error says where the weights are published and what their hash is."""

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=WEIGHTS_SHA256):
            import_histogram_model(tmp_path / "absent", tmp_path / "m")

    def test_weights_of_another_model(self, tmp_path: Path) -> None:
        (tmp_path / "w").write_bytes(legacy({"w": _Tensor("1", 6, 0, (2, 3), (3, 1))}, {"1": VALUES}))
        with pytest.raises(WeightsError, match="nyukat/breast_density_classifier"):
            import_histogram_model(tmp_path / "w", tmp_path / "m")

    def test_nothing_is_left_behind(self, tmp_path: Path) -> None:
        (tmp_path / "w").write_bytes(b"no weights")
        with pytest.raises(WeightsError):
            import_histogram_model(tmp_path / "w", tmp_path / "m")
        assert not (tmp_path / "m").exists()
