"""What is installed: Python and its packages, PostgreSQL, Orthanc with what its interpreter imports."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from archive.errors import ConfigurationError
from orthanc_plugin import fitness
from senogate import cluster, orthanc
from senogate.doctor.finding import Finding, act, fine
from senogate.doctor.place import Place

_PYTHONS = ((3, 11), (3, 13))
_EXTRAS = ("gateway", "inference")
_STANDS_FOR = {"onnxruntime": "onnxruntime-gpu"}  # the same modules; a site with a GPU has the latter alone
_EMBEDDED = ("cryptography", "isal", "psycopg", "botocore")


def look(place: Place) -> Iterator[Finding]:
    """What runs a site is there, in versions that fit."""
    yield _python()
    yield _packages()
    if place.runs_here:
        yield _orthanc(place)
        yield _embedded(place)
    if place.has_cluster:
        yield _postgresql(place)


def _python() -> Finding:
    said = ".".join(map(str, sys.version_info[:3]))
    if _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        return fine("python", said)
    return act(
        "python", f"{said} runs this", "Take a Python from 3.11 to 3.13: `make setup` makes the environment."
    )


def _packages() -> Finding:
    wanted = [Requirement(text) for text in requires("senogate") or ()]
    wrong = [problem for each in wanted if _is_needed(each) and (problem := _problem(each))]
    if not wrong:
        return fine("packages", f"all {sum(map(_is_needed, wanted))} fit")
    return act("packages", "; ".join(wrong), "Set the environment up again.", "make setup")


def _is_needed(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *_EXTRAS))


def _problem(requirement: Requirement) -> str:
    name = requirement.name
    found = _installed(name) or _installed(_STANDS_FOR.get(name, name))
    if not found:
        return f"{name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{name} {found} is not {requirement.specifier}"


def _installed(name: str) -> str:
    """The version of a package; empty where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _orthanc(place: Place) -> Finding:
    name = "orthanc-installed"
    try:
        found = orthanc.installed_version(orthanc.program_of(place.settings))
    except ConfigurationError as error:
        return act(name, str(error).rstrip("."), "Set it up.", "make setup")
    except (OSError, subprocess.SubprocessError) as error:
        return act(name, f"it does not run ({type(error).__name__})", "Set it up again.", "make setup")
    if reason := fitness.refusal(found, place.settings.orthanc_untested):
        return act(name, reason, "Set up one that was tested.", "make setup")
    return fine(name, found)


def _embedded(place: Place) -> Finding:
    """The wheels that the plugin imports; an Orthanc without them ends while it starts."""
    folders = (place.settings.orthanc_python or str(orthanc.CHECKOUT / ".orthanc-python")).split(":")
    lacking = [name for name in _EMBEDDED if not any(Path(folder, name).is_dir() for folder in folders)]
    if not lacking:
        return fine("orthanc-python", ":".join(folders))
    return act(
        "orthanc-python", f"{':'.join(folders)} lacks {', '.join(lacking)}", "Set it up again.", "make setup"
    )


def _postgresql(place: Place) -> Finding:
    try:
        cluster.locate(place.settings.home).command()
    except ConfigurationError as error:
        said, _, todo = str(error).partition(": ")
        return act("postgresql-installed", said, "Install the version that made the database.", todo)
    return fine("postgresql-installed", "its programs are there")
