"""Passports: which are read, and what an error names."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import nyu
from inference.errors import PackageError
from inference.passport import Kind, Passport, Per
from inference.passport_reading import parse_passport
from inference.toml_table import read_toml, to_toml

SHA256 = "0" * 64
CODE = {"value": "1", "scheme": "99TEST", "meaning": "one"}
CLASSES: dict[str, Any] = {"format": 2} | nyu._passport(published=True) | {"network": {"sha256": SHA256}}


def changed(*changes: tuple[str, object]) -> dict[str, Any]:
    """The passport with keys, such as `inputs.views`, set to other values, or taken away for None."""
    content = copy.deepcopy(CLASSES)
    for path, value in changes:
        *tables, key = path.split(".")
        table = content
        for name in tables:
            table = table[name]
        table[key] = value
        if value is None:
            del table[key]
    return content


def parse(*changes: tuple[str, object]) -> Passport:
    return parse_passport(to_toml(changed(*changes)).encode())


class TestKeys:
    """Each key is checked, and the error names it."""

    @pytest.mark.parametrize(
        "path",
        [
            *("format", "identity", "inputs", "outputs", "training", "network", "network.sha256"),
            *(f"identity.{key}" for key in CLASSES["identity"]),
            *(f"inputs.{key}" for key in ("modality", "presentation_intent", "views", "preprocessing")),
            *(f"outputs.{key}" for key in ("kind", "concept", "classes")),
            *(f"training.{key}" for key in CLASSES["training"]),
        ],
    )
    def test_a_missing_key_is_named(self, path: str) -> None:
        with pytest.raises(PackageError, match=rf"{path} is missing"):
            parse((path, None))

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("format", 3),
            ("format", True),
            ("identity.name", "../up"),
            ("identity.name", "a" * 65),
            ("identity.name", ""),
            ("identity.version", "one"),
            ("identity.version", "1.0.0-/../../up"),
            ("identity.version", "١.٠.٠"),
            ("identity.title", "\x1b[2J"),
            ("training.trained_on", "phantoms\x7f"),
            ("identity.task", "weather"),
            ("identity.research_use_only", "yes"),
            ("inputs.modality", "CT"),
            ("inputs.presentation_intent", "FOR PROCESSING"),
            ("inputs.presentation_intent", ""),
            ("inputs.frames", "two"),
            ("inputs.views", ["L CC", "L CC"]),
            ("inputs.views", ["L ML"]),
            ("inputs.views", [["L CC"]]),
            ("inputs.per", "breast"),
            ("inputs.required", 1),
            ("inputs.manufacturers", [""]),
            ("inputs.spacing_mm", [0.2, 0.1]),
            ("inputs.spacing_mm", [0.1]),
            ("inputs.spacing_mm", [0.1, 10**400]),
            ("inputs.implants", "perhaps"),
            ("inputs.ages", [-1, 75]),
            ("inputs.features", ["age"]),
            ("inputs.preprocessing", []),
            ("outputs.kind", "poem"),
            ("outputs.classes", []),
            ("outputs.threshold", 1.5),
            ("network.sha256", "0" * 63),
            ("network.sha256", "A" * 64),
        ],
    )
    def test_a_wrong_value_is_named(self, path: str, value: object) -> None:
        with pytest.raises(PackageError, match=path):
            parse((path, value))

    @pytest.mark.parametrize("path", ["identity", "inputs", "outputs", "training", "network"])
    def test_an_unknown_key_is_refused(self, path: str) -> None:
        """A misspelt condition would hold for nothing, and the model be run on what it was not made for."""
        with pytest.raises(PackageError, match=rf"{path}\.manufacturer is not known"):
            parse((f"{path}.manufacturer", ["HOLOGIC"]))

    def test_a_wrong_parameter_of_a_step_is_named(self) -> None:
        with pytest.raises(PackageError, match=r"inputs\.preprocessing\[0\]\.bins"):
            parse(("inputs.preprocessing", [{"name": "histogram", "bins": [50]}]))

    def test_a_class_is_there_once(self) -> None:
        with pytest.raises(PackageError, match=r"outputs\.classes"):
            parse(("outputs.classes", [CODE | {"label": "a"}, CODE | {"label": "b"}]))

    def test_a_metric_lies_within_its_interval(self) -> None:
        metric = {"name": "accuracy", "value": 0.9, "low": 0.91, "high": 0.95, "measured_on": "phantoms"}
        with pytest.raises(PackageError, match=r"metrics\[0\]"):
            parse(("metrics", [metric]))

    def test_a_passport_of_format_1_says_what_to_do(self) -> None:
        with pytest.raises(PackageError, match="import the model again"):
            parse(("format", 1))


class TestInputs:
    def test_what_is_optional_is_for_any(self) -> None:
        inputs = parse(("inputs.implants", None), ("inputs.per", None)).inputs
        assert (inputs.manufacturers, inputs.spacing_mm, inputs.ages, inputs.many_frames) == (
            (),
            None,
            None,
            False,
        )

    def test_implants_are_refused_where_nothing_is_said(self) -> None:
        assert not parse(("inputs.implants", None)).inputs.accepts_implants

    def test_all_views_of_an_exam_are_required(self) -> None:
        assert parse(("inputs.required", False)).inputs.required

    def test_views_may_be_read_each_by_itself(self) -> None:
        inputs = parse(("inputs.per", "view"), ("inputs.required", False)).inputs
        assert (inputs.per, inputs.required) == (Per.VIEW, False)

    def test_views_read_each_by_itself_are_named(self) -> None:
        with pytest.raises(PackageError, match=r"inputs\.views"):
            parse(("inputs.per", "view"), ("inputs.views", []))

    def test_steps_keep_their_order_and_parameters(self) -> None:
        steps = [{"name": "spacing", "mm": 0.2}, {"name": "stack", "multiple": 32}]
        found = parse(("inputs.preprocessing", steps)).inputs.preprocessing
        assert [(step.name, step.parameters) for step in found] == [
            ("spacing", {"mm": 0.2}),
            ("stack", {"multiple": 32}),
        ]

    def test_ultrasound_has_no_intent_and_no_views(self) -> None:
        changes = [("inputs.modality", "US"), ("inputs.presentation_intent", ""), ("inputs.views", [])]
        assert parse(*changes).inputs.views == ()

    def test_ultrasound_has_no_standard_views(self) -> None:
        with pytest.raises(PackageError, match=r"inputs\.views"):
            parse(("inputs.modality", "US"), ("inputs.presentation_intent", ""))


class TestOutputs:
    def test_boxes_ask_no_question(self) -> None:
        outputs = parse(
            ("outputs.kind", "boxes"), ("outputs.concept", None), ("outputs.threshold", 0.5)
        ).outputs
        assert (outputs.kind, outputs.concept, outputs.threshold) == (Kind.BOXES, None, 0.5)

    def test_risk_may_come_from_features_alone(self) -> None:
        changes = [("outputs.kind", "risk"), ("inputs.features", ["age"]), ("inputs.preprocessing", None)]
        assert parse(*changes).inputs.features == ("age",)

    def test_a_regression_has_a_unit(self) -> None:
        with pytest.raises(PackageError, match=r"outputs\.unit"):
            parse(("outputs.kind", "regression"), ("outputs.classes", None))

    def test_a_temperature_is_positive(self) -> None:
        with pytest.raises(PackageError, match=r"outputs\.calibration\.a"):
            parse(("outputs.calibration", {"kind": "temperature", "a": 0}))

    def test_measured_criteria_have_a_method_and_no_network(self) -> None:
        passport = parse(
            ("outputs.kind", "criteria"), ("method", {"name": "measured", "version": "1"}), ("network", None)
        )
        assert (passport.method and passport.method.name, passport.network_sha256) == ("measured", "")

    @pytest.mark.parametrize(("kind", "key"), [("criteria", "network"), ("classes", "method")])
    def test_network_and_method_exclude_each_other(self, kind: str, key: str) -> None:
        with pytest.raises(PackageError, match=f"{key} does not go with"):
            parse(("outputs.kind", kind), ("method", {"name": "measured", "version": "1"}))


class TestHostile:
    @pytest.mark.parametrize(
        "text",
        [
            *(b"\xff = [", b"a = ", b"[[[[", b"a = 1\na = 2", b"\x00"),
            *(b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000, b"a" + b".a" * 2000),
        ],
    )
    def test_what_is_no_toml_is_refused(self, text: bytes) -> None:
        with pytest.raises(PackageError, match=r"not valid TOML|format is missing"):
            parse_passport(text)

    def test_an_empty_passport(self) -> None:
        with pytest.raises(PackageError, match="format is missing"):
            parse_passport(b"")

    @given(text=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_are_refused_with_a_reason(self, text: bytes) -> None:
        with pytest.raises(PackageError):
            parse_passport(text)

    @given(data=st.data())
    def test_any_value_anywhere_is_read_or_refused(self, data: st.DataObject) -> None:
        values = st.one_of(
            st.none(),
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text("aR \x7f\n"),
            st.just([]),
        )
        table = data.draw(st.sampled_from(["identity", "inputs", "outputs", "training", "network"]))
        key = data.draw(st.sampled_from(sorted(CLASSES[table])))
        try:
            parse((f"{table}.{key}", data.draw(values)))
        except PackageError as error:
            assert key in str(error)  # noqa: PT017

    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.dictionaries(st.text(), st.booleans())))
    def test_what_is_written_is_read_again(self, content: dict[str, Any]) -> None:
        assert read_toml(to_toml(content).encode(), "x").content == content
