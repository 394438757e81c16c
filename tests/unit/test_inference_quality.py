"""Image quality: each measure against a drawn truth, each criterion met and not, and the four real mammograms."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from archive.findings import Code, Level, Measurement
from inference import installed
from inference.answers.answer import Answer
from inference.demo import demo_exam
from inference.errors import PackageError, ReadingFailed
from inference.instance import read_instance
from inference.passport import Passport, parse_passport
from inference.picture import Picture
from inference.pixels import read_picture
from inference.quality import codes
from inference.quality.criteria import answer
from inference.quality.grading import Grade, Limits
from inference.quality.view import Measured, measure_view
from tests.unit.quality_phantoms import SPACING, Drawing, picture, stored, to_picture

CC = Drawing()
MLO = Drawing(("L", "MLO"), muscle=55, angle=25, level=130)
PASSPORT: Passport = parse_passport((installed.BUILT_IN / "image_quality" / "passport.toml").read_bytes())


def measured(drawing: Drawing, **attributes: Any) -> Measured:
    return measure_view(picture(drawing, **attributes))


def judged(*pictures: Picture) -> Answer:
    return answer(pictures, PASSPORT)


def verdict(said: Answer, criterion: Code, level: Level = Level.VIEW) -> Code:
    (value,) = (
        one.value for one in said.evaluations if one.concept == criterion and one.target.level is level
    )
    return value


def measure(said: Answer, concept: Code) -> Measurement:
    (found,) = (one for one in said.measurements if one.concept == concept)
    return found


def exam(**changes: dict[str, Any]) -> list[Picture]:
    """Four views; `changes` by view, as `L_MLO`."""
    drawings = [one.with_(view=(side, one.view[1])) for one in (CC, MLO) for side in "LR"]
    return [picture(one.with_(**changes.get("_".join(one.view), {}))) for one in drawings]


class TestNipple:
    @pytest.mark.parametrize("level", [100, 125])
    def test_it_is_where_it_was_drawn(self, level: float) -> None:
        nipple = measured(CC.with_(level=level)).nipple
        assert nipple is not None
        assert nipple.point == (pytest.approx(114, abs=2), pytest.approx(level, abs=2))

    def test_it_is_found_in_an_oblique_view(self) -> None:
        nipple = measured(MLO).nipple
        assert nipple is not None
        assert nipple.point == (pytest.approx(114, abs=2), pytest.approx(130, abs=2))

    def test_its_height_grows_with_the_nipple(self) -> None:
        heights = [one.prominence for one in (measured(CC.with_(nipple=h)).nipple for h in (0, 2, 6)) if one]
        assert heights == sorted(heights)
        assert heights[0] < 0.35 and heights[1] > 0.5

    def test_in_profile(self) -> None:
        assert verdict(judged(picture(CC)), codes.NIPPLE_IN_PROFILE) == codes.MET

    def test_not_in_profile(self) -> None:
        """PS3.16 CID 6041 knows that."""
        said = verdict(judged(picture(CC.with_(nipple=0))), codes.NIPPLE_IN_PROFILE)
        assert said == Code("111205", "DCM", "Nipple not in profile")

    @pytest.mark.parametrize("side", ["L", "R"])
    def test_it_is_drawn_in_the_stored_image(self, side: str) -> None:
        one = picture(CC.with_(view=(side, "CC")))
        ((x, y),) = measure(judged(one), codes.NIPPLE_PROMINENCE).regions[0].points
        columns = one.pixels.shape[1]
        assert (x if side == "L" else columns - x) == pytest.approx(114 / SPACING, abs=10)
        assert y == pytest.approx(120 / SPACING, abs=10)


class TestPectoral:
    @pytest.mark.parametrize(("width", "angle"), [(40, 15), (60, 25), (80, 35)])
    def test_its_edge_is_where_it_was_drawn(self, width: float, angle: float) -> None:
        muscle = measured(MLO.with_(muscle=width, angle=angle)).pectoral
        assert muscle is not None
        assert muscle.width == pytest.approx(width, abs=3)
        assert muscle.angle == pytest.approx(angle, abs=2)
        assert muscle.length == pytest.approx(width / np.sin(np.deg2rad(angle)), abs=8)

    @pytest.mark.parametrize("end", [50, 70, 90])
    def test_it_ends_where_it_was_drawn_to_end(self, end: float) -> None:
        one = measured(MLO.with_(muscle_end=end))
        assert one.pectoral is not None and one.shortfall is not None
        assert one.pectoral.length == pytest.approx(end, abs=5)
        cosine, sine = np.cos(np.deg2rad(25)), np.sin(np.deg2rad(25))
        assert one.shortfall == pytest.approx(130 * cosine - (114 - 55) * sine - end, abs=8)

    def test_to_the_nipple_level(self) -> None:
        assert verdict(judged(picture(MLO)), codes.PECTORAL_TO_NIPPLE) == codes.MET

    @pytest.mark.parametrize("changes", [{"muscle_end": 50}, {"muscle": 0}, {"muscle": 12}])
    def test_insufficient(self, changes: dict[str, float]) -> None:
        said = verdict(judged(picture(MLO.with_(**changes))), codes.PECTORAL_TO_NIPPLE)
        assert said.value == "111197"

    def test_without_one_an_oblique_view_is_inadequate(self) -> None:
        said = judged(picture(MLO.with_(muscle=0)))
        assert verdict(said, codes.PGMI) == codes.PGMI_GRADES["I"]

    def test_an_upright_view_has_none(self) -> None:
        assert measured(CC).pectoral is None


class TestCutOff:
    def test_a_whole_breast(self) -> None:
        assert verdict(judged(picture(CC)), codes.WHOLE_BREAST) == codes.MET

    @pytest.mark.parametrize(("level", "value"), [(200, "111202"), (40, "111209")])
    def test_a_cc_that_is_cut_medially_or_laterally(self, level: float, value: str) -> None:
        """Down is towards the sternum (PatientOrientation A\\R of a left breast)."""
        assert verdict(judged(picture(CC.with_(level=level))), codes.WHOLE_BREAST).value == value

    def test_its_length_is_measured_and_drawn(self) -> None:
        found = measure(judged(picture(CC.with_(level=200))), codes.CUT_OFF_LENGTH)
        truth = 110 * np.sqrt(1 - (40 / 90) ** 2)
        assert found.value == pytest.approx(truth - 10, abs=2)
        assert found.regions[0].box[1] == pytest.approx(240 / SPACING)

    def test_a_breast_that_reaches_the_front(self) -> None:
        assert verdict(judged(picture(CC.with_(depth=175))), codes.WHOLE_BREAST) == codes.POSITIONING


class TestBlur:
    @pytest.mark.parametrize("drawing", [CC, MLO])
    @pytest.mark.parametrize("deviation", [0.2, 0.3, 0.4])
    def test_the_deviation_of_a_gaussian_is_told(self, drawing: Drawing, deviation: float) -> None:
        blur = measured(drawing.with_(blur=deviation)).blur
        assert blur is not None
        assert blur.deviation == pytest.approx(deviation, rel=0.1)

    def test_a_sharp_view(self) -> None:
        assert verdict(judged(picture(CC)), codes.SHARP) == codes.MET

    def test_a_blurred_view(self) -> None:
        assert verdict(judged(picture(CC.with_(blur=0.4))), codes.SHARP) == codes.MOTION_BLUR

    @pytest.mark.parametrize("axis", [0, 1])
    def test_a_view_that_moved_in_one_direction(self, axis: int) -> None:
        image = stored(CC.draw(), CC.view)
        moved = cv2.blur(image, (1, 9) if axis else (9, 1))
        noise = np.random.default_rng(1).normal(0, 8, image.shape)
        one = to_picture(np.clip(moved + noise, 0, 4095).astype(np.uint16), CC.view)
        assert measure(judged(one), codes.DIRECTED_BLUR).value > 3
        assert verdict(judged(one), codes.SHARP) == codes.MOTION_BLUR


class TestExposure:
    def test_adequate(self) -> None:
        assert verdict(judged(picture(MLO)), codes.EXPOSED) == codes.MET

    def test_over_exposed(self) -> None:
        assert verdict(judged(picture(CC.with_(gain=2.9))), codes.EXPOSED) == codes.OVER_EXPOSED

    def test_under_exposed(self) -> None:
        assert verdict(judged(picture(CC.with_(gain=0.15))), codes.EXPOSED) == codes.UNDER_EXPOSED


class TestArtefacts:
    def drawn(self, radius: float, x: float = 60, y: float = 120) -> Picture:
        image = stored(CC.draw(), CC.view)
        down, across = np.indices(image.shape) * SPACING
        disc = np.hypot(across - x, down - y) < radius
        return to_picture(np.where(disc, 4095, image).astype(np.uint16), CC.view)

    def test_none(self) -> None:
        assert verdict(judged(picture(CC)), codes.NO_ARTEFACTS) == codes.MET

    @pytest.mark.parametrize("radius", [1.5, 3, 8])
    def test_a_disc_over_the_breast_is_measured_and_outlined(self, radius: float) -> None:
        said = judged(self.drawn(radius))
        assert verdict(said, codes.NO_ARTEFACTS) == codes.ARTEFACTS
        found = measure(said, codes.ARTEFACT_AREA)
        assert found.value == pytest.approx(np.pi * radius**2, rel=0.25)
        left, top, right, bottom = found.regions[0].box
        assert left < 60 / SPACING < right and top < 120 / SPACING < bottom

    def test_one_beside_the_breast_is_a_marker(self) -> None:
        said = judged(self.drawn(4, x=150, y=30))
        assert verdict(said, codes.NO_ARTEFACTS) == codes.MET
        assert measure(said, codes.OUTSIDE_AREA).value == pytest.approx(50, rel=0.3)


class TestLabels:
    def test_a_cc_that_shows_a_muscle_is_mislabelled(self) -> None:
        one = to_picture(stored(MLO.draw(), ("L", "CC")), ("L", "CC"))
        assert verdict(judged(one), codes.LABELLED) == codes.MARKER_INCORRECT

    @pytest.mark.parametrize("view", [("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO")])
    def test_the_side_that_the_header_tells(self, view: tuple[str, str]) -> None:
        drawing = (CC if view[1] == "CC" else MLO).with_(view=view)
        assert verdict(judged(picture(drawing)), codes.SIDE_AGREES) == codes.MET

    @pytest.mark.parametrize("orientation", [["P", "R"], ["A", "L"]])
    def test_a_header_that_contradicts(self, orientation: list[str]) -> None:
        """Rows that lead to the back, or columns that lead outwards in a left breast."""
        said = judged(picture(CC, PatientOrientation=orientation))
        assert verdict(said, codes.SIDE_AGREES) == codes.MARKER_INCORRECT
        assert verdict(said, codes.QUALITY_ASSESSMENT) == codes.UNUSABLE

    def test_a_header_that_tells_nothing_contradicts_nothing(self) -> None:
        assert verdict(judged(picture(CC, PatientOrientation=None)), codes.SIDE_AGREES) == codes.MET


class TestExam:
    def test_a_perfect_one(self) -> None:
        said = judged(*exam())
        assert verdict(said, codes.PGMI, Level.EXAM) == codes.PGMI_GRADES["P"]
        assert verdict(said, codes.QUALITY_ASSESSMENT, Level.EXAM) == codes.MEETS

    def test_it_is_no_better_than_its_worst_view(self) -> None:
        said = judged(*exam(R_CC={"blur": 0.5}))
        assert verdict(said, codes.PGMI, Level.EXAM) == codes.PGMI_GRADES["I"]

    def test_a_missing_view(self) -> None:
        said = judged(*exam()[:3])
        assert verdict(said, codes.COMPLETE, Level.EXAM) == codes.NO_IMAGE
        assert measure(said, codes.VIEWS_PRESENT).value == 3

    def test_nipple_lines_of_one_breast(self) -> None:
        """Perpendicular to the muscle in the MLO, to the chest wall in the CC."""
        said = judged(*exam()[::2])
        cosine, sine = np.cos(np.deg2rad(25)), np.sin(np.deg2rad(25))
        truth = (114 - 55) * cosine + 130 * sine
        assert measure(said, codes.NIPPLE_LINE_DIFFERENCE).value == pytest.approx(truth - 114, abs=3)

    def test_nipple_lines_that_differ(self) -> None:
        said = judged(*exam(L_CC={"depth": 80})[::2])
        assert verdict(said, codes.NIPPLE_LINES_AGREE, Level.BREAST).value == "111204"

    def test_sides_that_are_not_alike(self) -> None:
        said = judged(*exam(R_CC={"depth": 70, "half": 60}))
        assert verdict(said, codes.SYMMETRICAL, Level.EXAM) == codes.NOT_SYMMETRICAL

    def test_an_empty_view_is_inadequate(self) -> None:
        one = picture(CC)
        said = judged(replace(one, pixels=np.zeros_like(one.pixels)))
        assert verdict(said, codes.SHOWN) == codes.NO_IMAGE

    def test_millimetres_need_a_spacing(self) -> None:
        with pytest.raises(ReadingFailed, match="PixelSpacing"):
            judged(replace(picture(CC), spacing=None))


class TestVendors:
    """Bits, the sense of the scale, windows and mirrored storage change no verdict."""

    def values(self, said: Answer) -> list[str]:
        return [f"{one.concept.value} {one.value.value}" for one in said.evaluations]

    @pytest.mark.parametrize("bits", [8, 10, 14])
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_bits_and_sense(self, bits: int, photometric: str) -> None:
        image = stored(MLO.draw(), MLO.view, bits)
        inverted = photometric == "MONOCHROME1"
        one = to_picture(
            ((1 << bits) - 1 - image) if inverted else image, MLO.view, BitsStored=bits, HighBit=bits - 1,
            WindowCenter=str(1 << (bits - 1)), WindowWidth=str(1 << bits), PatientOrientation=["A", "FR"],
            PhotometricInterpretation=photometric, PresentationLUTShape="INVERSE" if inverted else "IDENTITY",
        )  # fmt: skip
        assert self.values(judged(one)) == self.values(judged(picture(MLO)))

    def test_an_image_stored_mirrored(self) -> None:
        image = np.ascontiguousarray(stored(MLO.draw(), MLO.view)[:, ::-1])
        one = to_picture(image, MLO.view, PatientOrientation=["P", "FR"])
        assert self.values(judged(one)) == self.values(judged(picture(MLO)))

    def test_padding_below_and_beside(self) -> None:
        image = np.pad(stored(MLO.draw(), MLO.view), ((0, 60), (0, 90)))
        assert self.values(judged(to_picture(image, MLO.view))) == self.values(judged(picture(MLO)))


class TestLimits:
    def test_grades_by_their_bounds(self) -> None:
        limits = Limits({"gap_p": 5, "gap_g": 10, "gap_m": 20})
        assert [limits.most("gap", one) for one in (5, 6, 20, 21)] == list(Grade)

    def test_more_may_be_better(self) -> None:
        limits = Limits({"width_p": 30, "width_g": 10})
        assert [limits.least("width", one) for one in (30, 10, 9)] == [0, 1, 2]

    def test_a_measure_without_bounds_is_not_graded(self) -> None:
        assert Limits({}).most("gap", 99) is Grade.PERFECT

    def test_a_bound_that_is_no_number(self) -> None:
        with pytest.raises(PackageError, match="gap_p"):
            Limits({"gap_p": "5"}).most("gap", 1)


@pytest.fixture(scope="module")
def views(shared: Path) -> Sequence[Measured]:
    instances = map(read_instance, demo_exam(shared / "data" / "nyu-density"))
    return [measure_view(read_picture(one, (one.image_laterality, one.view))) for one in instances]


class TestRealExam:
    """The four mammograms that the NYU density model is published with: where a reader sees nipple and muscle."""

    def test_the_nipples(self, views: Sequence[Measured]) -> None:
        seen = {
            ("L", "CC"): (133, 160),
            ("R", "CC"): (113, 153),
            ("L", "MLO"): (135, 216),
            ("R", "MLO"): (111, 216),
        }
        for one in views:
            assert one.nipple is not None
            np.testing.assert_allclose(one.nipple.point, seen[one.view], atol=10)

    def test_the_muscles(self, views: Sequence[Measured]) -> None:
        seen = {("L", "MLO"): (48, 13), ("R", "MLO"): (62, 21)}
        for one in views:
            if one.view in seen:
                assert one.pectoral is not None
                assert one.pectoral.width == pytest.approx(seen[one.view][0], abs=8)
                assert one.pectoral.angle == pytest.approx(seen[one.view][1], abs=4)

    def test_the_nipple_lines_agree(self, views: Sequence[Measured]) -> None:
        lines = {one.view: one.nipple_line or 0 for one in views}
        assert all(abs(lines[side, "CC"] - lines[side, "MLO"]) < 10 for side in "LR")

    def test_they_are_sharp(self, views: Sequence[Measured]) -> None:
        assert all(one.blur and one.blur.deviation < 0.1 and one.blur.directed < 2 for one in views)
