"""From what a person asks for to a run that sites can decide on: by a form of the hub's pages, or by a command."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from psycopg import Connection

from archive import run_requests
from archive.datasets import parse_name
from archive.errors import BadRequest, Conflict
from archive.federation_roles import read_hub
from archive.purpose import Purpose
from archive.run_requests import Asked
from archive.settings import Settings
from federation.code import code_hash
from federation.evaluation.scoring import check
from federation.hub.proposal import new_run, propose
from federation.manifest import Aggregation, Kind, Manifest, Strategy
from federation.training.task import Privacy, task_of
from federation.training.weights import flatten, weights_hash
from inference import installed
from inference.errors import KeyFileError, PackageError
from inference.package import Package, read_text
from inference.trust import trusted_keys

Choice = TypeVar("Choice", bound=StrEnum)
_PLAIN = ("epochs", "batch", "learning_rate", "patience", "parameters")
_PRIVATE = ("noise", "max_grad_norm", "delta")
Content = Mapping[str, tuple[bytes, bytes]]
"""Passports and networks by the SHA-256 of the passports."""


def answer_requests(settings: Settings, connection: Connection) -> None:
    """Propose the runs that were asked for, each in a transaction of its own, or say why it can't be."""
    for asked in run_requests.due(connection):
        try:
            with connection.transaction():
                run = _propose(settings, connection, asked)
                run_requests.end(connection, asked.number, run=run)
        except (BadRequest, Conflict, PackageError, KeyFileError) as error:
            run_requests.end(connection, asked.number, refusal=str(error))


def _propose(settings: Settings, connection: Connection, asked: Asked) -> str:
    terms = asked.terms
    manifest, content = (
        (training(settings, terms), {})
        if terms["kind"] == Kind.TRAINING
        else evaluation(
            *(settings, terms["models"], terms["dataset"]),
            purpose=Purpose(terms["purpose"]),
            min_sites=terms["min_sites"],
        )
    )
    propose(settings, connection, manifest, content, by=asked.asked_by)
    return manifest.run


def training(settings: Settings, terms: Mapping[str, Any]) -> Manifest:
    """The manifest of a training, by the names of the command's options; what is not among `terms` is as it is there.

    Without a norm bound a change is taken that is as large as the weights that the run begins with, and no larger: a
    site's honest rounds stay far below it, and no site outweighs all others. Raises BadRequest, and Conflict where this
    node is no hub.
    """
    parse_name(terms["dataset"])
    seed = terms.get("seed", 0)
    initial = task_of(terms["task"]).initial(seed)
    bound = terms.get("norm_bound")
    rest = {name: terms[name] for name in _PLAIN if name in terms}
    return Manifest(
        run=new_run(),
        kind=Kind.TRAINING,
        task=terms["task"],
        dataset=terms["dataset"],
        purpose=Purpose(terms["purpose"]),
        hub=_hub(settings),
        created_at=datetime.now(UTC),
        rounds=terms["rounds"],
        min_sites=terms["min_sites"],
        code=code_hash(),
        initial=weights_hash(initial),
        seed=seed,
        norm_bound=round(float(np.linalg.norm(flatten(initial))), 3) if bound is None else bound,
        strategy=_choice(Strategy, terms["strategy"]),
        aggregation=_choice(Aggregation, terms.get("aggregation", Aggregation.MEAN)),
        privacy=Privacy(*(terms[name] for name in _PRIVATE if name in terms)),
        **rest,
    )


def _choice(kind: type[Choice], text: str) -> Choice:
    try:
        return kind(text)
    except ValueError:
        raise BadRequest(f"a {kind.__name__.lower()} is one of {', '.join(kind)}") from None


def evaluation(
    settings: Settings, models: Sequence[str], dataset: str, *, purpose: Purpose, min_sites: int
) -> tuple[Manifest, Content]:
    """The manifest of an evaluation of packages, and these.

    `models` are names, names with versions, or folders. Raises BadRequest for packages of several tasks, PackageError
    for one that must not run here, and Conflict where this node is no hub.
    """
    parse_name(dataset)
    packages = [_package(settings, name) for name in models]
    for one in packages:
        check(one.passport)
    tasks = {one.passport.identity.task for one in packages}
    if len(tasks) != 1:
        raise BadRequest("packages that are evaluated together are one at least, and have one task")
    content = {
        hashlib.sha256(passport).hexdigest(): (passport, network)
        for passport, network in map(_read, packages)
    }
    manifest = Manifest(
        run=new_run(),
        kind=Kind.EVALUATION,
        task=tasks.pop(),
        dataset=dataset,
        purpose=purpose,
        hub=_hub(settings),
        created_at=datetime.now(UTC),
        rounds=len(content),
        min_sites=min_sites,
        code=code_hash(),
        packages=tuple(content),
    )
    return manifest, content


def _hub(settings: Settings) -> str:
    hub = read_hub(settings)
    if hub is None:
        raise Conflict("this node is the hub of no federation: `senogate federation init` makes it one")
    return hub.name


def _package(settings: Settings, name: str) -> Package:
    """A package of the site, or in a folder, that may run here. Raises PackageError."""
    folder = Path(name)
    if folder.is_absolute() and folder.is_dir():
        return installed.inspect(folder, trusted_keys(settings.home)).runnable()
    exact = [one for one in installed.packages(settings.home) if one.reference == name]
    return (exact[0] if exact else installed.look_up(settings.home, name)).runnable()


def _read(package: Package) -> tuple[bytes, bytes]:
    return read_text(package.folder), b"" if package.passport.method else package.read_network()
