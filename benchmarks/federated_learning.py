"""Density learnt across four unlike hospitals, against each alone and against all data in one place.

The hospitals (`benchmarks/federated_sites.py`) differ in vendor, mix of categories and size. The task and the
aggregation are those of a run between sites, here in one process; a hospital alone and all data in one place are
learnt by the same code as a run of one site, with the same settings and as many passes over the exams. Each
repetition begins with other weights and has other exams to learn from; what it is tested on stays the same.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.federated_sites import CACHE, HOSPITALS, VENDORS, Drawn, load
from benchmarks.report import keep
from federation.hub.aggregate import Contribution, combine
from federation.manifest import Aggregation
from federation.training.learning import annealed
from federation.training.task import Example, Local, Weights
from federation.training.tasks.density import Density
from federation.training.weights import flatten, unflatten

EPOCHS, BATCH, RATE = 3, 4, 2e-3
SEEDS = range(5)
ABLATIONS = {
    "without other grey curves": Density(is_varied=False),
    "without balance of categories": Density(is_balanced=False),
}
Sites = Mapping[str, Sequence[Example]]
Figures = Mapping[str, float]
"""κ by hospital, and of `all`."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.federated_learning", description=__doc__)
    parser.add_argument("--ablations", action="store_true", help="also what each precaution is worth")
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    drawn = load()
    found: list[dict[str, Figures]] = []
    ablated: list[dict[str, Figures]] = []
    for seed in SEEDS:
        found.append(repeat(drawn, seed, asked.rounds))
        write(found, ablated, asked.rounds)
    for seed in SEEDS if asked.ablations else ():
        ablated.append(leave_out(drawn, seed, asked.rounds))
        write(found, ablated, asked.rounds)


def repeat(drawn: Mapping[str, Drawn], seed: int, rounds: int) -> dict[str, Figures]:
    """Each hospital alone, all of them federated, and their data in one place."""
    sites = choose(drawn, seed)
    pooled = {"pooled": [one for some in sites.values() for one in some]}
    runs: dict[str, Sites] = {vendor: {vendor: some} for vendor, some in sites.items()}
    runs |= {"federated": sites, "pooled": pooled}
    return {name: figures(name, some, drawn, seed, rounds) for name, some in runs.items()}


def leave_out(drawn: Mapping[str, Drawn], seed: int, rounds: int) -> dict[str, Figures]:
    """All of them federated, without one of the precautions."""
    sites = choose(drawn, seed)
    return {name: figures(name, sites, drawn, seed, rounds, task) for name, task in ABLATIONS.items()}


def figures(
    name: str, sites: Sites, drawn: Mapping[str, Drawn], seed: int, rounds: int, task: Density | None = None
) -> Figures:
    """Those of a run, kept under `build/`, so that a benchmark that was ended goes on where it was."""
    path = CACHE.with_name(f"federated_learning {rounds} {seed} {name}.json")
    if not path.exists():
        found = test(learn(sites, seed, rounds, task or Density()), drawn)
        path.write_text(json.dumps(found))
    kept: Figures = json.loads(path.read_text())
    return kept


def choose(drawn: Mapping[str, Drawn], seed: int) -> dict[str, list[Example]]:
    """The exams that each hospital has in this repetition."""
    random = np.random.default_rng(seed)
    return {
        one.vendor: [
            drawn[one.vendor].pool[at] for at in random.permutation(len(drawn[one.vendor].pool))[: one.size]
        ]
        for one in HOSPITALS
    }


def learn(sites: Sites, seed: int, rounds: int, task: Density) -> Weights:
    """A run of these sites: all take part in every round."""
    weights = task.initial(seed)
    for number in range(1, rounds + 1):
        given = []
        for place, (site, examples) in enumerate(sites.items()):
            local = Local(
                EPOCHS, BATCH, annealed(RATE, number, rounds), 1_000_000 * seed + 100 * number + place
            )
            trained = task.train(weights, examples, local)
            given.append(Contribution(site, flatten(trained.weights), trained.examples))
        weights = unflatten(combine(given, Aggregation.MEAN).astype(np.float32), weights)
    return weights


def test(weights: Weights, drawn: Mapping[str, Drawn]) -> Figures:
    """κ on exams that no run learns from."""
    task = Density()
    tested = {vendor: drawn[vendor].tested for vendor in VENDORS}
    tested["all"] = [one for vendor in VENDORS for one in drawn[vendor].tested]
    return {name: task.evaluate(weights, some)["kappa"] for name, some in tested.items()}


def write(found: list[dict[str, Figures]], ablated: list[dict[str, Figures]], rounds: int) -> None:
    rows = [row for vendor in VENDORS for row in compare(found, vendor)]
    rows.append(
        _row("all data", "pooled", [(one["federated"]["all"], one["pooled"]["all"]) for one in found])
    )
    rows += [
        _row(
            "all data",
            name,
            [
                (one["federated"]["all"], other[name]["all"])
                for one, other in zip(found, ablated, strict=False)
            ],
        )
        for name in (ABLATIONS if ablated else ())
    ]
    settings = {"rounds": rounds, "epochs": EPOCHS, "batch": BATCH, "learning_rate": RATE}
    sites = [asdict(one) for one in HOSPITALS]
    keep(
        "federated_learning",
        rows,
        settings=settings,
        sites=sites,
        seeds=len(found),
        repetitions=found,
        ablated=ablated,
    )


def compare(found: list[dict[str, Figures]], vendor: str) -> list[dict[str, Any]]:
    """Federated against a hospital's own model, on its own data and on that of the others."""
    others = [one for one in VENDORS if one != vendor]

    def elsewhere(tested: Figures) -> float:
        return float(np.mean([tested[one] for one in others]))

    return [
        _row(f"{vendor}, own", "local", [(one["federated"][vendor], one[vendor][vendor]) for one in found]),
        _row(
            f"{vendor}, others'",
            "local",
            [(elsewhere(one["federated"]), elsewhere(one[vendor])) for one in found],
        ),
    ]


def _row(on: str, against: str, pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Means over repetitions, and the difference with its 95 % interval (Student's t, paired)."""
    federated, other = np.array(pairs).T
    apart = federated - other
    row = {"tested on": on, "federated": round(float(federated.mean()), 3), "against": against,
           "that one": round(float(other.mean()), 3), "difference": round(float(apart.mean()), 3)}  # fmt: skip
    if len(pairs) < 2:
        return row
    reach = float(stats.t.ppf(0.975, len(pairs) - 1) * stats.sem(apart))
    return row | {"low": round(float(apart.mean()) - reach, 3), "high": round(float(apart.mean()) + reach, 3)}


if __name__ == "__main__":
    main()
