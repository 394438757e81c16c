"""A run's manifest in words: what a steward reads before a site takes part. Pure functions on the manifest's text."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from archive.purpose import ARTICLES, Purpose
from gateway.portal.formats import moment, significant
from gateway.portal.languages import gettext, marked
from gateway.portal.words import headed, word

STRATEGIES = {
    "fedavg": marked("the sites' weights, averaged (FedAvg)"),
    "fedprox": marked("averaged, and held near the common ones while they train (FedProx)"),
    "fedadam": marked("averaged, and followed by Adam at the hub (FedAdam)"),
}
AGGREGATIONS = {
    "mean": marked("mean, weighted by exams"),
    "median": marked("median of the sites, coordinate by coordinate"),
    "trimmed-mean": marked("mean without the outermost sites, coordinate by coordinate"),
}
Line = tuple[str, str, bool]
"""What it is, what it says, and whether that is a hash; both in the language of the request."""


def title_of(manifest: Mapping[str, Any]) -> str:
    """What a run does, in few words."""
    return gettext("%(what)s on %(dataset)s") % {"what": _what(manifest), "dataset": manifest["dataset"]}


def _what(manifest: Mapping[str, Any]) -> str:
    text = (
        gettext("training of %(task)s")
        if manifest["kind"] == "training"
        else gettext("evaluation of %(task)s")
    )
    return headed(text % {"task": word(manifest["task"], "task")})


def words_of(manifest: Mapping[str, Any], sha256: str) -> list[Line]:
    """What the run does, what it takes, and what it is bound to."""
    own = _evaluation(manifest) if manifest["kind"] == "evaluation" else _training(manifest)
    sites = gettext("%(number)s at least have to approve it, and to answer in each round")
    asked = {"hub": manifest["hub"], "moment": moment(datetime.fromisoformat(manifest["created_at"]))}
    return [
        (gettext("What"), _what(manifest), False),
        (
            gettext("Dataset"),
            gettext("%(dataset)s, as each site has it") % {"dataset": manifest["dataset"]},
            False,
        ),
        (gettext("Purpose"), _purpose(Purpose(manifest["purpose"])), False),
        (gettext("Asked by"), gettext("the hub %(hub)s, %(moment)s") % asked, False),
        (gettext("Sites"), sites % {"number": manifest["min_sites"]}, False),
        *own,
        (gettext("Code"), manifest["code"], True),
        (gettext("Manifest"), sha256, True),
    ]


def _purpose(purpose: Purpose) -> str:
    called = word(purpose.value, "purpose")
    return f"{called} ({ARTICLES[purpose]})" if purpose in ARTICLES else called


def _evaluation(manifest: Mapping[str, Any]) -> list[Line]:
    packages = manifest["packages"]
    signed = gettext("%(number)s, each signed by a key that the site trusts") % {"number": len(packages)}
    told = gettext(
        "counts of patients who are held out, none below the site's bound; no image, no answer of a model"
    )
    return [
        (gettext("Packages"), signed, False),
        *((gettext("Passport"), one, True) for one in packages),
        (gettext("What leaves"), told, False),
    ]


def _training(manifest: Mapping[str, Any]) -> list[Line]:
    leaves = gettext("weights, figures on held-out exams, and a signed statement; no image, no label")
    lines = [
        (gettext("Rounds"), _rounds(manifest)),
        (gettext("A round"), _round(manifest)),
        (gettext("Weights"), _weights(manifest)),
        (gettext("Taken of them"), _taken(manifest)),
        (gettext("Privacy"), _privacy(manifest["privacy"])),
        (gettext("What leaves"), leaves),
    ]
    return [
        *((name, text, False) for name, text in lines),
        (gettext("Begins with"), manifest["initial"], True),
    ]


def _rounds(manifest: Mapping[str, Any]) -> str:
    told = {"rounds": manifest["rounds"], "patience": manifest["patience"]}
    if not told["patience"]:
        return str(told["rounds"])
    return gettext("%(rounds)s, or %(patience)s without getting better") % told


def _round(manifest: Mapping[str, Any]) -> str:
    told = {name: manifest[name] for name in ("epochs", "batch", "seed")}
    text = gettext(
        "%(epochs)s × all exams of the site, %(batch)s at once, at a rate of %(rate)s; seed %(seed)s"
    )
    return text % {**told, "rate": significant(manifest["learning_rate"])}


def _weights(manifest: Mapping[str, Any]) -> str:
    parameters = ", ".join(
        f"{name} {significant(value)}" for name, value in sorted(manifest["parameters"].items())
    )
    joined = STRATEGIES[manifest["strategy"]]
    return gettext(joined) + (f"; {parameters}" if parameters else "")


def _taken(manifest: Mapping[str, Any]) -> str:
    taken, bound = AGGREGATIONS[manifest["aggregation"]], manifest["norm_bound"]
    refused = gettext("changes above the norm %(bound)s are refused")
    return gettext(taken) + (f"; {refused % {'bound': significant(bound)}}" if bound else "")


def _privacy(privacy: Mapping[str, float]) -> str:
    if not privacy["noise_multiplier"]:
        return gettext("not differentially private: the weights may tell of exams that they learnt from")
    told = {name: significant(privacy[name]) for name in ("noise_multiplier", "max_grad_norm", "delta")}
    return (
        gettext(
            "differentially private: noise of %(noise_multiplier)s × %(max_grad_norm)s, reported for δ = %(delta)s"
        )
        % told
    )


def read(text: bytes) -> dict[str, Any]:
    """A manifest that was signed, and so is well formed."""
    found: dict[str, Any] = json.loads(text)
    return found
