"""Sessions: which networks run, and which answers are believed."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from inference import nyu
from inference.errors import PackageError, ReadingFailed
from inference.network import build_classifier
from inference.package import Package, save
from inference.session import Session, open_session

WEIGHT, BIAS = np.eye(4, 200, dtype=np.float32), np.zeros(4, np.float32)
NETWORK = build_classifier([(WEIGHT, BIAS)], "test")


def package(folder: Path, network: bytes = NETWORK) -> Package:
    return save(folder, network, nyu._passport(published=True))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(package(tmp_path / "m"), threads=1)


class TestRun:
    def test_probabilities_sum_to_one(self, session: Session) -> None:
        assert session.run(np.ones((1, 200), np.float32))["probabilities"].sum() == pytest.approx(1)

    def test_the_provider_is_reported(self, session: Session) -> None:
        assert session.providers[-1] == "CPUExecutionProvider"

    @pytest.mark.parametrize("shape", [(1, 199), (200,), (1, 200, 1)])
    def test_a_wrong_shape_fails(self, session: Session, shape: tuple[int, ...]) -> None:
        with pytest.raises(ReadingFailed, match="shape"):
            session.run(np.ones(shape, np.float32))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_fails(self, session: Session, value: float) -> None:
        with pytest.raises(ReadingFailed, match="not finite"):
            session.run(np.full((1, 200), value, np.float32))

    def test_an_answer_that_is_not_finite_fails(self, tmp_path: Path) -> None:
        network = build_classifier([(WEIGHT * np.float32(3e38), BIAS)], "test")
        session = open_session(package(tmp_path / "m", network))
        with pytest.raises(ReadingFailed, match="not finite"):
            session.run(np.full((1, 200), 3e38, np.float32))


def changed(change: str) -> bytes:
    model = onnx.load_model_from_string(NETWORK)
    if change == "external":
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    elif change == "operator":
        model.opset_import.add(domain="com.example", version=1)
    elif change == "output":
        model.graph.output[0].name = model.graph.node[-1].output[0] = "answer"
    elif change == "inputs":
        return build_classifier([(WEIGHT[:, :8], BIAS)], "test")
    elif change == "classes":
        return build_classifier([(WEIGHT[:3], BIAS[:3])], "test")
    else:
        model.graph.node[0].op_type = "NoSuchOperator"
    return bytes(model.SerializeToString())


class TestOpen:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ("inputs", "what its preprocessing gives"),
            ("external", "other files"),
            ("operator", "ONNX's own"),
            ("output", "outputs are not probabilities"),
            ("classes", "4 probabilities"),
            ("unknown", "can't load"),
        ],
    )
    def test_a_network_that_is_not_what_it_should_be(self, tmp_path: Path, change: str, reason: str) -> None:
        with pytest.raises(PackageError, match=reason):
            open_session(package(tmp_path / "m", changed(change)))

    def test_a_network_that_is_not_onnx(self, tmp_path: Path) -> None:
        with pytest.raises(PackageError, match="not ONNX"):
            open_session(package(tmp_path / "m", b"not a network"))

    def test_the_same_weights_give_the_same_bytes(self) -> None:
        assert build_classifier([(WEIGHT, BIAS)], "test") == NETWORK
