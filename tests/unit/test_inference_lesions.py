"""The built-in lesion detector: what it is taught, its passport's figures, and that torch and ONNX agree."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archive.findings import Findings, NotApplicable
from inference import installed
from inference.answers.boxes import find
from inference.evaluation import Detections, sensitivity_at
from inference.package import Package, load
from inference.phantom.instances import write_instances
from inference.phantom.population import TRAINED
from inference.phantom.study import Order, Study, draw_study
from inference.pipeline import read_study
from inference.session import open_session
from inference.training import lesion_figures as figures
from inference.training import lesion_images as population
from inference.training.lesion_figures import Seen
from inference.training.lesion_images import Example, Mark
from inference.training.lesion_targets import CLASSES, STRIDE, UNIT, draw_target, turn_over
from inference.training.running import Run, runner

GOLDEN = Path(__file__).parent / "golden" / "lesions.json"
SOME = population.Set(
    population.HELD_OUT.seeds[:4], population.HELD_OUT.population, population.HELD_OUT.lesions
)


@pytest.fixture(scope="module")
def package() -> Package:
    return load(Path(installed.__file__).parent / "models" / "phantom_lesions")


@pytest.fixture(scope="module")
def run(package: Package) -> Run:
    return runner(package.read_network())


def mark(kind: int, left: float, top: float, right: float, bottom: float) -> Mark:
    """A lesion that fills its box."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return Mark(kind, np.array(corners, np.float32))


def perfect(target: np.ndarray) -> dict[str, np.ndarray]:
    """What a network that tells this target gives: its boxes and scores."""
    rows, columns = target.shape[1:]
    y, x = np.mgrid[:rows, :columns] * STRIDE + STRIDE / 2
    sides = target[CLASSES : CLASSES + 4] * UNIT * np.array([-1, -1, 1, 1]).reshape(4, 1, 1)
    boxes = np.stack([x, y, x, y]) + sides
    return {"boxes": boxes.reshape(4, -1).T, "scores": target[:CLASSES].reshape(CLASSES, -1).T}


class TestTarget:
    MARKS = (mark(0, 40, 48, 118, 106), mark(1, 200, 20, 240, 70))

    def test_a_network_that_tells_it_finds_the_lesions_boxes(self) -> None:
        found = find(perfect(draw_target(self.MARKS, (256, 320))), least=0.99)
        assert {one.kind: one.box for one in found} == {
            each.kind: pytest.approx(each.box, abs=0.01) for each in self.MARKS
        }

    def test_upside_down_it_is_that_of_lesions_upside_down(self) -> None:
        turned = tuple(
            mark(one.kind, one.box[0], 256 - one.box[3], one.box[2], 256 - one.box[1]) for one in self.MARKS
        )
        upright, other = (draw_target(some, (256, 320)) for some in (self.MARKS, turned))
        np.testing.assert_allclose(turn_over(upright)[: CLASSES + 4], other[: CLASSES + 4], atol=1e-5)

    def test_a_lesion_beyond_the_view_is_not_told(self) -> None:
        assert not draw_target((mark(0, -90, 0, -10, 50),), (64, 64)).any()


class TestPopulation:
    def test_what_it_is_measured_on_is_neither_trained_nor_tuned_on(self) -> None:
        sets = (population.TRAINING, population.VALIDATION, population.HELD_OUT)
        assert sum(len(one.seeds) for one in sets) == len({seed for one in sets for seed in one.seeds})

    def test_held_out_phantoms_are_of_wider_parameters(self) -> None:
        assert population.HELD_OUT.population != TRAINED == population.TRAINING.population

    def test_what_the_network_takes_is_padded_as_the_passport_pads(self) -> None:
        assert population.tensor(np.ones((65, 3), np.float16)).shape == (1, 1, 128, 64)


class TestFigures:
    def test_a_lesion_is_found_where_a_box_of_its_kind_has_its_middle_in_its_outline(self) -> None:
        marks = (mark(0, 0, 0, 40, 40), mark(1, 100, 100, 140, 140))
        told = {
            "boxes": np.array([[10, 10, 30, 30], [10, 10, 30, 30], [90, 90, 200, 200]]),
            "scores": np.array([[0.9, 0], [0, 0.8], [0, 0.7]]),
        }
        found = find(told, least=0.5)
        assert figures.compare(marks, found, 0) == Detections((0.9,), ())
        assert figures.compare(marks, found, 1) == Detections((0.0,), (0.8, 0.7))

    def test_calibration_makes_scores_the_share_of_marks_that_are_right(self) -> None:
        """Platt 1999: of marks that all score one half, as many are right as the calibrated score says."""
        half, high = Detections((0.5,), (0.5, 0.5, 0.5)), Detections((0.9, 0.9, 0.9), (0.9,))
        exams = [Seen((half, Detections((), ())), "a", 4), Seen((high, Detections((), ())), "a", 4)]
        found = figures.calibrate(exams)
        told = figures.calibrated(np.array([0.5, 0.9]), found)
        assert told == pytest.approx([0.25, 0.75], abs=0.01)


class TestPassport:
    def test_some_of_the_held_out_phantoms_agree_with_its_figures(self, package: Package, run: Run) -> None:
        """`make reproduce-models` measures on all of them."""
        seen = figures.look(run, population.draw(SOME), package.passport.outputs.calibration)
        reached, *_ = sensitivity_at([one.both for one in seen], seen[0].views)
        kept = {one.name: one.value for one in package.passport.metrics}
        assert reached > kept["sensitivity for lesions at 1 false positives an image"] - 0.3

    def test_it_is_called_phantom_trained_and_nothing_is_claimed_of_patients(self, package: Package) -> None:
        assert package.model.name.startswith("phantom-trained")
        assert package.model.title.startswith("Phantom-trained")
        assert package.model.trained_on.endswith("no patients") and package.model.research_use_only
        assert all("no patients" in metric.measured_on for metric in package.passport.metrics)

    def test_it_was_not_written_for_other_steps(self, package: Package) -> None:
        steps = [(one.name, dict(one.parameters)) for one in package.passport.inputs.preprocessing]
        assert steps == population.STEPS

    def test_it_tells_what_torch_told(self, run: Run) -> None:
        """The vectors are what torch told of the picture when the network was written."""
        golden = json.loads(GOLDEN.read_text())
        told = run(picture())
        for name, expected in golden.items():
            np.testing.assert_allclose(
                told[name].ravel()[:: expected["every"]], expected["values"], rtol=1e-3, atol=1e-4
            )


class TestReading:
    """Of a phantom whose mass and cluster show, as a site reads it."""

    ORDER = Order(lesions=population.KINDS, benign=False, category="a", vendor="beta", spacing=0.2)

    @pytest.fixture(scope="class")
    @classmethod
    def study(cls) -> Study:
        return draw_study(46, cls.ORDER)

    @pytest.fixture(scope="class")
    @classmethod
    def read(cls, study: Study, package: Package) -> Findings:
        parts = [content for _, _, content in write_instances(study)]
        found = read_study(parts, open_session(package, threads=1))
        assert isinstance(found, Findings)
        return found

    def test_what_is_one_lesion_in_two_views_is_told_once(self, read: Findings) -> None:
        twice = [one for one in read.lesions if len(one.regions) == 2]
        assert sorted(one.kind.meaning for one in twice) == ["Calcification Cluster", "Mass"]

    def test_each_kinds_operating_point_is_told(self, read: Findings) -> None:
        assert re.fullmatch(
            r"threshold 0\.\d+ \(mass\), 0\.\d+ \(calcification cluster\)", read.operating_point
        )

    def test_it_reads_nothing_coarser_than_it_was_made_for(self, package: Package) -> None:
        coarse = draw_study(46, replace(self.ORDER, spacing=0.5))
        parts = [content for _, _, content in write_instances(coarse)]
        found = read_study(parts, open_session(package, threads=1))
        assert isinstance(found, NotApplicable) and "spacing" in found.reason.lower()

    def test_blank_rows_around_move_what_is_found_and_little_else(self, study: Study, run: Run) -> None:
        """Groups of channels are normalised over the whole image, blank parts too."""
        (one,) = (each for each in population.examples(study) if each.view == ("R", "CC"))
        image = population.tensor(one.pixels)
        padded = np.pad(image, ((0, 0), (0, 0), (64, 64), (0, 64)))
        whole, moved = (find(run(each), least=0.4) for each in (image, padded))
        assert [one.kind for one in moved] == [one.kind for one in whole]
        for before, after in zip(whole, moved, strict=True):
            assert np.array(after.box) - (0, 64, 0, 64) == pytest.approx(np.array(before.box), abs=8)
            assert after.score == pytest.approx(before.score, abs=0.15)


class TestTraining:
    def test_torch_and_onnx_agree(self) -> None:
        torch = pytest.importorskip("torch")
        from inference.training.lesion_network import features
        from inference.training.lesions import train

        network = train(
            [
                Example(0, "a", ("L", one), picture()[0, 0], (mark(0, 4, 74, 36, 106),))
                for one in ("CC", "MLO")
            ],
            steps=2,
        )
        with torch.no_grad():
            told = network(features(torch.from_numpy(picture())))[:, CLASSES + 4 :]
        assert runner(network.to_onnx())(picture())["mask"] == pytest.approx(
            torch.sigmoid(told).numpy(), abs=1e-5
        )


def picture() -> np.ndarray:
    """A bright disc and some specks on a half ball, (1, 1, 128, 64)."""
    y, x = np.mgrid[:128, :64].astype(np.float32)
    ball = np.sqrt(np.clip(1 - ((y - 64) / 60) ** 2 - (x / 60) ** 2, 0, 1))
    ball += 0.8 * (np.hypot(y - 90, x - 20) < 14)
    ball[[30, 33, 37, 41], [20, 27, 22, 30]] += 1.5
    return ball[np.newaxis, np.newaxis].astype(np.float32)


def test_an_example_tells_lesions_in_pixels_of_its_view() -> None:
    """The mean inside a mass is brighter than that of its view."""
    chosen = population.Set(range(5_000_003, 5_000_004), TRAINED, (2,))
    drawn: list[Example] = list(population.draw(chosen))
    for one in (one for one in drawn if one.marks):
        for each in (each for each in one.marks if each.kind == 0):
            left, top, right, bottom = (int(side) for side in each.box)
            breast = one.pixels[one.pixels > 0.2].mean(dtype=np.float64)
            assert one.pixels[top:bottom, left:right].mean(dtype=np.float64) > breast
