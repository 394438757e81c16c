"""What a site learns in a round: repeatably, from whatever mix it has, and to a package that answers as torch does."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from archive.errors import BadRequest
from federation.training.learning import annealed, balanced
from federation.training.task import Example, Label, Local, Mark, Privacy, TrainingTask, Weights, task_of
from federation.training.tasks.density import Density, denser, vary
from inference.instance import read_instance
from inference.phantom import VIEWS
from inference.picture import View
from inference.pixels import read_picture
from inference.preprocess import check, prepare
from inference.training.density_exams import draw_flat
from inference.training.lesion_targets import CLASSES
from tests.federation.exams import draw_exams

LOCAL = Local(epochs=1, batch=4, learning_rate=2e-3, seed=7)


@pytest.fixture(scope="module")
def exams() -> list[Example]:
    """Eight flat phantoms, two of each category."""
    return [_density(number, fraction) for number, fraction in enumerate((0.12, 0.38, 0.62, 0.85) * 2)]


def _density(number: int, fraction: float) -> Example:
    drawn = draw_flat(number, fraction)
    label = Label("csv", "abcd"[drawn.category])
    return Example(f"1.2.{number}", f"P{number}", {"views": drawn.features}, label)


@pytest.fixture(scope="module")
def marked() -> list[Example]:
    """Two exams of one view, with a mass and without."""
    y, x = np.mgrid[:128, :64].astype(np.float32)
    disc = (np.hypot(y - 90, x - 20) < 14).astype(np.float32)
    box = np.array([[0, 6, 76, 34, 104]], np.float32)
    mark = Mark(("L", "CC"), "mass", (6, 76, 34, 104))
    with_mass = {"L CC": 1 + disc, "L CC marks": box}
    without = {"L CC": np.ones_like(disc), "L CC marks": np.zeros((0, 5), np.float32)}
    return [
        Example("1.2.1", "P1", with_mass, Label("csv", marks=(mark,))),
        Example("1.2.2", "P2", without, Label("csv")),
    ]


@pytest.fixture(params=["density", "lesions"])
def task(request: pytest.FixtureRequest) -> TrainingTask:
    return task_of(request.param)


@pytest.fixture
def examples(task: TrainingTask, exams: list[Example], marked: list[Example]) -> list[Example]:
    return exams if task.name == "density" else marked


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


class TestEveryTask:
    def test_the_same_begin_gives_the_same_weights(self, task: TrainingTask, examples: list[Example]) -> None:
        first, again = (task.train(task.initial(3), examples, LOCAL).weights for _ in range(2))
        assert same(first, again) and not same(first, task.initial(3))

    def test_another_seed_gives_others(self, task: TrainingTask, examples: list[Example]) -> None:
        begin = task.initial(3)
        first, other = (task.train(begin, examples, replace(LOCAL, seed=seed)) for seed in (7, 8))
        assert not same(first.weights, other.weights)

    def test_weights_are_float32_and_finite(self, task: TrainingTask, examples: list[Example]) -> None:
        trained = task.train(task.initial(3), examples, LOCAL)
        assert all(one.dtype == np.float32 and np.isfinite(one).all() for one in trained.weights.values())
        assert trained.examples == len(examples) and np.isfinite(trained.metrics["loss"])

    def test_no_statistics_of_a_batch_travel(self, task: TrainingTask) -> None:
        assert not [name for name in task.initial(1) if "running" in name]

    def test_a_strong_pull_keeps_weights_where_they_began(
        self, task: TrainingTask, examples: list[Example]
    ) -> None:
        """FedProx: arXiv:1812.06127, equation 2."""
        begin = task.initial(3)
        free, held = (
            task.train(begin, examples, replace(LOCAL, epochs=4, proximal_mu=mu)).weights for mu in (0, 1e4)
        )
        assert _apart(held, begin) < 0.7 * _apart(free, begin)

    def test_it_learns_privately_and_tells_no_loss(self, task: TrainingTask, examples: list[Example]) -> None:
        pytest.importorskip("opacus")
        private = replace(LOCAL, batch=1, privacy=Privacy(1.0), secret=b"s")
        first, again = (task.train(task.initial(3), examples, private) for _ in range(2))
        assert same(first.weights, again.weights) and not same(first.weights, task.initial(3))
        assert first.metrics == {} and (first.steps, first.sample_rate) == (len(examples), 1 / len(examples))

    def test_figures_have_what_runs_are_judged_by(self, task: TrainingTask, examples: list[Example]) -> None:
        figures = task.evaluate(task.initial(3), examples)
        assert {"loss", "primary"} <= figures.keys() and all(map(np.isfinite, figures.values()))

    def test_its_steps_are_those_of_a_passport(self, task: TrainingTask) -> None:
        check(task.steps)

    def test_its_package_answers_as_torch_does(self, task: TrainingTask) -> None:
        """`export` itself compares, to 1e-5."""
        content, tables = task.export(task.initial(3))
        assert content and not tables.keys() & {"training", "metrics"}
        assert tables["identity"]["research_use_only"] and "hantom" not in str(tables)

    @pytest.mark.parametrize("change", [np.nan, np.inf])
    def test_weights_that_are_no_numbers_are_refused(self, task: TrainingTask, change: float) -> None:
        weights = {name: np.full_like(one, change) for name, one in task.initial(1).items()}
        with pytest.raises(BadRequest, match="finite"):
            task.export(weights)

    def test_another_networks_weights_are_refused(self, task: TrainingTask) -> None:
        with pytest.raises(BadRequest, match="network"):
            task.export({"layer": np.zeros(3, np.float32)})


def _apart(one: Weights, other: Weights) -> float:
    return float(np.sqrt(sum(((one[name] - other[name]) ** 2).sum() for name in one)))


class TestDensity:
    def test_it_learns_from_categories_alone(self, exams: list[Example]) -> None:
        task = task_of("density")
        weights = task.initial(3)
        trained = task.train(weights, exams, replace(LOCAL, epochs=12))
        assert task.evaluate(trained.weights, exams)["loss"] < 0.8 * task.evaluate(weights, exams)["loss"]

    def test_a_measured_share_is_learnt_from_too(self, exams: list[Example]) -> None:
        known = [replace(one, label=replace(one.label, share=0.9)) for one in exams]
        begin = task_of("density").initial(3)
        first, other = (task_of("density").train(begin, some, LOCAL).weights for some in (exams, known))
        assert not same(first, other)

    def test_an_exam_is_as_dense_as_its_denser_breast(self) -> None:
        import torch

        told = denser(torch.tensor([[0.1, 0.8, 0.3, 0.6], [0.8, 0.1, 0.6, 0.3]]))
        assert told.tolist() == pytest.approx([0.7, 0.7], abs=0.01)

    def test_examples_without_category_are_refused(self, exams: list[Example]) -> None:
        task = task_of("density")
        with pytest.raises(BadRequest, match="category"):
            task.train(task.initial(1), [replace(exams[0], label=Label("csv"))], LOCAL)

    def test_no_examples_are_refused(self) -> None:
        with pytest.raises(BadRequest):
            task_of("density").evaluate(task_of("density").initial(1), [])

    def test_stored_mammograms_become_an_example(self) -> None:
        task = task_of("density")
        (exam,) = draw_exams("beta", "c")
        pictures = {
            view: prepare(read_picture(read_instance(one), view), task.steps)
            for view, one in zip(VIEWS, exam.instances, strict=True)
        }
        example = task.prepare(pictures, Label("csv", exam.category))
        assert example is not None and example.inputs["views"].shape == (4, 1, 112, 80)
        assert task.prepare(pictures, Label("csv")) is None
        assert task.prepare({view: pictures[view] for view in VIEWS[:3]}, Label("csv", "a")) is None

    def test_varied_views_keep_the_background_and_the_range(self, exams: list[Example]) -> None:
        views = np.stack([one.inputs["views"] for one in exams])
        varied = vary(views, np.random.default_rng(1))
        assert varied.min() >= 0 and varied.max() <= 1 and not np.array_equal(varied, views)
        assert (varied == 0).sum() >= (views == 0).sum()

    def test_what_is_made_against_shift_may_be_left_out(self, exams: list[Example]) -> None:
        plain, begin = Density(is_balanced=False, is_varied=False), task_of("density").initial(1)
        first, other = (one.train(begin, exams, LOCAL).weights for one in (plain, task_of("density")))
        assert not same(first, other)


class TestLesions:
    def test_boxes_of_stored_pixels_become_those_of_the_view(self) -> None:
        """A mark is placed as the picture was cropped, mirrored and scaled (`Placement.own`)."""
        task = task_of("lesions")
        (exam,) = draw_exams("alpha", "a")
        view: View = ("R", "CC")
        picture = prepare(read_picture(read_instance(exam.instances[1]), view), task.steps)
        ((left, top), (right, bottom)) = picture.placement.stored([(30, 10), (20, 25)])
        box = (min(left, right), top, max(left, right), bottom)
        example = task.prepare({view: picture}, Label("csv", marks=(Mark(view, "calcifications", box),)))
        assert example is not None
        assert example.inputs["R CC marks"] == pytest.approx(np.array([[1, 20, 10, 30, 25]]), abs=1e-3)

    def test_a_site_without_lesions_has_nothing_to_learn_from(self, marked: list[Example]) -> None:
        task = task_of("lesions")
        with pytest.raises(BadRequest, match="lesion"):
            task.train(task.initial(1), marked[1:], LOCAL)

    def test_unknown_kinds_are_no_example(self) -> None:
        label = Label("csv", marks=(Mark(("L", "CC"), "cyst", (1, 1, 2, 2)),))
        assert task_of("lesions").prepare({}, label) is None

    def test_the_classes_are_those_of_the_network(self) -> None:
        _, tables = task_of("lesions").export(task_of("lesions").initial(1))
        assert len(tables["outputs"]["classes"]) == CLASSES


class TestBalance:
    def test_rare_classes_are_shown_more_often_than_their_share(self) -> None:
        """Cui et al., arXiv:1901.05555, equation 2."""
        shares = balanced(["a"] * 9 + ["d"])
        assert shares.sum() == pytest.approx(1) and 0.3 < shares[-1] < 0.5

    def test_one_class_alone_is_shown_evenly(self) -> None:
        assert balanced(["a"] * 4) == pytest.approx(np.full(4, 0.25))

    def test_the_rate_falls_over_the_rounds(self) -> None:
        rates = [annealed(1.0, number, 10) for number in range(1, 11)]
        assert rates[0] == 1.0 and rates == sorted(rates, reverse=True) and 0.05 < rates[-1] < 0.1
