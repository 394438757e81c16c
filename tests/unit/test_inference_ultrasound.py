"""The ultrasound phantom, its segmenter, and that torch and ONNX agree on it."""

from pathlib import Path

import numpy as np
import pytest

from inference import installed
from inference.answers import mask
from inference.package import Package, load
from inference.phantom_ultrasound import HELD_OUT, TRAINING, draw_image
from inference.preprocess import assemble, prepare
from inference.training import ultrasound_images as population
from inference.training.running import Run, runner
from tests.unit.pictures import picture

SOME = population.HELD_OUT_SEEDS[:40]


@pytest.fixture(scope="module")
def package() -> Package:
    return load(Path(installed.__file__).parent / "models" / "phantom_ultrasound")


@pytest.fixture(scope="module")
def run(package: Package) -> Run:
    return runner(package.read_network())


class TestPhantom:
    def test_the_same_seed_draws_the_same_image(self) -> None:
        one, other = draw_image(5), draw_image(5)
        assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.mass, other.mass)

    def test_a_mass_is_darker_than_what_surrounds_it(self) -> None:
        for seed in range(8):
            image = draw_image(seed, mass=True)
            rows, columns = np.nonzero(image.mass)
            around = np.s_[rows.min() : rows.max(), max(columns.min() - 12, 0) : columns.max() + 12]
            beside = image.pixels[around][~image.mass[around]]
            assert image.pixels[image.mass].mean() < beside.mean() - 15

    def test_an_image_without_a_mass_has_none(self) -> None:
        assert not draw_image(3, mass=False).mass.any()

    def test_held_out_parameters_reach_further_on_both_sides(self) -> None:
        for name in TRAINING.__slots__:
            (low, high), (lower, higher) = getattr(TRAINING, name), getattr(HELD_OUT, name)
            assert lower < low and high < higher, name


class TestPackage:
    def test_some_of_the_held_out_phantoms_agree_with_its_figures(self, package: Package, run: Run) -> None:
        figures = population.measure(run, *population.draw_population(SOME, HELD_OUT))
        for metric in package.passport.metrics:
            assert figures[metric.name][0] == pytest.approx(metric.value, abs=0.1), metric.name

    def test_nothing_is_claimed_of_patients(self, package: Package) -> None:
        assert package.model.title.startswith("Phantom-trained") and package.model.research_use_only
        assert all("no patients" in metric.measured_on for metric in package.passport.metrics)

    def test_it_was_not_trained_on_what_it_is_measured_on(self) -> None:
        assert not set(population.TRAINING_SEEDS) & set(population.HELD_OUT_SEEDS)

    def test_a_mass_is_outlined_where_it_lies(self, package: Package, run: Run) -> None:
        """Through the passport's own steps, from an image three times as large as the network sees."""
        image = draw_image(4_000_003, mass=True)
        pixels = np.kron(image.pixels, np.ones((3, 3), np.uint8))
        steps = [(one.name, one.parameters) for one in package.passport.inputs.preprocessing]
        shown = prepare(picture(pixels=pixels), steps)
        lesions = mask.answer(run(assemble([shown], steps)), [shown], package.passport).lesions
        rows, columns = np.nonzero(image.mass)
        box = 3 * columns.min(), 3 * rows.min(), 3 * columns.max() + 3, 3 * rows.max() + 3
        assert lesions[0].regions[0].box == pytest.approx(box, abs=12)


class TestTraining:
    def test_torch_and_onnx_agree(self) -> None:
        torch = pytest.importorskip("torch")
        from inference.training.ultrasound import train

        images, masses = population.draw_population(range(8), TRAINING)
        network = train(images, masses, epochs=1)
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(images))).numpy()
        assert runner(network.to_onnx())(images)["mask"] == pytest.approx(expected, abs=1e-5)

    def test_it_is_repeated_byte_by_byte(self) -> None:
        pytest.importorskip("torch")
        from inference.training.ultrasound import train

        drawn = population.draw_population(range(8), TRAINING)
        assert train(*drawn, epochs=1).to_onnx() == train(*drawn, epochs=1).to_onnx()
