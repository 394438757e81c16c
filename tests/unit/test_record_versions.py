"""Versions of records: their RDF, what changed between them, how they are cited, and when numbers are told anew."""

import json
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import pyoxigraph
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdflib import URIRef
from rdflib.namespace import OWL

from archive.catalogue_fields import Node, Written
from archive.holdings import FEWEST, Holdings, is_due, moved, published
from archive.record_versions import Change, RecordVersion, compare
from gateway.catalogue import citation
from gateway.catalogue.citation import FORMS, citation_of
from gateway.catalogue.record import catalogue_record, point_record
from gateway.catalogue.rendering import state_of
from gateway.catalogue.validation import validate
from gateway.catalogue.version_pages import entry_at
from gateway.catalogue.versioned import current_record, version_record
from gateway.catalogue.vocabulary import ADMS, DCAT, DCT
from tests.unit.test_catalogue import ENTRY, HELD, NODE, NOW, WHERE, WRITTEN

NOW_AT = URIRef("https://node.example/catalogue/screening")


def version(number: int, **values: object) -> RecordVersion:
    made = RecordVersion(number, WRITTEN, NODE, published(HELD), 0, "", f"Notes {number}", NOW)
    return replace(made, **values)


VERSIONS = [version(3), version(2), version(1)]


def at(number: int) -> URIRef:
    return URIRef(f"{NOW_AT}/versions/{number}")


def test_the_newest_record_names_all_versions() -> None:
    """DCAT 3 section 11.1, version chain and hierarchy."""
    graph = current_record(NODE, ENTRY, VERSIONS, WHERE)
    assert set(graph.objects(NOW_AT, DCAT.hasVersion)) == {at(1), at(2), at(3)}
    assert set(graph.objects(NOW_AT, DCT.hasVersion)) == {at(1), at(2), at(3)}
    assert graph.value(NOW_AT, DCAT.hasCurrentVersion) == at(3)


def test_a_version_names_the_one_before_it() -> None:
    """DCAT 3 sections 6.4.26 to 6.4.29."""
    two = VERSIONS[1]
    graph = version_record(entry_at(ENTRY, two), two, VERSIONS, WHERE)
    assert graph.value(at(2), DCAT.previousVersion) == at(1)
    assert graph.value(at(2), DCT.isReplacedBy) == at(3)
    assert graph.value(at(2), DCAT.isVersionOf) == NOW_AT
    assert str(graph.value(at(2), OWL.versionInfo)) == str(graph.value(at(2), DCAT.version)) == "2.0.0"
    assert str(graph.value(at(2), ADMS.versionNotes)) == "Notes 2"


def test_the_first_version_follows_none() -> None:
    graph = version_record(entry_at(ENTRY, VERSIONS[2]), VERSIONS[2], VERSIONS, WHERE)
    assert graph.value(at(1), DCAT.previousVersion) is None


@pytest.mark.parametrize("folder", ["", "reference"])
def test_versions_conform(shared: Path, folder: str) -> None:
    official = str(shared / folder) if folder else ""
    about = catalogue_record(NODE, ["screening"], NOW, WHERE)
    assert validate(current_record(NODE, ENTRY, VERSIONS, WHERE) + about, official) == []
    old = version_record(entry_at(ENTRY, VERSIONS[1]), VERSIONS[1], VERSIONS, WHERE)
    assert validate(old + about, official) == []


FORMATS = {
    "turtle": pyoxigraph.RdfFormat.TURTLE, "xml": pyoxigraph.RdfFormat.RDF_XML,
    "nt": pyoxigraph.RdfFormat.N_TRIPLES, "json-ld": pyoxigraph.RdfFormat.JSON_LD,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("record", ["dataset", "catalogue", "point"])
def test_another_reader_of_rdf_reads_the_same(form: str, record: str) -> None:
    """Oxigraph's parsers, which share no code with what writes: the same triples, but for the names of blank nodes."""
    graph = {
        "dataset": current_record(NODE, ENTRY, VERSIONS, WHERE),
        "catalogue": catalogue_record(NODE, ["screening"], NOW, WHERE),
        "point": point_record(NODE, WHERE, NOW, NOW),
    }[record]
    text = graph.serialize(format=form, encoding="utf-8")
    read = pyoxigraph.Dataset(pyoxigraph.parse(BytesIO(text), FORMATS[form]))
    wanted = pyoxigraph.Dataset(
        pyoxigraph.parse(BytesIO(graph.serialize(format="nt", encoding="utf-8")), FORMATS["nt"])
    )
    for each in (read, wanted):
        each.canonicalize(pyoxigraph.CanonicalizationAlgorithm.RDFC_1_0)
    assert len(read) == len(graph)
    assert read == wanted


def test_what_changed_is_told() -> None:
    after = version(2, written=replace(WRITTEN, title="New", access=("DOWNLOAD",)), node=Node(title="Other"))
    told = compare(version(1, node=Node(title="Node")), after)
    assert Change("title", "Screening", "New") in told
    assert Change("access", "REMOTE_PROCESSING", "DOWNLOAD") in told
    assert Change("node: title", "Node", "Other") in told


def test_what_is_the_same_is_not_told() -> None:
    assert compare(version(1), version(2)) == []


CITED = citation_of(
    "screening", NODE, replace(WRITTEN, title="A & B {50%}_#", licence="CC BY 4.0"), "2.0.0",
    date(2026, 11, 23), str(at(2)),
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_citation_has_version_date_and_address(form: str) -> None:
    text = FORMS[form].write(CITED)
    assert "2.0.0" in text
    assert "2026" in text
    assert str(at(2)) in text


def test_bibtex_is_escaped_and_balanced() -> None:
    text = citation.bibtex(CITED)
    assert r"{{A \& B \{50\%\}\_\#}}" in text
    assert text.count("{") == text.count("}")


def test_csl_is_an_item_of_its_schema() -> None:
    """CSL-JSON 1.0.2: a list of items; dates as parts."""
    (item,) = json.loads(citation.csl(CITED))
    assert (item["type"], item["issued"]) == ("dataset", {"date-parts": [[2026, 11, 23]]})


def test_datacite_has_all_that_is_mandatory() -> None:
    """DataCite metadata schema 4.5, section 2.2."""
    told = json.loads(citation.datacite(CITED))
    wanted = {"identifiers", "creators", "titles", "publisher", "publicationYear", "types"}
    assert wanted <= told.keys()
    assert told["types"]["resourceTypeGeneral"] == "Dataset"
    assert told["rightsList"] == [{"rights": "CC BY 4.0"}]


def test_words_that_a_steward_wants_are_cited() -> None:
    cited = citation_of(
        "x", NODE, Written(citation="Us (2026)."), "1.0.0", date(2026, 1, 2), "https://a.example"
    )
    assert cited.text == "Us (2026). Version 1.0.0, 2026-01-02. https://a.example"


CELLS = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 60))


def held(individuals: int, sexes: dict[str, int], densities: dict[str, int]) -> Holdings:
    return Holdings(individuals=individuals, sexes=sexes, patients={"densities": densities})


@given(st.integers(5, 90), CELLS, CELLS)
def test_one_patient_more_tells_nothing(
    individuals: int, sexes: dict[str, int], densities: dict[str, int]
) -> None:
    """Whatever she is: each of her counts is one more, and none of what is published changes."""
    before = held(individuals, sexes, densities)
    after = held(
        individuals + 1,
        {each: n + 1 for each, n in sexes.items()},
        {each: n + 1 for each, n in densities.items()},
    )
    assert moved(before, after) == 1
    assert not is_due(before, after)
    assert not is_due(after, before) or individuals < FEWEST


@given(st.integers(0, 90), st.integers(0, 90), CELLS, CELLS)
def test_what_is_told_anew_hides_five_patients(
    before: int, after: int, old: dict[str, int], new: dict[str, int]
) -> None:
    """At least as many patients came or went as one count of patients changed by."""
    was, is_now = held(before, {}, old), held(after, {}, new)
    if is_due(was, is_now) and after >= FEWEST:
        assert (
            max(abs(after - before), *(abs(new.get(each, 0) - old.get(each, 0)) for each in "abcd")) >= FEWEST
        )


def test_patients_with_lesions_are_compared_where_both_were_counted() -> None:
    """Else the first count that has them would tell others anew, too, of fewer patients."""
    before, after = (Holdings(individuals=90, patients=one) for one in ({}, {"lesions": {"marked": 40}}))
    assert not is_due(before, after)
    assert is_due(replace(before, patients={"lesions": {}}), after)


def test_numbers_of_few_are_taken_back() -> None:
    assert is_due(Holdings(individuals=6), Holdings(individuals=4))


def test_a_record_is_written_the_same_each_time() -> None:
    """So that a harvester that asks again is told that nothing changed (RFC 9110 section 13.1.2)."""
    entry = replace(ENTRY, written=replace(WRITTEN, licence="As agreed"))
    one, other = (current_record(NODE, entry, VERSIONS, WHERE) for _ in range(2))
    assert state_of(one) == state_of(other)
    assert [one.serialize(format=form) for form in FORMATS] == [
        other.serialize(format=form) for form in FORMATS
    ]


def test_another_record_is_in_another_state() -> None:
    other = replace(ENTRY, written=replace(WRITTEN, provenance="Another one"))
    told = [current_record(NODE, each, VERSIONS, WHERE) for each in (ENTRY, other)]
    assert state_of(told[0]) != state_of(told[1])
