"""sbom.cdx.json and docs/licences.md: of the pinned versions, and nothing under the GPL in what sites import."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
UNPINNED = {"torch", "setuptools"}  # `make constraints` leaves them out: a site chooses its build of PyTorch

sys.path.insert(0, str(ROOT / "tools"))
import sbom  # noqa: E402

as_pinned = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or not find_spec("flwr"), reason="they are of Python 3.11 and all extras"
)


def components(kind: str) -> dict[str, str]:
    """The version of each component of a kind of package."""
    found = json.loads(sbom.SBOM.read_text("utf-8"))["components"]
    return {each["name"]: each["version"] for each in found if each["purl"].startswith(f"pkg:{kind}/")}


def test_every_version_is_the_pinned_one() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    told = {name: version for name, version in components("pypi").items() if name not in UNPINNED}
    assert told == {name: pinned.get(name) for name in told}


@as_pinned
def test_both_are_of_what_is_installed() -> None:
    libraries = sbom.find_libraries()
    assert sbom.SBOM.read_text("utf-8") == sbom.make_sbom(libraries)
    assert sbom.LICENCES.read_text("utf-8") == sbom.make_licences(libraries)


def test_the_bill_is_cyclonedx() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.SBOM.read_text("utf-8")) is None


def test_what_the_pages_bring_is_of_the_versions_that_are_fetched() -> None:
    from gateway.htmx import HTMX
    from gateway.viewer.package import OHIF

    assert components("npm") == {OHIF.name: OHIF.version, HTMX.name: HTMX.version}


def test_nothing_that_a_site_imports_binds_it() -> None:
    found = json.loads(sbom.SBOM.read_text("utf-8"))["components"]
    licences = {
        each["name"]: each["licenses"][0]["expression"]
        for each in found
        if each["purl"].startswith("pkg:pypi/")
    }
    assert [name for name, licence in licences.items() if sbom.binds(licence)] == []


@pytest.mark.parametrize(
    ("licence", "is_bound"),
    [
        ("MIT", False),
        ("LGPL-3.0-only", False),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("MIT OR GPL-2.0-only", False),
        ("MIT AND GPL-2.0-only", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("(MIT OR GPL-2.0-only) AND AGPL-3.0-only", True),
    ],
)
def test_the_gpl_binds_where_there_is_no_other_choice(licence: str, is_bound: bool) -> None:
    assert sbom.binds(licence) is is_bound
