"""Which instances stand for the four standard views (PS3.3 C.8.11.7, PS3.16 CID 4014 and 4015)."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset

from archive.findings import NotApplicable
from archive.pixels.voi import Window
from inference.demo import VIEWS
from inference.instance import Instance, read_instance
from inference.pixels import read_pictures
from inference.views import STANDARD_VIEWS, choose, standard_views
from tests.unit.mammograms import changed, small_exam, with_values

L_CC, R_CC, L_MLO, R_MLO = range(4)


@pytest.fixture(scope="module")
def exam() -> list[bytes]:
    return small_exam()


def chosen(parts: list[bytes]) -> tuple[Instance, ...]:
    answer = choose(map(read_instance, parts), VIEWS)
    assert not isinstance(answer, NotApplicable), answer.reason
    return answer


def reason(parts: list[bytes]) -> str:
    answer = choose(map(read_instance, parts), VIEWS)
    assert isinstance(answer, NotApplicable)
    return answer.reason


def replaced(exam: list[bytes], index: int, **values: object) -> list[bytes]:
    return [with_values(part, **values) if at == index else part for at, part in enumerate(exam)]


def view_code(value: str, scheme: str, *modifiers: tuple[str, str]) -> list[Dataset]:
    items = []
    for code, designator in ((value, scheme), *modifiers):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, designator, "meaning"
        items.append(item)
    items[0].ViewModifierCodeSequence = items[1:]
    return items[:1]


class TestChosen:
    def test_the_order_of_the_instances_does_not_matter(self, exam: list[bytes]) -> None:
        uids = [one.sop_instance_uid for one in chosen(exam)]
        assert [one.sop_instance_uid for one in chosen(exam[::-1])] == uids

    def test_the_same_instance_twice_is_one(self, exam: list[bytes]) -> None:
        assert len(chosen(exam + exam)) == 4

    def test_laterality_of_the_series_stands_in(self, exam: list[bytes]) -> None:
        assert chosen(replaced(exam, R_CC, ImageLaterality=None, Laterality="R"))[R_CC].laterality == "R"

    def test_view_position_alone_is_enough(self, exam: list[bytes]) -> None:
        assert chosen(replaced(exam, L_MLO, ViewCodeSequence=None))[L_MLO].view == "MLO"

    def test_view_code_alone_is_enough(self, exam: list[bytes]) -> None:
        assert chosen(replaced(exam, L_MLO, ViewPosition=None))[L_MLO].code_view == "MLO"

    @pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM"])
    def test_retired_codes_are_known(self, exam: list[bytes], scheme: str) -> None:
        parts = replaced(exam, R_MLO, ViewPosition=None, ViewCodeSequence=view_code("R-10226", scheme))
        assert chosen(parts)[R_MLO].code_view == "MLO"

    def test_a_private_view_code_is_no_contradiction(self, exam: list[bytes]) -> None:
        parts = replaced(exam, L_CC, ViewCodeSequence=view_code("X1", "99VENDOR"))
        assert len(chosen(parts)) == 4

    def test_nipple_in_profile_is_a_standard_view(self, exam: list[bytes]) -> None:
        code = view_code("399162004", "SCT", ("442581004", "SCT"))
        assert len(chosen(replaced(exam, L_CC, ViewCodeSequence=code))) == 4

    def test_of_two_images_the_later_is_taken(self, exam: list[bytes]) -> None:
        again = with_values(exam[R_CC], SOPInstanceUID="2.25.1", AcquisitionTime="235959")
        assert chosen([again, *exam])[R_CC].sop_instance_uid == "2.25.1"

    def test_of_two_at_one_time_the_choice_is_the_same_in_any_order(self, exam: list[bytes]) -> None:
        again = [*exam, with_values(exam[R_CC], SOPInstanceUID="2.25.1")]
        assert chosen(again) == chosen(again[::-1])


class TestSetAside:
    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ({"ViewCodeSequence": view_code("399162004", "SCT", ("399055006", "SCT"))}, "view modifier"),
            ({"ViewCodeSequence": view_code("R-10242", "SRT", ("R-102D6", "SRT"))}, "view modifier"),
            ({"ViewCodeSequence": view_code("399162004", "SCT", ("399209000", "SCT"))}, "view modifier"),
            ({"EstimatedRadiographicMagnificationFactor": "1.8"}, "magnified"),
            ({"ViewPosition": "XCCL", "ViewCodeSequence": None}, "another view"),
            ({"ImageType": ["DERIVED", "PRIMARY", "STEREO"]}, "biopsy"),
            ({"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, "synthetic"),
            ({"PresentationIntentType": "FOR PROCESSING"}, "1 not For Presentation"),
            ({"PresentationIntentType": None}, "not marked For Presentation"),
            ({"Modality": "US"}, "not mammography"),
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "another SOP class"),
            ({"NumberOfFrames": 2}, "several frames"),
            ({"PartialView": "YES"}, "partial"),
            ({"QualityControlImage": "YES"}, "quality control"),
            ({"ImageLaterality": "B"}, "without a laterality"),
            ({"ImageLaterality": None}, "without a laterality"),
        ],
    )
    def test_it_is_said_what_was_set_aside(self, exam: list[bytes], values: dict, why: str) -> None:
        answer = reason(replaced(exam, L_CC, **values))
        assert answer.startswith("L CC is missing; set aside were 1 ")
        assert why in answer

    def test_a_magnification_beside_the_standard_view(self, exam: list[bytes]) -> None:
        code = view_code("399162004", "SCT", ("399163009", "SCT"))
        spot = with_values(
            exam[L_CC], SOPInstanceUID="2.25.1", AcquisitionTime="235959", ViewCodeSequence=code
        )
        assert chosen([*exam, spot])[L_CC].sop_instance_uid != "2.25.1"


class TestNotApplicable:
    def test_one_view_is_missing(self, exam: list[bytes]) -> None:
        assert reason(exam[:3]) == "R MLO is missing"

    def test_two_views_are_missing(self, exam: list[bytes]) -> None:
        assert reason(exam[2:]) == "L CC and R CC are missing: 2 of 4 views"

    def test_nothing_is_there(self) -> None:
        assert reason([]) == "L CC, R CC, L MLO and R MLO are missing: 0 of 4 views"

    def test_both_views_of_one_breast(self, exam: list[bytes]) -> None:
        assert reason(replaced(exam, R_CC, ImageLaterality="L")) == "R CC is missing"

    def test_lateralities_that_differ(self, exam: list[bytes]) -> None:
        assert "laterality contradicts" in reason(replaced(exam, L_CC, Laterality="R"))

    def test_views_that_differ(self, exam: list[bytes]) -> None:
        assert "view contradicts" in reason(replaced(exam, L_CC, ViewPosition="MLO"))

    def test_instances_of_two_studies(self, exam: list[bytes]) -> None:
        assert "more than one study" in reason(replaced(exam, L_CC, StudyInstanceUID="2.25.1"))

    @pytest.mark.parametrize("keyword", ["ImageLaterality", "ViewPosition", "ImageType"])
    def test_no_value_is_told(self, exam: list[bytes], keyword: str) -> None:
        def write(dataset: FileDataset) -> None:
            dataset.add_new(keyword, "LO", "SECRETNAME")
            if keyword == "ViewPosition":
                del dataset.ViewCodeSequence

        answer = choose([read_instance(changed(part, write)) for part in exam], VIEWS)
        assert "SECRET" not in str(answer) or not isinstance(answer, NotApplicable)


class TestStandardViews:
    def test_none_is_required(self, exam: list[bytes]) -> None:
        found = standard_views(map(read_instance, exam[1:3]))
        assert list(found) == [("R", "CC"), ("L", "MLO")]

    def test_they_come_in_one_order(self, exam: list[bytes]) -> None:
        assert tuple(standard_views(map(read_instance, exam[::-1]))) == STANDARD_VIEWS

    def test_one_that_contradicts_itself_stands_for_none(self, exam: list[bytes]) -> None:
        parts = replaced(exam, L_CC, Laterality="R")
        assert ("L", "CC") not in standard_views(map(read_instance, parts))

    def test_a_magnification_stands_for_none(self, exam: list[bytes]) -> None:
        spot = with_values(exam[L_CC], EstimatedRadiographicMagnificationFactor="1.8")
        assert standard_views([read_instance(spot)]) == {}


class TestTomosynthesis:
    """PS3.3 A.55: laterality and spacing lie in the functional groups that the frames share."""

    def test_the_real_one_is_a_left_cc(self, shared: Path) -> None:
        path = shared / "data" / "dicom" / "mg" / "hologic_dbt_j2k_4frames.dcm"
        assert list(standard_views([read_instance(path)], frames="many")) == [("L", "CC")]

    def test_it_is_no_plain_mammogram(self, shared: Path) -> None:
        path = shared / "data" / "dicom" / "mg" / "hologic_dbt_j2k_4frames.dcm"
        assert standard_views([read_instance(path)]) == {}

    def test_a_plain_mammogram_is_none(self, exam: list[bytes]) -> None:
        assert standard_views(map(read_instance, exam), frames="many") == {}

    def test_its_frames_come_one_by_one_with_their_window(self, shared: Path) -> None:
        path = shared / "data" / "dicom" / "mg" / "hologic_dbt_j2k_4frames.dcm"
        pictures = list(read_pictures(read_instance(path), ("L", "CC")))
        assert [one.frame for one in pictures] == [1, 2, 3, 4]
        assert {one.voi.grey.window for one in pictures if one.voi} == {Window(512, 512)}
