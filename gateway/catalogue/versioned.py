"""Versions of a dataset in RDF, as DCAT 3 section 11 has them: what each is a version of, and which one it follows."""

from collections.abc import Sequence

from rdflib import Graph, Literal, URIRef
from rdflib.namespace import OWL

from archive.catalogue import Entry
from archive.catalogue_fields import Node
from archive.record_versions import RecordVersion
from gateway.catalogue.addresses import Addresses
from gateway.catalogue.record import dataset_record
from gateway.catalogue.vocabulary import ADMS, DCAT, DCT


def current_record(node: Node, entry: Entry, versions: Sequence[RecordVersion], where: Addresses) -> Graph:
    """A dataset as it is now, with the addresses of its versions (newest first)."""
    graph = dataset_record(node, entry, where)
    it = URIRef(where.dataset(entry.name))
    for version in versions:
        of_it = URIRef(where.at(version.number).dataset(entry.name))
        graph.add((it, DCAT.hasVersion, of_it))
        graph.add((it, DCT.hasVersion, of_it))
    for newest in versions[:1]:
        graph.add((it, DCAT.hasCurrentVersion, URIRef(where.at(newest.number).dataset(entry.name))))
        _add_notes(graph, it, newest)
    return graph


def version_record(
    entry: Entry, version: RecordVersion, versions: Sequence[RecordVersion], where: Addresses
) -> Graph:
    """A version as it was issued. `entry` is the dataset as that version had it (`entry_at`)."""
    at = where.at(version.number)
    graph = dataset_record(version.node, entry, at)
    it, now = URIRef(at.dataset(entry.name)), URIRef(where.dataset(entry.name))
    graph.add((it, DCAT.isVersionOf, now))
    graph.add((it, DCT.isVersionOf, now))
    _add_notes(graph, it, version)
    numbers = sorted(each.number for each in versions)
    place = numbers.index(version.number)
    for before in numbers[place - 1 : place] if place else ():
        graph.add((it, DCAT.previousVersion, URIRef(where.at(before).dataset(entry.name))))
    for behind in numbers[place + 1 : place + 2]:
        graph.add((it, DCT.isReplacedBy, URIRef(where.at(behind).dataset(entry.name))))
    return graph


def _add_notes(graph: Graph, it: URIRef, version: RecordVersion) -> None:
    graph.add((it, OWL.versionInfo, Literal(version.version)))
    if version.notes:
        graph.add((it, ADMS.versionNotes, Literal(version.notes, lang="en")))
