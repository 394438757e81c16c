"""Records of the catalogue: what may be told of counts, what a steward may write, and what the shapes say of it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib import Graph, URIRef
from rdflib.namespace import RDF, RDFS

from archive.catalogue import Entry
from archive.catalogue_fields import Node, Written, parse_fields
from archive.errors import BadRequest
from archive.holdings import FEWEST, STEP, Holdings, published
from gateway.catalogue.addresses import Addresses
from gateway.catalogue.record import catalogue_record, dataset_record, point_record
from gateway.catalogue.validation import official_shapes, own_shapes, validate
from gateway.catalogue.vocabulary import DCAT, DCT, EUCAIM, HEALTH, LDP, manufacturer

NODE = Node(
    title="Node", description="A node", publisher="Hospital", publisher_email="data@hospital.example", country="ESP",
    hdab_name="An access body", hdab_page="https://hdab.example/",
)  # fmt: skip
WRITTEN = Written(
    title="Screening", description="Mammograms", keywords=("mammography",), provenance="A screening programme",
    contact_email="steward@hospital.example",
)  # fmt: skip
HELD = Holdings(
    individuals=118, studies=151, series=200, images=803, modalities={"MG": 149},
    manufacturers={"GE MEDICAL SYSTEMS": 90},
    sexes={"F": 118}, ages={"45": 70, "60": 81}, years={"2019": 100, "2021": 51},
)  # fmt: skip
WHERE = Addresses("https://node.example")
NOW = datetime(2026, 11, 23, tzinfo=UTC)
ENTRY = Entry(3, "screening", WRITTEN, HELD, published(HELD), "1.0.0", NOW, NOW, NOW)
IT = URIRef("https://node.example/catalogue/screening")


def record(entry: Entry = ENTRY, node: Node = NODE) -> Graph:
    return dataset_record(node, entry, WHERE) + catalogue_record(node, [entry.name], NOW, WHERE)


def test_a_record_conforms_to_eucaims_shapes() -> None:
    assert validate(record()) == []


@pytest.mark.parametrize("rights", ["NON_PUBLIC", "RESTRICTED", "PUBLIC"])
def test_a_record_conforms_to_the_official_shapes_of_its_rights(shared: Path, rights: str) -> None:
    """HealthDCAT-AP release 8."""
    entry = replace(ENTRY, written=replace(WRITTEN, rights=rights))
    assert validate(record(entry), str(shared / "reference")) == []


def test_a_record_without_an_access_body_fails_the_official_shapes(shared: Path) -> None:
    """EUCAIM lets it be left out while none is designated; release 8 does not."""
    told = validate(record(node=replace(NODE, hdab_name="")), str(shared / "reference"))
    assert any(line.about == "hdab" for line in told)


def test_the_official_example_conforms_but_for_what_it_leaves_to_vocabularies(shared: Path) -> None:
    folder = str(shared / "reference")
    example = Graph().parse(shared / "reference/healthdcat-ap-r8/examples/example-healthdcat-dataset.ttl")
    assert len(official_shapes(folder, "NON_PUBLIC")) > 500
    told = validate(example, folder)
    assert not any("accessRights" in line.about for line in told)


MANDATORY = [
    DCT.identifier, DCT.title, DCT.description, DCAT.version, EUCAIM.interoperabilityLevel, DCAT.distribution,
    DCAT.contactPoint, DCAT.theme, HEALTH.healthCategory, DCT.type, DCT.accessRights, DCT.publisher,
    HEALTH.hasStructuredData, HEALTH.numberOfUniqueIndividuals, HEALTH.numberOfRecords, EUCAIM.hasBirthSex,
    EUCAIM.hasCondition, EUCAIM.collectionMethod, EUCAIM.hasImageModality, EUCAIM.hasEquipmentManufacturer,
    EUCAIM.hasImageBodyPart, DCAT.keyword, DCT.provenance,
]  # fmt: skip


@pytest.mark.parametrize("term", MANDATORY)
def test_each_mandatory_property_is_missed(term: URIRef) -> None:
    """EUCAIM-DCAT-AP 2.0, Dataset."""
    graph = record()
    graph.remove((IT, term, None))
    assert [
        line for line in validate(graph) if line.about.startswith(term.rpartition("/")[2].rpartition("#")[2])
    ]


def test_a_broken_record_is_told_without_its_values() -> None:
    graph = record(replace(ENTRY, version="A^Secret"))
    assert list(map(str, validate(graph))) == [
        "version: A dataset has one version, semantic or of the calendar."
    ]


def test_the_shapes_are_read_once() -> None:
    assert own_shapes() is own_shapes()


@pytest.mark.parametrize(
    ("graph", "relation", "member"),
    [
        (point_record(NODE, WHERE, NOW, NOW), "https://w3id.org/fdp/fdp-o#metadataCatalog", WHERE.catalogue),
        (catalogue_record(NODE, ["screening"], NOW, WHERE), str(DCAT.dataset), str(IT)),
        (dataset_record(NODE, ENTRY, WHERE), str(DCAT.distribution), WHERE.distribution("screening")),
    ],
    ids=["point", "catalogue", "dataset"],
)
def test_a_harvester_goes_from_each_layer_to_the_one_below(graph: Graph, relation: str, member: str) -> None:
    """LDP 1.0 section 5.4: what a direct container contains, its resource has by the relation."""
    (container,) = graph.subjects(RDF.type, LDP.DirectContainer)
    assert [str(one) for one in graph.objects(container, LDP.contains)] == [member]
    (of,) = graph.objects(container, LDP.membershipResource)
    (by,) = graph.objects(container, LDP.hasMemberRelation)
    assert str(by) == relation and (of, by, URIRef(member)) in graph


def test_a_point_leads_to_its_catalogue() -> None:
    graph = point_record(NODE, WHERE, NOW, NOW)
    assert (URIRef(WHERE.point), None, URIRef(WHERE.catalogue)) in graph


def test_numbers_are_those_that_may_be_told() -> None:
    graph = record()
    assert str(graph.value(IT, HEALTH.numberOfUniqueIndividuals)) == "120"
    assert str(graph.value(IT, HEALTH.maxTypicalAge)) == "64"


def test_a_dataset_of_few_tells_none() -> None:
    held = Holdings(individuals=4, studies=4, sexes={"F": 4}, modalities={"MG": 4})
    graph = record(replace(ENTRY, told=published(held)))
    assert str(graph.value(IT, HEALTH.numberOfRecords)) == "0"
    assert validate(graph) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("HOLOGIC, Inc.", "IMG1000064"),
        ("GE MEDICAL SYSTEMS", "IMG1000047"),
        ("Lorad", "IMG1000064"),
        ("", "IMG1000010"),
    ],
)
def test_manufacturers_have_the_ontologys_terms(name: str, code: str) -> None:
    assert manufacturer(name) == str(EUCAIM[code])


counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60), max_size=8)


@given(counts)
def test_no_small_count_is_published(densities: dict[str, int]) -> None:
    told = published(Holdings(individuals=99, densities=densities)).densities
    assert all(count >= FEWEST and count % STEP == 0 for count in told.values())


def test_studies_of_few_patients_are_not_told() -> None:
    """Twenty studies may be of one patient, who is fewer than five."""
    held = replace(
        HELD, densities={"a": 20, "b": 40, "c": 70}, tomosynthesis=30,
        patients={"densities": {"a": 4, "b": 30, "c": 60}, "tomosynthesis": {"all": 2}},
    )  # fmt: skip
    told = published(held)
    assert (told.densities, told.tomosynthesis, told.patients) == ({"c": 70}, 0, {})


@pytest.mark.parametrize(
    ("lesions", "patients", "told"),
    [
        ({"read": 90, "marked": 25}, {"read": 80, "marked": 20, "unmarked": 60}, {"read": 90, "marked": 25}),
        ({"read": 90, "marked": 25}, {"read": 80, "marked": 4, "unmarked": 76}, {"read": 90}),
        ({"read": 90, "marked": 87}, {"read": 80, "marked": 79, "unmarked": 3}, {"read": 90}),
        ({"read": 90, "marked": 0}, {"read": 80, "unmarked": 80}, {"read": 90}),
        ({"read": 30, "marked": 30}, {"read": 4, "marked": 4}, {}),
    ],
    ids=["many", "few with a lesion", "few without", "none with a lesion", "few were read"],
)
def test_lesions_of_few_patients_are_told_neither_way(
    lesions: dict[str, int], patients: dict[str, int], told: dict[str, int]
) -> None:
    """None, few, and all but few look alike."""
    held = Holdings(individuals=99, lesions=lesions, patients={"lesions": patients})
    assert published(held).lesions == told


def test_a_dataset_of_few_patients_tells_nothing() -> None:
    assert published(replace(HELD, individuals=4)) == Holdings()


@given(counts)
def test_a_single_hidden_count_is_never_alone(densities: dict[str, int]) -> None:
    """Else it could be found by taking what is shown from the total."""
    told = published(Holdings(individuals=99, densities=densities)).densities
    hidden = [name for name, count in densities.items() if count and name not in told]
    assert len(hidden) != 1 or len([one for one in densities.values() if one]) == 1


@given(st.integers(0, 10**7))
def test_a_total_is_rounded(studies: int) -> None:
    told = published(Holdings(individuals=99, studies=studies)).studies
    assert told % STEP == 0
    assert abs(told - studies) < STEP


@pytest.mark.parametrize(
    "fields",
    [
        {"titel": "x"}, {"title": 3}, {"keywords": "one"}, {"keywords": [1]}, {"rights": "OPEN"}, {"access": []},
        {"tier": 4}, {"tier": "3"}, {"contact_email": "nobody"}, {"contact_page": "javascript:alert(1)"},
        {"legislation": ["<x>"]}, {"title": "a\0b"}, {"title": "a\ufffeb"}, {"keywords": ["\ud800"]},
        {"contact_email": "a|b{c@hospital.example"}, {"contact_email": "a?bcc=b@hospital.example"},
        {"description": "x" * 4001}, {"methods": ["guess"]},
    ],
)  # fmt: skip
def test_what_can_not_be_written_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        parse_fields(Written, fields)


def test_what_is_missing_is_named() -> None:
    assert Written(title="x").missing() == (
        "description",
        "keywords",
        "provenance",
        "contact_page or contact_email",
    )


@settings(deadline=None)
@given(st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable() and text.strip()))
def test_any_text_survives_every_form(title: str) -> None:
    """What is written is read back by another reader of RDF."""
    graph = dataset_record(NODE, replace(ENTRY, written=replace(WRITTEN, title=title)), WHERE)
    for form in ("turtle", "json-ld", "xml", "nt"):
        read = Graph().parse(data=graph.serialize(format=form), format=form)
        assert str(read.value(IT, DCT.title)) == title
        assert (IT, RDF.type, DCAT.Dataset) in read


@pytest.mark.parametrize("form", ["turtle", "json-ld", "xml", "nt"])
@pytest.mark.parametrize("licence", ["CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "<x> {y}"])
def test_a_licence_is_an_address_or_a_name(licence: str, form: str) -> None:
    graph = record(replace(ENTRY, written=replace(WRITTEN, licence=licence)))
    read = Graph().parse(data=graph.serialize(format=form), format=form)
    it = read.value(URIRef(f"{IT}/distribution"), DCT.license)
    assert licence in (str(it), str(read.value(it, RDFS.label)))
    assert validate(graph) == []
