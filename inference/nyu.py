"""Turns the published NYU histogram density weights into a model package.

The model is the histogram baseline of Wu et al., "Breast density classification with deep convolutional
neural networks" (ICASSP 2018, arXiv:1711.03674). Its weights are published, BSD 2-Clause, as `WEIGHTS_PATH`
of `REPOSITORY`.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.density import passport_outputs
from inference.errors import WeightsError
from inference.network import Layers, build_classifier
from inference.package import Package, save
from inference.torch_pickle import MAX_BYTES, read_tensors

REPOSITORY = "https://github.com/nyukat/breast_density_classifier"
WEIGHTS_PATH = "saved_models/BreastDensity_BaselineHistogramModel/model.p"
WEIGHTS_SHA256 = "a56eb45ca5a9cd77326b0bee940291d19c7b03215c7880523181972e78f73117"
SHAPES = {"fc1.weight": (100, 200), "fc1.bias": (100,), "fc2.weight": (4, 100), "fc2.bias": (4,)}

logger = logging.getLogger(__name__)


def import_histogram_model(weights: Path, destination: Path) -> Package:
    """Read the published weights and write them, as `convert` does, as an unsigned package into `destination`."""
    return save(destination, *convert(weights))


def convert(weights: Path) -> tuple[bytes, dict[str, Any]]:
    """The network and the passport of the published weights.

    Weights of the right shape that are not the published ones are taken, with a warning, and the passport
    says so. Raises WeightsError for a file that does not hold such weights.
    """
    content = _read(weights)
    layers = _layers(content)
    published = hashlib.sha256(content).hexdigest() == WEIGHTS_SHA256
    if not published:
        logger.warning(
            "the weights are not those published (sha256 %s); the passport says so", WEIGHTS_SHA256
        )
    return build_classifier(layers, "histograms"), _passport(published)


def _layers(content: bytes) -> Layers:
    try:
        tensors = read_tensors(content)
    except WeightsError as error:
        raise WeightsError(f"{error}; {_where()}") from error
    if {name: tensor.shape for name, tensor in tensors.items()} != SHAPES or not _finite(tensors):
        raise WeightsError(f"the weights are not those of the histogram density model; {_where()}")
    return [(tensors[f"fc{n}.weight"], tensors[f"fc{n}.bias"]) for n in (1, 2)]


def _finite(tensors: dict[str, npt.NDArray[np.float32]]) -> bool:
    return all(bool(np.isfinite(tensor).all()) for tensor in tensors.values())


def _read(weights: Path) -> bytes:
    try:
        if weights.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{weights} is too large to be the histogram density model; {_where()}")
        return weights.read_bytes()
    except OSError as error:
        raise WeightsError(f"{weights} can't be read ({error.strerror}); {_where()}") from error


def _where() -> str:
    return f"the right ones are published as {WEIGHTS_PATH} in {REPOSITORY}, sha256 {WEIGHTS_SHA256}"


def _passport(published: bool) -> dict[str, Any]:
    trained_on = (
        "screening exams at NYU (Wu et al. 2018)" if published else "unknown: not the published weights"
    )
    return {
        "identity": {
            "name": "nyu-density" if published else "nyu-density-changed",
            "title": "NYU histogram density model"
            if published
            else "NYU histogram density model, changed weights",
            "version": "1.0.0",
            "task": "density",
            "intended_use": "BI-RADS breast composition of a screening exam. Research use only.",
            "licence": "BSD-2-Clause",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "MG",
            "presentation_intent": "FOR PRESENTATION",
            "views": ["L CC", "R CC", "L MLO", "R MLO"],
            "per": "exam",
            "implants": "refuse",
            "preprocessing": [{"name": "histogram", "bins": 50}],
        },
        "outputs": passport_outputs(),
        "training": {"trained_on": trained_on, "citation": "arXiv:1711.03674"},
    }
