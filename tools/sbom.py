"""The bill of materials of what a site installs, and the licences of all its parts.

python tools/sbom.py        writes sbom.cdx.json (CycloneDX 1.6) and docs/licences.md, of what is installed beside it
python tools/sbom.py --check    exits with 1 where these are not as they would be written

Refuses to write anything where a library that a site imports is under the GPL or AGPL with no other choice: it would
bind what imports it. What a site runs beside itself, as Orthanc, may be.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from license_expression import ExpressionError, get_spdx_licensing
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SBOM, LICENCES = ROOT / "sbom.cdx.json", ROOT / "docs" / "licences.md"
EXTRAS = ("gateway", "inference", "federation", "traces")
SPDX = get_spdx_licensing()
CLASSIFIED = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
}
SAID_ELSEWHERE = {"httpx-aiohttp": "BSD-3-Clause", "protobuf": "BSD-3-Clause"}
"""Licences of packages whose metadata name none that SPDX knows, as their own licence files say."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a site installs: its licence is an SPDX expression, `kind` a type of package URLs."""

    name: str
    version: str
    licence: str
    kind: str
    what: str = ""


BESIDE = (
    Part("@ohif/app", "3.13.2", "MIT", "npm", "the viewer, in browsers"),
    Part("htmx.org", "2.0.11", "0BSD", "npm", "pages, in browsers"),
    Part("orthanc", "1.12.7", "GPL-3.0-or-later", "deb", "a process of its own"),
    Part(
        "orthanc-python", "5.0", "AGPL-3.0-or-later", "deb", "loads `orthanc_plugin` into Orthanc's process"
    ),
    Part("postgresql", "15 or 17", "PostgreSQL", "deb", "a process of its own"),
    Part("python3", "3.11 to 3.13", "PSF-2.0", "deb", "runs all parts"),
)


def find_libraries() -> list[Part]:
    """Every Python package that a site with all extras imports, by name. Raises SystemExit for one with no licence."""
    found: dict[str, Part] = {}
    due = [(Requirement(f"senogate[{','.join(EXTRAS)}]"))]
    seen: set[str] = set()
    while due:
        requirement = due.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        distribution = metadata.distribution(requirement.name)
        name = canonicalize_name(requirement.name)
        if name != "senogate":
            version = distribution.version.partition("+")[0]
            found[name] = Part(name, version, licence_of(distribution), "pypi")
        due += _required(distribution, requirement.extras)
    return [found[name] for name in sorted(found)]


def _required(distribution: metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(one) for one in environments):
            yield requirement


def licence_of(distribution: metadata.Distribution) -> str:
    """An SPDX expression. Raises SystemExit where the package's metadata don't tell and nothing here does."""
    name = canonicalize_name(distribution.metadata["Name"])
    said = [SAID_ELSEWHERE.get(name), distribution.metadata.json.get("license_expression")]
    said.append(_classified(distribution))
    said.append(distribution.metadata.json.get("license"))
    for expression in filter(None, said):
        try:
            return str(SPDX.parse(expression, validate=True))
        except ExpressionError:
            continue
    sys.exit(f"{name}: its metadata name no licence that SPDX knows; look and add it to SAID_ELSEWHERE")


def _classified(distribution: metadata.Distribution) -> str:
    classifiers = distribution.metadata.get_all("Classifier") or []
    licences = [
        one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: OSI Approved ::")
    ]
    return " AND ".join(CLASSIFIED.get(one, one) for one in licences)


def binds(licence: str) -> bool:
    """Whether whoever imports a library under this licence has to be under the GPL or AGPL, too."""
    return _binds(SPDX.parse(licence))


def _binds(node: object) -> bool:
    operator, arguments = getattr(node, "operator", "").strip(), getattr(node, "args", ())
    if operator == "OR":
        return all(map(_binds, arguments))
    if operator == "AND":
        return any(map(_binds, arguments))
    return re.match(r"A?GPL-", str(node)) is not None and " WITH " not in str(node)


def make_sbom(libraries: list[Part]) -> str:
    """CycloneDX 1.6, the same for the same parts: it has no serial number and no time."""
    version = metadata.version("senogate")
    own = Component(
        name="senogate",
        version=version,
        type=ComponentType.APPLICATION,
        licenses=[LicenseExpression("Apache-2.0")],
        bom_ref="senogate",
    )
    bom = Bom(components=[_component(part) for part in [*libraries, *BESIDE]])
    bom.metadata.component = own
    bom.register_dependency(own, bom.components)
    made = json.loads(JsonV1Dot6(bom).output_as_string())
    del made["serialNumber"], made["metadata"]["timestamp"]
    return json.dumps(made, indent=1) + "\n"


def _component(part: Part) -> Component:
    scope, _, name = part.name.rpartition("/")
    references = []
    if part.kind == "pypi":
        address = XsUri(f"https://pypi.org/project/{part.name}/{part.version}/")
        references = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=address)]
    version = re.sub(r" .*", "", part.version)
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY if part.kind in ("pypi", "npm") else ComponentType.APPLICATION,
        licenses=[LicenseExpression(part.licence)],
        purl=PackageURL(part.kind, scope or ("debian" if part.kind == "deb" else None), name, version),
        bom_ref=f"{part.kind}:{part.name}",
        external_references=references,
    )


def make_licences(libraries: list[Part]) -> str:
    rows = [f"| {part.name} | {part.version} | {part.licence} |" for part in libraries]
    beside = [f"| {part.name} | {part.version} | {part.licence} | {part.what} |" for part in BESIDE]
    return "\n".join([_HEAD, *beside, _LIBRARIES, *rows, ""])


_HEAD = """# Licences

Senogate is under Apache-2.0 ([LICENSE](../LICENSE)). Its models are its own, trained on synthetic phantoms, and under
the same. `make sbom` writes this page and [sbom.cdx.json](../sbom.cdx.json) (CycloneDX 1.6) of what is installed, and
refuses a library under the GPL or AGPL among those that a site imports; LGPL (psycopg) and MPL ask nothing of what
imports them. Wheels carry libraries of their own, of which two are under the LGPL-2.1: GEOS in shapely's, FFmpeg in
OpenCV's.

## Beside the Python

Orthanc and its Python plugin are installed by the site from Debian or from the image that it chooses, and run as a
process of their own. `orthanc_plugin`, which is loaded into it, is under Apache-2.0, which the AGPL takes.

| part | version | licence | is |
|---|---|---|---|"""
_LIBRARIES = """
## Python packages

With the extras gateway, inference, federation and traces. `gpu` takes onnxruntime-gpu (MIT) in place of onnxruntime,
which brings NVIDIA's libraries under NVIDIA's own terms where a site installs them. Versions are those of
`constraints.txt`.

| package | version | licence (SPDX) |
|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    libraries = find_libraries()
    if bound := [part.name for part in libraries if binds(part.licence)]:
        sys.exit(f"under the GPL or AGPL, and imported by sites: {', '.join(bound)}")
    texts = {SBOM: make_sbom(libraries), LICENCES: make_licences(libraries)}
    for path, text in texts.items():
        if not check:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            sys.exit(f"{path.name} is not of what is installed: `make sbom`")


if __name__ == "__main__":
    main()
