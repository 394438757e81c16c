"""The package that a job evaluates: found by its hash, verified as every package is, or refused."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import psycopg

from archive import job_packages
from archive.errors import BadRequest, NotFound
from archive.findings import Task
from archive.settings import Settings
from federation.evaluation import scoring
from inference import installed, package
from inference.errors import PackageError
from inference.network_check import check_network
from inference.package import Package
from inference.trust import trusted_keys


class NotTrusted(PackageError):
    """A package that nobody trusted has signed, and that no steward has approved by its hash."""


@dataclass(frozen=True, slots=True)
class Model:
    """A package that may be evaluated, in a folder."""

    folder: Path
    task: Task


def find(connection: psycopg.Connection, settings: Settings, sha256: str, folder: Path) -> Model:
    """The package whose passport has this hash: one of the site's own, or one that was sent in, then put into `folder`.

    Raises NotFound, PackageError for one that must not run (NotTrusted where a steward's approval is all that is
    missing), BadRequest for one whose answers can't be held against labels.
    """
    for one in installed.packages(settings.home):
        if one.package and not one.problem and _hash(one.folder) == sha256:
            return _checked(one.package)
    sent = job_packages.read(connection, sha256)
    if sent is None:
        raise NotFound("the package is not here, or its network is not")
    found = package.write(folder / "package", sent.network, sent.passport)
    if found.record_sha256:
        raise PackageError("a package with a record of a federation is evaluated where it was installed")
    check_network(found.read_network(), "the package")
    model = _checked(found)
    if not sent.is_approved:
        _authenticate(found, settings)
    return model


def _authenticate(found: Package, settings: Settings) -> None:
    try:
        found.authenticate(trusted_keys(settings.home))
    except PackageError as error:
        raise NotTrusted("the package is signed by no key that is trusted here") from error


def _checked(found: Package) -> Model:
    scoring.check(found.passport)
    if found.passport.inputs.modality != "MG":
        raise BadRequest("jobs are about mammograms, which the package does not read")
    return Model(found.folder, found.passport.identity.task)


def _hash(folder: Path) -> str:
    return hashlib.sha256(package.read_text(folder)).hexdigest()
