"""The end of a run: its best weights become a signed package with their record inside, a model of the federation."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection

from archive import audit, provenance, secrets
from archive.audit import Event, instant
from archive.errors import BadRequest, NotFound
from archive.provenance import FederationModel
from archive.runs import Run
from archive.settings import Settings
from federation.manifest import Manifest, parse_manifest
from federation.provenance import passport
from federation.provenance.record import End, Round, parse_entry
from federation.provenance.verification import TRAIN, Provenance, verify
from federation.training.task import Weights, task_of
from federation.training.weights import weights_hash
from inference import installed
from inference.package import Package

SUBJECT = "site:federation"
_OTHERS = ("primary", "examples", "held_out")  # of a statement's metrics: these are no figures of their own
_WHOLE = 10  # degrees of freedom up to which quantiles stand in the table
_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Of Student's t at 0.975, with 1 to 10 degrees of freedom."""


def register(
    settings: Settings, connection: Connection, run: Run, weights: Weights, key: Ed25519PrivateKey
) -> Package:
    """Export the weights, which a round of the run ended with, close the run's record and make the package of both.

    `key` is the hub's federation key, which signs the record; the package is signed with the hub's model key. Belongs
    to the connection's transaction. Again for the same run it gives the package that is there. Raises PackageError,
    NotFound where no round ended with the weights, and BadRequest for a record that does not verify.
    """
    manifest = parse_manifest(run.manifest)
    if provenance.ended(connection, run.run):
        return installed.look_up(settings.home, manifest.model, manifest.version).runnable()
    network, tables = task_of(manifest.task).export(weights)
    private = _model_key(settings)
    head = provenance.latest(connection, run.run)
    reached = weights_hash(weights)
    end = End(
        run=run.run,
        number=head.number + 1,
        previous=head.sha256,
        at=instant(datetime.now(UTC)),
        best=_round_of(connection, head.sha256, manifest, reached),
        weights=reached,
        network=hashlib.sha256(network).hexdigest(),
        model=manifest.model,
        version=manifest.version,
        model_key=base64.b64encode(private.public_key().public_bytes_raw()).decode("ascii"),
    )
    passport.record_end(connection, key, end)
    lines = passport.lines(connection, provenance.latest(connection, run.run).sha256)
    record = b"".join(line.to_bytes() for line in lines)
    verified = verify(record, key.public_key().public_bytes_raw())
    package = installed.make(settings.home, network, complete(tables, verified), private, record)
    _keep(connection, package, end, manifest)
    return package


def complete(tables: Mapping[str, Any], verified: Provenance) -> dict[str, Any]:
    """A task's tables with what the record of a run adds: name, version, provenance and figures."""
    manifest = verified.manifest
    sites = sorted({one.statement.site for each in verified.learnt for one in each.statements})
    named = {"name": manifest.model, "version": manifest.version}
    among = f"{len(sites)} site{'s' if len(sites) != 1 else ''} of the federation {manifest.hub}"
    training = {
        "trained_on": f"dataset {manifest.dataset} of {among}, {len(verified.learnt)} rounds",
        "citation": f"Run {manifest.run} of the federation {manifest.hub}",
        "provenance": {
            "run": manifest.run,
            "manifest_sha256": manifest.sha256,
            "hub": manifest.hub,
            "hub_key_sha256": hashlib.sha256(verified.hub_key).hexdigest(),
            "sites": ", ".join(sites) or "none",
        },
    }
    added = {"identity": {**tables["identity"], **named}, "training": training, "metrics": figures(verified)}
    return {**tables, **added}


def figures(verified: Provenance) -> list[dict[str, Any]]:
    """How the weights that came of a run did on what each site holds out, as one figure with its interval.

    A site counts as it has exams; the interval is Student's t over sites, so that there is none of one site alone.
    """
    told = _held_out(verified)
    names = sorted({name for metrics in told for name in metrics if _is_figure(name)})
    return [made for name in names if (made := _figure(name, [one for one in told if name in one]))]


def _held_out(verified: Provenance) -> list[Mapping[str, float]]:
    """What sites found of the weights, in the round that began with them."""
    if verified.end is None:
        return []
    for each in verified.rounds:
        if (each.round, each.weights_in) == (verified.end.best + 1, verified.end.weights):
            found = [one.statement.metrics for one in each.statements]
            return [metrics for metrics in found if metrics.get("held_out", 0) > 0]
    return []


def _is_figure(name: str) -> bool:
    return name not in _OTHERS and not name.startswith("train_")


def _figure(name: str, told: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    if len(told) < 2:
        return None
    shares = np.array([one["held_out"] for one in told], float)
    values, exams = np.array([one[name] for one in told], float), int(shares.sum())
    shares /= shares.sum()
    mean = float(shares @ values)
    spread = float(shares @ (values - mean) ** 2) / (1 - float(shares @ shares))
    half = quantile(len(told) - 1) * math.sqrt(spread * float(shares @ shares))
    low, high = (-math.inf, math.inf) if name == "loss" else (-1.0, max(1.0, mean))
    return {
        "name": name,
        "value": mean,
        "low": max(mean - half, min(low, mean)),
        "high": min(mean + half, high),
        "measured_on": f"{exams} exams that {len(told)} sites hold out; the interval is over sites",
    }


def quantile(freedom: int) -> float:
    """The 0.975 quantile of Student's t; above 10 degrees of freedom within 0.001 (Cornish and Fisher)."""
    if freedom <= _WHOLE:
        return _QUANTILES[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _round_of(connection: Connection, head: str, manifest: Manifest, reached: str) -> int:
    """The last round of training that ended with the weights; 0 where nothing was better than those it began with."""
    entries = [parse_entry(line) for line in passport.lines(connection, head)]
    trained = [one for one in entries if isinstance(one, Round) and one.stage == TRAIN]
    ended = [one.round for one in trained if one.weights_out == reached]
    if not ended and reached != manifest.initial:
        raise NotFound("no round of the run ended with these weights")
    if not trained:
        raise BadRequest("nothing was trained")
    return max(ended, default=0)


def _model_key(settings: Settings) -> Ed25519PrivateKey:
    path = Path(secrets.model_key(settings))
    return Ed25519PrivateKey.from_private_bytes(secrets.read_key(str(path.parent), path.name))


def _keep(connection: Connection, package: Package, end: End, manifest: Manifest) -> None:
    text = (package.folder / "passport.toml").read_bytes()
    model = FederationModel(
        name=end.model,
        version=end.version,
        task=manifest.task,
        run=end.run,
        passport=hashlib.sha256(text).hexdigest(),
        network=end.network,
        record=package.record_sha256,
        weights=end.weights,
        signed_by=package.passport.signature.key if package.passport.signature else "",
        registered_at=datetime.now(UTC),
    )
    if provenance.register(connection, model):
        detail = {"model": package.reference, "run": end.run, "sha256": end.network, "record": model.record}
        audit.write(connection, Event.MODEL_REGISTERED, subject=SUBJECT, detail=detail)
