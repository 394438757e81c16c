"""The gate: what a model was not made for it does not read, and the reason names no value of the study."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.findings import NotApplicable
from inference.applicability import gate
from inference.exam import select
from inference.instance import Instance
from inference.manufacturers import normalise
from inference.passport import STANDARD_VIEWS, Passport
from inference.views import BREAST_TOMOSYNTHESIS, FOR_PRESENTATION
from tests.unit.test_inference_passport import parse

HOLOGIC = "HOLOGIC, INC."


def image(view: str = "L CC", number: int = 1, **values: object) -> Instance:
    laterality, projection = view.split()
    made = Instance(
        part=Path("x"),
        study_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
        sop_class_uid=FOR_PRESENTATION,
        sop_instance_uid=f"2.25.3.{view}.{number}",
        modality="MG",
        presentation_intent="FOR PRESENTATION",
        image_type=("DERIVED", "PRIMARY"),
        image_laterality=laterality,
        laterality="",
        view=projection,
        code_view="",
        modified=False,
        partial=False,
        quality_control=False,
        number_of_frames=1,
        acquired=("", "", number),
        manufacturer=HOLOGIC,
        implant="NO",
        age=55,
        spacing=(0.07, 0.07),
    )
    return replace(made, **values)


def exam(**values: object) -> list[Instance]:
    """The four standard views; only the last one has the values."""
    views = list(STANDARD_VIEWS)
    return [*map(image, views[:-1]), image(views[-1], **values)]


def model(**inputs: object) -> Passport:
    return parse(*((f"inputs.{key}", value) for key, value in inputs.items()))


def reason(passport: Passport, instances: list[Instance]) -> str:
    refused = gate(passport, instances)
    assert isinstance(refused, NotApplicable)
    return refused.reason


class TestConditions:
    def test_what_a_model_was_made_for_it_reads(self) -> None:
        made_for = model(manufacturers=["HOLOGIC"], spacing_mm=[0.05, 0.1], ages=[40, 75], implants="refuse")
        assert gate(made_for, exam()) is None

    @pytest.mark.parametrize(
        ("condition", "values", "keyword"),
        [
            ({"manufacturers": ["HOLOGIC"]}, {"manufacturer": "SIEMENS"}, "Manufacturer"),
            ({"manufacturers": ["HOLOGIC"]}, {"manufacturer": ""}, "Manufacturer"),
            ({"implants": "refuse"}, {"implant": "YES"}, "BreastImplantPresent"),
            ({"spacing_mm": [0.08, 0.1]}, {"spacing": (0.07, 0.07)}, "ImagerPixelSpacing"),
            ({"spacing_mm": [0.05, 0.1]}, {"spacing": (0.07, 0.2)}, "ImagerPixelSpacing"),
            ({"spacing_mm": [0.05, 0.1]}, {"spacing": None}, "ImagerPixelSpacing"),
            ({"ages": [40, 75]}, {"age": 39}, "PatientAge"),
            ({"ages": [40, 75]}, {"age": 76}, "PatientAge"),
            ({"ages": [40, 75]}, {"age": None}, "PatientAge"),
        ],
    )
    def test_one_image_that_does_not_meet_a_condition_is_enough(
        self, condition: dict[str, object], values: dict[str, object], keyword: str
    ) -> None:
        assert reason(model(**condition), exam(**values)).startswith(f"{keyword}: the model was")

    @pytest.mark.parametrize(
        ("condition", "values"),
        [
            ({"spacing_mm": [0.07, 0.1]}, {}),
            ({"spacing_mm": [0.05, 0.07]}, {}),
            ({"ages": [55, 75]}, {}),
            ({"ages": [40, 55]}, {}),
            ({"implants": "accept"}, {"implant": "YES"}),
            ({"implants": "refuse"}, {"implant": ""}),
            ({}, {"manufacturer": "", "spacing": None, "age": None}),
        ],
    )
    def test_bounds_are_within_and_what_is_not_asked_does_not_matter(
        self, condition: dict[str, object], values: dict[str, object]
    ) -> None:
        assert gate(model(**condition), exam(**values)) is None

    def test_all_that_keeps_a_model_away_is_told(self) -> None:
        told = reason(model(implants="refuse", ages=[40, 75]), exam(implant="YES", age=20))
        assert "BreastImplantPresent" in told and "PatientAge" in told

    def test_no_value_is_told(self) -> None:
        strict = model(manufacturers=["PLANMED"], spacing_mm=[0.01, 0.02], ages=[1, 2])
        told = reason(strict, exam(manufacturer="SECRETMAKER", spacing=(0.0777, 0.0777), age=59))
        assert not any(value in told for value in ("SECRETMAKER", "HOLOGIC", "0.07", "59", "55"))

    def test_an_image_that_is_not_read_sets_no_condition(self) -> None:
        """A magnification of another vendor lies in many a study."""
        aside = image("L CC", 9, modified=True, manufacturer="SIEMENS", implant="YES")
        assert gate(model(manufacturers=["HOLOGIC"]), [*exam(), aside]) is None


class TestViews:
    def test_a_missing_view_is_named(self) -> None:
        assert "R MLO is missing" in reason(model(), exam()[:-1])

    def test_any_view_is_enough_where_none_is_required(self) -> None:
        assert gate(model(per="view", required=False), exam()[:1]) is None

    def test_none_at_all_is_not(self) -> None:
        assert reason(model(per="view", required=False), [image(modified=True)])

    def test_an_exam_without_images_is_not_read(self) -> None:
        assert reason(model(), [])

    def test_another_modality_is_not_read(self) -> None:
        ultrasound = model(modality="US", presentation_intent="", views=[], per="image")
        assert "US" in reason(ultrasound, exam())

    def test_its_own_is(self) -> None:
        ultrasound = model(modality="US", presentation_intent="", views=[], per="image")
        assert gate(ultrasound, [image(modality="US", presentation_intent="")]) is None


class TestForProcessing:
    """PS3.3 C.8.11.7.1.1: a model For Presentation sees no pixels For Processing."""

    @given(
        intents=st.lists(st.sampled_from(["FOR PROCESSING", "FOR PRESENTATION", ""]), min_size=1, max_size=8),
        per=st.sampled_from(["exam", "view", "image"]),
        views=st.sampled_from([[], ["L CC"], list(STANDARD_VIEWS)]),
        frames=st.sampled_from(["one", "many"]),
        deep=st.booleans(),
    )
    def test_it_never_reaches_a_model(
        self, intents: list[str], per: str, views: list[str], frames: str, deep: bool
    ) -> None:
        views = views or (["L CC"] if per == "view" else [])
        passport = model(per=per, views=views, required=False, frames=frames)
        kind = {"number_of_frames": 2, "sop_class_uid": BREAST_TOMOSYNTHESIS} if deep else {}
        instances = [
            image(list(STANDARD_VIEWS)[number % 4], number, presentation_intent=intent, **kind)
            for number, intent in enumerate(intents)
        ]
        if gate(passport, instances) is None:
            chosen = select(instances, passport.inputs)
            assert not isinstance(chosen, NotApplicable)
            assert "FOR PROCESSING" not in {one.presentation_intent for one, _ in chosen}

    def test_tomosynthesis_for_presentation_does(self) -> None:
        passport = model(frames="many")
        kind = {"number_of_frames": 2, "sop_class_uid": BREAST_TOMOSYNTHESIS}
        assert gate(passport, [image(view, **kind) for view in STANDARD_VIEWS]) is None


class TestManufacturers:
    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("HOLOGIC, Inc.", "HOLOGIC"),
            ("Hologic", "HOLOGIC"),
            ("LORAD", "HOLOGIC"),
            ("LORAD, A HOLOGIC COMPANY", "HOLOGIC"),
            ("GE MEDICAL SYSTEMS", "GE"),
            ("GE Healthcare", "GE"),
            ("General Electric Co.", "GE"),
            ("SIEMENS", "SIEMENS"),
            ("Siemens Healthineers", "SIEMENS"),
            ("Siemens Healthcare GmbH", "SIEMENS"),
            ("FUJI PHOTO FILM Co., ltd.", "FUJIFILM"),
            ("FUJIFILM Corporation", "FUJIFILM"),
            ("Philips Digital Mammography Sweden AB", "PHILIPS"),
            ("Sectra Imtec AB", "PHILIPS"),
            ("I.M.S. S.r.l.", "IMS"),
            ("KONICA MINOLTA, INC.", "KONICA MINOLTA"),
            ("TOSHIBA_MEC", "CANON"),
            ("Geneva Imaging", "GENEVA IMAGING"),
            ("Unheard-of Devices Ltd.", "UNHEARD OF DEVICES"),
            ("", ""),
        ],
    )
    def test_a_manufacturer_has_one_name(self, written: str, name: str) -> None:
        assert normalise(written) == name

    @given(st.text())
    def test_a_name_is_its_own_name(self, written: str) -> None:
        assert normalise(normalise(written)) == normalise(written)

    def test_a_passport_may_write_any_of_its_names(self) -> None:
        assert gate(model(manufacturers=["Lorad"]), exam()) is None
