"""What an attacker who sees one update of the density network learns of the one exam that it was made from.

Two attacks. *Recognising*: the attacker has candidates, the exam among them, makes each one's update as the site would,
and picks the one that fits best. *Drawing* (Geiping et al., arXiv:2003.14053, with what mammograms look like as prior,
Jeon et al., arXiv:2110.14962): the attacker looks for the exam, as so much of each main component of other hospitals'
exams, whose gradient points where the update does; what is told is the correlation of what makes the drawn and the true
exam differ from the average one. Both know weights, settings, seed and category; drawing knows no better than a
gradient, where an update is that of several steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.federated_sites import VENDORS, load
from benchmarks.report import keep
from federation.training.learning import restore
from federation.training.task import Example, Local, Privacy, Weights
from federation.training.tasks.density import LABELS, Density, exam_loss
from inference.training.density_network import ViewDensity

EXAMS, DRAWN, OTHERS = 20, 4, 160
COMPONENTS, STEPS, STEP = 16, 100, 0.1
_EVEN = 1e-4
TASK = Density(is_balanced=False, is_varied=False)
ONE = Local(epochs=1, batch=1, learning_rate=1e-3, seed=1)
SETTINGS: Mapping[str, Local] = {
    "one step": ONE,
    "eight steps": replace(ONE, epochs=8),
    "clipped to 1, noise 0.01": replace(ONE, privacy=Privacy(0.01), secret=b"the site's own"),
    "clipped to 1, noise 0.1": replace(ONE, privacy=Privacy(0.1), secret=b"the site's own"),
    "clipped to 1, noise 1": replace(ONE, privacy=Privacy(1.0), secret=b"the site's own"),
}
SHOWN = ("clipped to 1, noise 1",)
"""Settings whose update is drawn from, too."""
Update = npt.NDArray[np.float64]


def main() -> None:
    torch.set_num_threads(1)
    drawn = load()
    exams = drawn["alpha"].pool[:EXAMS]
    look = Look.of([one for vendor in VENDORS for one in drawn[vendor].tested[: OTHERS // len(VENDORS)]])
    weights = TASK.initial(1)
    gradients = [gradient(weights, one) for one in exams]
    rows = [
        _recognised("the gradient itself", gradients, gradients) | _drawn(gradients, weights, exams, look)
    ]
    for name, local in SETTINGS.items():
        plain = [update(weights, one, replace(local, privacy=Privacy())) for one in exams]
        seen = [update(weights, one, local) for one in exams] if local.privacy.is_on else plain
        found = _drawn(seen, weights, exams, look) if name in SHOWN else {}
        rows.append(_recognised(name, seen, plain) | found)
    keep("gradient_inversion", rows, components=COMPONENTS, drawn=DRAWN)


def _recognised(name: str, seen: Sequence[Update], plain: Sequence[Update]) -> dict[str, Any]:
    right = sum(recognise(one, plain) == at for at, one in enumerate(seen))
    return {"update": name, "recognised": f"{right} of {len(seen)}"}


def _drawn(
    seen: Sequence[Update], weights: Weights, exams: Sequence[Example], look: "Look"
) -> dict[str, Any]:
    some = list(zip(seen, exams, strict=True))[:DRAWN]
    alike = [look.alike(draw(one, weights, exam, look), exam) for one, exam in some]
    best = [look.alike(look.nearest(exam), exam) for _, exam in some]
    return {"drawn": round(float(np.mean(alike)), 2), "at best": round(float(np.mean(best)), 2)}


@dataclass(frozen=True, slots=True)
class Look:
    """What other hospitals' exams look like: the average, and main components by how much they vary, one a row."""

    mean: Update
    components: Update

    @classmethod
    def of(cls, others: Sequence[Example], count: int = COMPONENTS) -> "Look":
        views = np.stack([_flat(one) for one in others])
        mean = views.mean(axis=0)
        _, sizes, directions = np.linalg.svd(views - mean, full_matrices=False)
        scale = sizes[:count, np.newaxis] / np.sqrt(len(others))
        return cls(mean, directions[:count] * scale)

    def nearest(self, exam: Example) -> Update:
        """The exam as far as the components can show it."""
        amounts = np.linalg.lstsq(self.components.T, _flat(exam) - self.mean, rcond=None)[0]
        return np.asarray(self.mean + amounts @ self.components)

    def alike(self, drawn: Update, exam: Example) -> float:
        """The correlation of what makes both differ from the average."""
        return float(np.corrcoef(drawn - self.mean, _flat(exam) - self.mean)[0, 1])


def _flat(example: Example) -> Update:
    return example.inputs["views"].astype(np.float64).ravel()


def gradient(weights: Weights, example: Example) -> Update:
    """The plain gradient of one exam, the most that one step can tell."""
    network, loss = _network(weights), _loss(example)
    views = torch.from_numpy(example.inputs["views"])
    found = torch.autograd.grad(loss(network, views), list(network.parameters()))
    return np.concatenate([one.numpy().ravel().astype(np.float64) for one in found])


def update(weights: Weights, example: Example, local: Local) -> Update:
    """What a site with this one exam sends in a round, less what it got; downhill is positive."""
    trained = TASK.train(weights, [example], local).weights
    return np.concatenate(
        [(weights[name] - trained[name]).astype(np.float64).ravel() for name in weights_order()]
    )


def weights_order() -> list[str]:
    """The names of the parameters in torch's own order."""
    return [name for name, _ in ViewDensity().named_parameters()]


def recognise(seen: Update, candidates: Sequence[Update]) -> int:
    """Which of the candidates' updates the one that was seen is most like."""
    return int(np.argmax([cosine(seen, one) for one in candidates]))


def cosine(one: Update, other: Update) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def draw(seen: Update, weights: Weights, exam: Example, look: Look, *, steps: int = STEPS) -> Update:
    """The exam (values of its views) whose gradient points where the update does; of `exam` the category is known."""
    network, loss = _network(weights), _loss(exam)
    parameters = list(network.parameters())
    wanted = torch.from_numpy(seen.astype(np.float32)).split([one.numel() for one in parameters])
    mean, components = (torch.from_numpy(one.astype(np.float32)) for one in (look.mean, look.components))
    amounts = torch.zeros(len(components), requires_grad=True)
    optimiser = torch.optim.Adam([amounts], lr=STEP)
    for _ in range(steps):
        optimiser.zero_grad()
        views = (mean + amounts @ components).reshape(-1, *exam.inputs["views"].shape[1:])
        found = torch.autograd.grad(loss(network, views), parameters, create_graph=True)
        apart = sum(_angle(one.flatten(), other) for one, other in zip(found, wanted, strict=True))
        (apart + _EVEN * (amounts**2).sum()).backward()
        optimiser.step()
    return np.asarray((mean + amounts.detach() @ components).numpy())


def _angle(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """1 less the cosine: layers count alike, whatever the sizes of their gradients."""
    return 1 - one @ other / (one.norm() * other.norm() + 1e-30)


def _network(weights: Weights) -> ViewDensity:
    network = ViewDensity()
    restore(network, weights)
    return network


def _loss(example: Example) -> Callable[[ViewDensity, torch.Tensor], torch.Tensor]:
    category = torch.tensor([LABELS.index(example.label.category)])
    unknown = torch.tensor([torch.nan])
    return lambda network, views: exam_loss(network, views[None], category, unknown)


if __name__ == "__main__":
    main()
