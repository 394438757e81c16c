"""Makes the built-in risk baseline of published figures: `python -m inference.training.risk FOLDER`.

Nothing is trained. The graph holds, for each year of age, the incidence of invasive breast cancer, the mortality of
everything else, and the relative risk of each BI-RADS density category, normalised so that its mean over the published
distribution of categories is 1: the average woman of an age has that age's incidence. Sources: `SOURCES`; docs/risk.md
says how far they reach.

With λ₁ the incidence, λ₂ the competing mortality, both constant within a year of age, and r the relative risk of a
category, the risk within t years is Σ λ₁r / (λ₁r + λ₂) · (1 − exp(−λ₁r − λ₂)) · exp(−Σ earlier λ₁r + λ₂) over the t
years (Gail et al. 1989, equation 6), averaged over the categories by their probabilities.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.answers.risk import YEARS
from inference.evaluation import bootstrap_mean
from inference.features import SIZES
from inference.network import Graph
from inference.package import Package, save
from inference.training.running import Figure, Run, metrics, runner

NAME = "published-risk-baseline"
AGES = range(40, 80)
REFERENCE_AGE = 50
SOURCES = {
    "incidence": "SEER, white women, 1992-96: constants Wh_Avg.1992_96 of BCRA 2.1.2, NCI's Breast Cancer Risk "
    "Assessment Tool",
    "competing_mortality": "NCHS, white women, 1992-96, causes other than breast cancer: the same constants",
    "relative_risk": "Kerlikowske et al. 2010, J Clin Oncol 28:3830-7, doi:10.1200/JCO.2009.26.4770, Table 3: "
    "premenopausal under 50, from 50 on postmenopausal without hormone therapy",
    "distribution": "a 10 %, b 40 %, c 40 %, d 10 %: US National Cancer Institute and CDC, on dense breasts",
    "method": "Gail et al. 1989, J Natl Cancer Inst 81:1879-86, doi:10.1093/jnci/81.24.1879, equation 6",
}

INCIDENCE = {
    40: 0.0011645,
    45: 0.0019525,
    50: 0.0026154,
    55: 0.0030279,
    60: 0.0036757,
    65: 0.0042029,
    70: 0.0047308,
    75: 0.0049425,
    80: 0.0047976,
}
"""Invasive breast cancers a woman and year, from each age for five years."""

COMPETING_MORTALITY = {
    40: 0.0012534,
    45: 0.0019570,
    50: 0.0032984,
    55: 0.0054622,
    60: 0.0091035,
    65: 0.0141854,
    70: 0.0225935,
    75: 0.0361146,
    80: 0.0613626,
}
"""Deaths of other causes than breast cancer a woman and year, from each age for five years."""

PUBLISHED_RISK = {
    40: (0.4, 0.9, 1.5, 1.8),
    45: (0.7, 1.3, 2.1, 2.5),
    50: (0.6, 1.3, 1.8, 2.2),
    55: (0.8, 1.7, 2.4, 2.4),
    60: (1.1, 2.0, 2.7, 2.8),
    65: (1.2, 2.3, 3.2, 3.4),
    70: (1.7, 2.6, 3.4, 3.4),
}
"""Five-year risk in percent of BI-RADS a to d, from each age to the next (the last: 70 to 79)."""

DISTRIBUTION = (0.1, 0.4, 0.4, 0.1)
"""How many women have a, b, c, d."""

Table = npt.NDArray[np.float32]


def at_age(bands: dict[int, Any], age: int) -> Any:
    """What holds at an age: the band that begins last before it."""
    return bands[max(start for start in bands if start <= age)]


def relative_risks(age: int) -> tuple[float, ...]:
    """The relative risk of a, b, c and d at an age; their mean over the distribution is 1."""
    hazards = [-math.log1p(-percent / 100) for percent in at_age(PUBLISHED_RISK, age)]
    mean = sum(share * hazard for share, hazard in zip(DISTRIBUTION, hazards, strict=True))
    return tuple(hazard / mean for hazard in hazards)


def build_network() -> bytes:
    """`features` (1, 5), age in years and the probabilities of a to d, to `probabilities` (1, 5).

    `contributions` (1, 2) are the incidence of the next five years against that from the age of 50 on, and the
    relative risk of the density against the average woman of that age.
    """
    graph = Graph()
    row = _age_row(graph)
    new, others = (_gather(graph, _yearly(bands), row) for bands in (INCIDENCE, COMPETING_MORTALITY))
    ratios = _gather(graph, np.array([relative_risks(age) for age in AGES]), row)
    density = graph.add("Slice", ["features", *(graph.tensor([at], np.int64) for at in (1, 5, 1))])
    hazards = graph.add("Mul", [graph.reshape(ratios, [4, 1]), new])
    graph.add("MatMul", [density, _cumulative(graph, hazards, others)], "probabilities")
    by_age = _gather(graph, _yearly(INCIDENCE).sum(axis=1, keepdims=True) / _reference(), row)
    by_density = graph.add("ReduceSum", [graph.add("Mul", [density, ratios]), graph.tensor([1], np.int64)])
    graph.add("Concat", [by_age, by_density], "contributions", axis=1)
    outputs = {"probabilities": [1, YEARS], "contributions": [1, 2]}
    return graph.build(NAME, {"features": [1, sum(SIZES.values())]}, outputs)


def _age_row(graph: Graph) -> str:
    """Which row of a table by age stands for the woman's: whole years, kept within the table."""
    years = graph.add("Slice", ["features", *(graph.tensor([at], np.int64) for at in (0, 1, 1))])
    whole = graph.add("Floor", [graph.reshape(years, [1])])
    kept = graph.add("Clip", [whole, graph.tensor(AGES[0]), graph.tensor(AGES[-1])])
    return graph.add("Cast", [graph.add("Sub", [kept, graph.tensor(AGES[0])])], to=7)  # to int64


def _gather(graph: Graph, table: npt.NDArray[np.floating[Any]], row: str) -> str:
    return graph.add("Gather", [graph.tensor(table), row], axis=0)


def _yearly(bands: dict[int, float]) -> npt.NDArray[np.float64]:
    """The rates of the next years from each age on, (ages, years)."""
    return np.array([[at_age(bands, age + year) for year in range(YEARS)] for age in AGES])


def _reference() -> float:
    return float(_yearly(INCIDENCE)[AGES.index(REFERENCE_AGE)].sum())


def _cumulative(graph: Graph, hazards: str, others: str) -> str:
    """The risk within each year, (categories, years), of hazards (categories, years) beside others (1, years)."""
    axis = graph.tensor(1, np.int64)
    total = graph.add("Add", [hazards, others])
    before = graph.add("CumSum", [total, axis], exclusive=1)
    free = graph.add("Exp", [graph.add("Neg", [before])])
    event = graph.add("Sub", [graph.tensor(1.0), graph.add("Exp", [graph.add("Neg", [total])])])
    share = graph.add("Mul", [graph.add("Div", [hazards, total]), event])
    return graph.add("CumSum", [graph.add("Mul", [share, free]), axis])


def measure(run: Run) -> dict[str, Figure]:
    """How far the five-year risks lie from the published ones, in percentage points, over ages and categories.

    The relative risks come from the same table, so this tells how well incidence and distribution fit them.
    """
    differences = []
    for start, risks in PUBLISHED_RISK.items():
        for category, percent in enumerate(risks):
            features = np.array([[start + 2, *np.eye(4)[category]]], np.float32)
            differences.append(abs(100 * float(run(features)["probabilities"][0, -1]) - percent))
    found = np.array(differences)
    return {
        "mean difference from published five-year risks, percentage points": (
            float(found.mean()),
            *bootstrap_mean(found),
        )
    }


def passport(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "identity": {
            "name": NAME,
            "title": "Risk baseline of published figures",
            "version": "1.0.0",
            "task": "risk",
            "intended_use": "A baseline to compare risk models with: what age and breast density alone tell.",
            "licence": "Apache-2.0",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "MG",
            "presentation_intent": "FOR PRESENTATION",
            "views": ["L CC", "R CC", "L MLO", "R MLO"],
            "per": "exam",
            "ages": [AGES[0], AGES[-1]],
            "features": ["age", "density"],
        },
        "outputs": {
            "kind": "risk",
            "concept": {"value": "111047", "scheme": "DCM", "meaning": "Probability of cancer"},
        },
        "training": {
            "trained_on": "nothing: made of published figures on populations",
            "citation": "inference/training/risk.py",
            "provenance": SOURCES,
        },
        "metrics": figures,
    }


def main(folder: Path) -> Package:
    """Write the package into a folder."""
    content = build_network()
    measured_on = (
        f"{4 * len(PUBLISHED_RISK)} published five-year risks (Kerlikowske et al. 2010, Table 3); no patients"
    )
    return save(folder, content, passport(metrics(measure(runner(content)), measured_on)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the built-in risk baseline of published figures.")
    parser.add_argument("folder", type=Path, help="where to write the model package")
    for metric in main(parser.parse_args().folder).passport.metrics:
        print(f"{metric.name}: {metric.value} ({metric.low} to {metric.high})")
