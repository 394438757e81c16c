"""Records put to shapes (SHACL): this program's own for EUCAIM's additions, and official ones where a node has them.

Official shapes are not part of this program. A node that has the folders `healthdcat-ap-r8` and `dcat-ap-3.0.0` of them
names the folder above both in `catalogue_shapes`.
"""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from rdflib import Graph, URIRef
from rdflib.namespace import OWL, RDF, SH
from rdflib.term import Node

from archive.errors import ConfigurationError
from gateway.catalogue.findings import Finding
from gateway.catalogue.vocabulary import DCAT, DCT

_MOST_TOLD = 20
_CORE = ("dcat-ap-3.0.0/shapes.ttl", "healthdcat-ap-r8/ranges/range.ttl")
_BY_RIGHTS = {
    "NON_PUBLIC": "healthdcat-ap-r8/shapes/non-public-shapes.ttl",
    "RESTRICTED": "healthdcat-ap-r8/shapes/restricted-shapes.ttl",
    "PUBLIC": "healthdcat-ap-r8/shapes/public-shapes.ttl",
}


def validate(record: Graph, official: str = "") -> list[Finding]:
    """What is wrong with a record, at most twenty findings; empty for one that conforms.

    `official` is the folder of the official shapes, if there is one. Raises ConfigurationError where it lacks a file.
    """
    found = _violations(record, own_shapes())
    if official:
        found += _violations(record, official_shapes(official, _rights(record)))
    return list(dict.fromkeys(found))[:_MOST_TOLD]


@cache
def own_shapes() -> Graph:
    """This program's shapes."""
    text = resources.files("gateway.catalogue").joinpath("shapes.ttl").read_text("utf-8")
    return Graph().parse(data=text, format="turtle")


@cache
def official_shapes(folder: str, rights: str) -> Graph:
    """The official shapes for a dataset of these access rights, made so that they can be run."""
    shapes = Graph()
    for name in (*_CORE, _BY_RIGHTS[rights]):
        try:
            shapes.parse(Path(folder, name), format="turtle")
        except (OSError, ValueError, SyntaxError) as error:
            raise ConfigurationError(f"catalogue_shapes lacks {name} ({type(error).__name__})") from None
    shapes.remove((None, OWL.imports, None))
    for owner, of in [
        (owner, of) for owner, of in shapes.subject_objects(SH.property) if (of, SH.path, None) not in shapes
    ]:
        shapes.remove(
            (owner, SH.property, of)
        )  # alternatives among shapes, given as if they were of a property
        shapes.add((owner, SH.node, of))
        shapes.add((of, RDF.type, SH.NodeShape))
    return shapes


def _violations(record: Graph, shapes: Graph) -> list[Finding]:
    from pyshacl import validate as run

    conforms, report, _ = run(record, shacl_graph=shapes, advanced=True, inplace=False, do_owl_imports=False)
    if conforms or not isinstance(report, Graph):
        return []
    results = report.subjects(RDF.type, SH.ValidationResult)
    violations = [one for one in results if (one, SH.resultSeverity, SH.Violation) in report]
    return sorted(_told(report, one) for one in violations)


def _told(report: Graph, result: Node) -> Finding:
    """What shape failed where: a property's name and the shape's own message, never the value."""
    path = report.value(result, SH.resultPath)
    name = str(path).rpartition("/")[2].rpartition("#")[2] if isinstance(path, URIRef) else "a record"
    component = str(report.value(result, SH.sourceConstraintComponent)).rpartition("#")[2]
    shape = report.value(result, SH.sourceShape)
    own = report.value(shape, SH.message) if shape is not None else None
    return Finding(name, str(own or component))


def _rights(record: Graph) -> str:
    """The access rights of the datasets of a record; those that ask for most where it has none."""
    told: Iterable[object] = (
        right
        for dataset in record.subjects(RDF.type, DCAT.Dataset)
        for right in record.objects(dataset, DCT.accessRights)
    )
    names = [str(right).rpartition("/")[2] for right in told]
    return names[0] if names and names[0] in _BY_RIGHTS else "NON_PUBLIC"
