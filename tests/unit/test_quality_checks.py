"""What exams' headers are checked for (archive.quality.checks), and how well a dataset hides people."""

import json
from collections import Counter
from datetime import date
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.attributes import tag
from archive.quality.anonymity import ATTRIBUTES, Anonymity, judge
from archive.quality.checks import Check, Dimension, Header, examine, read_finding

TODAY = date(2026, 11, 23)
SOUND: dict[str, Any] = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2", "Modality": "MG", "StudyDate": "20240311", "PatientSex": "F",
    "PatientAge": "061Y", "PatientID": "SGA", "Manufacturer": "ACME", "ImagerPixelSpacing": 0.07, "KVP": 29,
    "BodyPartThickness": 52, "PhotometricInterpretation": "MONOCHROME2", "Rows": 2000, "Columns": 1500,
    "BitsStored": 12, "BitsAllocated": 16,
}  # fmt: skip
VIEWS = [(side, view) for side in "LR" for view in ("CC", "MLO")]


def header(**changes: Any) -> Header:
    told = {**SOUND, "ImageLaterality": "L", "ViewPosition": "CC", **changes}
    return {
        tag(keyword): {"vr": "LO", "Value": value if isinstance(value, list) else [value]}
        for keyword, value in told.items()
        if value is not None
    }


def exam(**changes: Any) -> list[Header]:
    """The four views, all changed alike."""
    return [header(**{"ImageLaterality": side, "ViewPosition": view, **changes}) for side, view in VIEWS]


def found(images: list[Header]) -> dict[Check, tuple[str, ...]]:
    return {one.check: one.attributes for one in examine(images, TODAY)}


def test_nothing_is_found_in_a_sound_exam() -> None:
    assert found(exam()) == {}


@pytest.mark.parametrize(
    ("changes", "check", "keyword"),
    [
        ({"KVP": None}, Check.ATTRIBUTES, "KVP"),
        ({"ImagerPixelSpacing": None}, Check.ATTRIBUTES, "PixelSpacing"),
        ({"PatientSex": None}, Check.PATIENT, "PatientSex"),
        ({"PatientAge": ""}, Check.PATIENT, "PatientAge"),
        ({"StudyDate": None}, Check.DATE_MISSING, "StudyDate"),
        ({"StudyDate": "20240231"}, Check.DATE, "StudyDate"),
        ({"StudyDate": "20990101"}, Check.DATE, "StudyDate"),
        ({"AcquisitionDate": "18951108"}, Check.DATE, "AcquisitionDate"),
        ({"PatientAge": "161Y"}, Check.AGE, "PatientAge"),
        ({"PatientAge": "61"}, Check.AGE, "PatientAge"),
        ({"PatientBirthDate": "20250101"}, Check.AGE, "PatientBirthDate"),
        ({"PatientBirthDate": "19900101"}, Check.AGE, "PatientAge"),
        ({"PatientSex": "W"}, Check.WORD, "PatientSex"),
        ({"PhotometricInterpretation": "GREY"}, Check.WORD, "PhotometricInterpretation"),
        ({"BodyPartThickness": 5200}, Check.NUMBER, "BodyPartThickness"),
        ({"ImagerPixelSpacing": [0.07, 0]}, Check.NUMBER, "ImagerPixelSpacing"),
        ({"BitsStored": 17}, Check.NUMBER, "BitsStored"),
        ({"Laterality": "R", "ImageLaterality": "L"}, Check.LATERALITY, "Laterality"),
        ({"Modality": "DX"}, Check.MODALITY, "Modality"),
        ({"PatientBirthDate": "19630229"}, Check.DATE, "PatientBirthDate"),
        ({"PatientBirthDate": "20991231", "StudyDate": None}, Check.DATE, "PatientBirthDate"),
        ({"AcquisitionDateTime": "18990101120000"}, Check.DATE, "AcquisitionDateTime"),
        ({"StudyDate": "٢٠٢٤٠٣١١"}, Check.DATE, "StudyDate"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, Any], check: Check, keyword: str) -> None:
    assert keyword in found(exam(**changes))[check]


def test_the_side_of_a_frame_contradicts_too() -> None:
    """A tomosynthesis tells its side in its functional groups (PS3.3 C.8.21.5.2)."""
    anatomy = {tag("FrameLaterality"): {"vr": "CS", "Value": ["R"]}}
    group = {tag("FrameAnatomySequence"): {"vr": "SQ", "Value": [anatomy]}}
    assert "FrameLaterality" in found([header(SharedFunctionalGroupsSequence=group)])[Check.LATERALITY]


def test_a_tomosynthesis_tells_in_sequences_what_others_tell_at_the_top() -> None:
    """Pixel Measures and Frame Anatomy macros (PS3.3 C.7.6.16.2), X-Ray 3D Acquisition Sequence (C.8.21.3)."""
    told = header(PixelSpacing=0.1, FrameLaterality="L", ViewPosition=None, KVP=31, BodyPartThickness=48)

    def only(*keywords: str) -> dict[str, Any]:
        return {"vr": "SQ", "Value": [{tag(keyword): told[tag(keyword)] for keyword in keywords}]}

    groups = {
        tag("PixelMeasuresSequence"): only("PixelSpacing"),
        tag("FrameAnatomySequence"): only("FrameLaterality"),
    }
    image = header(
        **dict.fromkeys(("ImagerPixelSpacing", "KVP", "BodyPartThickness", "ImageLaterality")),
        SharedFunctionalGroupsSequence=groups,
        XRay3DAcquisitionSequence=only("KVP", "BodyPartThickness")["Value"],
    )
    assert Check.ATTRIBUTES not in found([image])


def sequence(keyword: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {tag(keyword): {"vr": "SQ", "Value": list(items)}}


def text(keyword: str, *values: str) -> dict[str, Any]:
    return {tag(keyword): {"vr": "CS", "Value": list(values)}}


RIGHT = sequence("AnatomicRegionSequence", text("CodeValue", "73056007"))
CODED_RIGHT = sequence(
    "AnatomicRegionSequence",
    text("CodeValue", "76752008") | sequence("AnatomicRegionModifierSequence", text("CodeValue", "G-A100")),
)


def of_frames(*frames: dict[str, Any], name: str = "FrameAnatomySequence") -> dict[str, Any]:
    return sequence("PerFrameFunctionalGroupsSequence", *(sequence(name, each) for each in frames))


@pytest.mark.parametrize(
    ("said", "keyword"),
    [
        (RIGHT, "AnatomicRegionSequence"),
        (CODED_RIGHT, "AnatomicRegionSequence"),
        (of_frames(text("FrameLaterality", "L"), text("FrameLaterality", "R")), "FrameLaterality"),
        (of_frames(text("FrameLaterality", "L") | RIGHT), "AnatomicRegionSequence"),
        (text("PatientOrientation", "A", "FL"), "PatientOrientation"),
        (text("PatientOrientation", "P", "HR"), "PatientOrientation"),
        (text("PatientOrientation", "LF", "A"), "PatientOrientation"),
        (
            of_frames(text("PatientOrientation", "A", "FL"), name="PatientOrientationInFrameSequence"),
            "PatientOrientation",
        ),
    ],
    ids=["region", "modifier", "a later frame", "a frame's region", "down", "up", "turned", "a frame's axes"],
)
def test_wherever_a_side_is_told_it_is_the_same(said: dict[str, Any], keyword: str) -> None:
    """A left oblique view that calls itself a right one somewhere."""
    image = {**header(ViewPosition="MLO"), **said}
    assert keyword in found([image])[Check.LATERALITY]


@pytest.mark.parametrize("axes", [("A", "FR"), ("P", "HL"), ("A", "R"), ("A", "F"), ()])
def test_a_left_oblique_view_may_be_turned(axes: tuple[str, ...]) -> None:
    assert Check.LATERALITY not in found(
        [{**header(ViewPosition="MLO"), **text("PatientOrientation", *axes)}]
    )


def test_from_above_a_left_breast_may_lie_either_way() -> None:
    assert Check.LATERALITY not in found([header(PatientOrientation=["A", axis]) for axis in "LR"])


def test_an_examination_of_both_breasts_has_frames_of_both() -> None:
    frames = of_frames(text("FrameLaterality", "L"), text("FrameLaterality", "R"))
    assert Check.LATERALITY not in found([{**header(Modality="MR", ImageLaterality="L"), **frames}])


def test_images_of_one_series_name_one_side_for_it() -> None:
    images = [header(ImageLaterality=None, Laterality=side, SeriesInstanceUID="2.25.1") for side in "LR"]
    assert found(images)[Check.LATERALITY] == ("Laterality",)
    apart = [header(ImageLaterality=None, Laterality=side, SeriesInstanceUID=f"2.25.{side}") for side in "LR"]
    assert Check.LATERALITY not in found(apart)


DISPLACED = sequence(
    "ViewCodeSequence",
    text("CodeValue", "399162004") | sequence("ViewModifierCodeSequence", text("CodeValue", "399209000")),
)


def missing(images: list[Header]) -> int:
    return sum(one.instances for one in examine(images, TODAY) if one.check is Check.VIEWS)


class TestImplants:
    """Each view of a breast with an implant is taken twice, once with the implant pushed back."""

    def test_views_with_them_pushed_back_are_wanted(self) -> None:
        implants = exam(BreastImplantPresent="YES")
        assert missing(implants) == 4
        assert missing(implants + [{**implants[0], **DISPLACED}]) == 3
        pushed = [header(ImageLaterality=side, ViewPosition=f"{view[:2]}ID") for side, view in VIEWS]
        assert missing(implants + pushed[:1]) == 3
        assert missing(exam() + [header(BreastImplantPresent="YES")]) == 2

    def test_they_stand_for_no_other_view(self) -> None:
        assert missing([{**header(), **DISPLACED}, *exam()[1:]]) == 1


def test_a_view_that_is_missing_is_counted() -> None:
    (finding,) = examine(exam()[:3], TODAY)
    assert (finding.check, finding.instances, finding.check.dimension) == (
        Check.VIEWS,
        1,
        Dimension.COMPLETENESS,
    )


def test_views_may_be_coded() -> None:
    """View Code Sequence, PS3.16 CID 4014."""
    code = {tag("CodeValue"): {"vr": "SH", "Value": ["399368009"]}}
    images = [*exam()[:3], header(ImageLaterality="R", ViewPosition=None, ViewCodeSequence=code)]
    assert found(images) == {}


@pytest.mark.parametrize(("keyword", "other"), [("PatientID", "SGB"), ("PatientSex", "M")])
def test_an_exam_of_two_patients_is_found(keyword: str, other: str) -> None:
    assert found([*exam()[:3], header(ImageLaterality="R", ViewPosition="MLO", **{keyword: other})]) == {
        Check.PERSON: (keyword,)
    }


def test_an_exam_of_two_days_is_found() -> None:
    assert Check.DATES in found(
        [*exam()[:3], header(ImageLaterality="R", ViewPosition="MLO", StudyDate="20240312")]
    )


SCALARS = st.sampled_from(
    [None, True, 0, -7, 1e300, "", "L", "061Y", "20240311", "\u00ff", {}, {"Value": [{}]}]
)
JSON = SCALARS | st.fixed_dictionaries({"Value": SCALARS | st.lists(SCALARS, max_size=2)})
TAGS = st.sampled_from([tag(one) for one in (*SOUND, "SharedFunctionalGroupsSequence", "ViewCodeSequence")])


@given(st.lists(st.dictionaries(TAGS, JSON, max_size=4), max_size=2))
def test_no_header_is_too_odd(images: list[Header]) -> None:
    for one in examine(images, TODAY):
        assert read_finding(json.loads(json.dumps(one.to_json()))) == one


def person(**changes: Any) -> tuple[Any, ...]:
    told = {"PatientSex": "F", "PatientAge": 61, "StudyDate": 2024, "Manufacturer": "ACME"} | changes
    return tuple(told.get(keyword) for keyword in ATTRIBUTES)


def judged(people: list[tuple[Any, ...]]) -> Anonymity:
    return judge(Counter(people))


class TestAnonymity:
    """Sweeney 2002: k is the size of the smallest class of patients who are alike."""

    def test_who_are_alike_hide_each_other(self) -> None:
        risk = judged([person()] * 7)
        assert (risk.smallest, risk.exposed, risk.generalise) == (7, 0, {})

    def test_ages_are_told_in_groups_where_that_is_enough(self) -> None:
        risk = judged([person(PatientAge=60 + number % 5) for number in range(10)])
        assert (risk.smallest, risk.exposed, risk.left) == (2, 10, 0)
        assert dict(risk.generalise) == {"PatientAge": "5 years"}

    def test_what_makes_one_alone_stand_out_is_removed(self) -> None:
        risk = judged([*[person()] * 9, person(Manufacturer="RARE")])
        assert (risk.smallest, risk.exposed, dict(risk.generalise)) == (1, 1, {"Manufacturer": "removed"})

    def test_what_exposes_alone_is_tried_with_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A site of a million exams has as many sizes and weights as patients."""
        told, people = [], [
            person(PatientSize=1.5 + number / 1000, PatientWeight=40 + number / 3, PatientAge=number)
            for number in range(90)
        ]  # fmt: skip
        monkeypatch.setattr(
            "archive.quality.anonymity._exposed",
            lambda classes: (told.append(1), sum(each for each in classes.values() if each < 5))[1],
        )
        assert judged(people).left == 0
        assert len(told) < 4 * 3 * 3  # combinations of steps

    @given(st.lists(st.builds(person, PatientAge=st.integers(40, 52), Manufacturer=st.sampled_from("AB"))))
    def test_no_other_combination_loses_less(self, people: list[tuple[Any, ...]]) -> None:
        risk = judged(people)
        names = [name for name in ATTRIBUTES if name in ("PatientAge", "Manufacturer")]
        ways = []
        for steps in product(*(ATTRIBUTES[name] for name in names)):
            classes = Counter(
                tuple(
                    step.tell(one[list(ATTRIBUTES).index(name)])
                    for name, step in zip(names, steps, strict=True)
                )
                for one in people
            )
            ways.append((sum(n for n in classes.values() if n < 5), sum(step.loss for step in steps)))
        loss = {step.name: step.loss for name in names for step in ATTRIBUTES[name]}
        assert (risk.left, sum(loss[step] for step in risk.generalise.values())) == min(ways)

    def test_fewer_than_five_are_never_hidden(self) -> None:
        risk = judged([person(PatientAge=age) for age in (40, 50, 60)])
        assert (risk.exposed, risk.left) == (3, 3)

    def test_nobody_is_nobody(self) -> None:
        assert judged([]).to_json()["k"] == 0
