"""A record as RDF: the node's catalogue, a dataset with its one distribution, and a FAIR Data Point about them.

Numbers are those that anybody may know (`archive.holdings.published`). Addresses begin with the node's public URL.
Blank nodes are named by what they are of, so that the same record is written the same each time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rdflib import BNode, Graph, Literal, URIRef
from rdflib.namespace import RDF, RDFS, XSD

from archive.catalogue import Entry
from archive.catalogue_fields import KINDS, METHODS, TIERS, Node, is_address
from archive.holdings import Holdings
from gateway.catalogue.addresses import Addresses
from gateway.catalogue.vocabulary import (
    ACCESS,
    BREAST,
    BREAST_CANCER,
    CV,
    DCAT,
    DCATAP,
    DCT,
    EHDS,
    ELI,
    EU,
    EUCAIM,
    FDP,
    FOAF,
    HEALTH,
    HEALTH_AUTHORITY,
    LDP,
    MODALITIES,
    MODALITY,
    PREFIXES,
    SEXES,
    SKOS,
    UNSPECIFIED_SEX,
    VCARD,
    manufacturer,
)


def catalogue_record(
    node: Node, names: Sequence[str], changed_at: datetime | None, where: Addresses
) -> Graph:
    """The catalogue and the addresses of its datasets, without these themselves."""
    graph = _new_graph()
    _add_catalogue(graph, node, names, changed_at, where)
    return graph


def dataset_record(node: Node, entry: Entry, where: Addresses) -> Graph:
    """A dataset with all that EUCAIM-DCAT-AP asks for, and its distribution."""
    graph = _new_graph()
    _add_dataset(graph, node, entry, where)
    _add_distribution(graph, entry, where)
    members = [where.distribution(entry.name)]
    _add_container(graph, URIRef(where.dataset(entry.name)), "Distributions", DCAT.distribution, members)
    return graph


def distribution_record(entry: Entry, where: Addresses) -> Graph:
    """The images of a dataset, which are asked for on its page."""
    graph = _new_graph()
    _add_distribution(graph, entry, where)
    return graph


def point_record(node: Node, where: Addresses, issued: datetime, modified: datetime) -> Graph:
    """The FAIR Data Point that leads to the catalogue (FDP specification 1.2, its metadata service)."""
    graph = _new_graph()
    _add_point(graph, node, where, issued, modified)
    return graph


def _new_graph() -> Graph:
    graph = Graph()
    for prefix, namespace in PREFIXES.items():
        graph.bind(prefix, namespace, override=True)
    return graph


def _add_catalogue(
    graph: Graph, node: Node, names: Sequence[str], changed_at: datetime | None, where: Addresses
) -> None:
    it = URIRef(where.catalogue)
    graph.add((it, RDF.type, DCAT.Catalog))
    graph.add((it, DCT.title, _english(node.title or "Breast imaging datasets")))
    graph.add((it, DCT.description, _english(node.description or "The datasets of this node.")))
    graph.add((it, DCT.publisher, _publisher(graph, node, where)))
    graph.add((it, DCATAP.applicableLegislation, _typed(graph, URIRef(EHDS), ELI.LegalResource)))
    graph.add((it, FOAF.homepage, _typed(graph, it, FOAF.Document)))
    graph.add((it, DCT.language, _typed(graph, EU["language/ENG"], DCT.LinguisticSystem)))
    themes = _typed(graph, EU["data-theme"], SKOS.ConceptScheme)
    graph.add((themes, DCT.title, _english("Data theme")))
    graph.add((it, DCAT.themeTaxonomy, themes))
    if node.country:
        graph.add((it, DCT.spatial, _typed(graph, EU[f"country/{node.country}"], DCT.Location)))
    if changed_at is not None:
        graph.add((it, DCT.modified, _day(changed_at)))
    for name in names:
        graph.add((it, DCAT.dataset, URIRef(where.dataset(name))))
    _add_container(graph, it, "Datasets", DCAT.dataset, map(where.dataset, names))


def _add_dataset(graph: Graph, node: Node, entry: Entry, where: Addresses) -> None:
    it, written = URIRef(where.dataset(entry.name)), entry.written
    graph.add((it, RDF.type, DCAT.Dataset))
    graph.add((it, DCT.identifier, Literal(str(it))))
    graph.add((it, DCT.title, _english(written.title)))
    graph.add((it, DCT.description, _english(written.description)))
    graph.add((it, DCAT.version, Literal(entry.version)))
    graph.add((it, DCT.issued, _day(entry.published_at or entry.created_at)))
    graph.add((it, DCT.modified, _day(entry.changed_at)))
    graph.add((it, DCT.publisher, _publisher(graph, node, where)))
    graph.add((it, DCAT.theme, _concept(graph, EU["data-theme/HEAL"], "Health")))
    graph.add(
        (it, HEALTH.healthTheme, _concept(graph, HEALTH_AUTHORITY["health-theme/CANCER_DISEASE"], "Cancer"))
    )
    graph.add(
        (it, DCT.accessRights, _typed(graph, EU[f"access-right/{written.rights}"], DCT.RightsStatement))
    )
    graph.add((it, DCAT.landingPage, _typed(graph, URIRef(written.landing_page or it), FOAF.Document)))
    graph.add((it, DCAT.contactPoint, _contact(graph, entry, where)))
    statement = BNode(f"provenance-of-{entry.name}")
    graph.add((statement, RDF.type, DCT.ProvenanceStatement))
    graph.add((statement, RDFS.label, _english(written.provenance)))
    graph.add((it, DCT.provenance, statement))
    _add_terms(graph, it, entry)
    _add_law(graph, it, written.legislation)
    if node.hdab_name:
        graph.add(
            (
                it,
                HEALTH.hdab,
                _agent(
                    graph, URIRef(f"{where.catalogue}#hdab"), node.hdab_name, node.hdab_page, node.hdab_email
                ),
            )
        )
    _add_numbers(graph, it, entry.name, entry.told)
    graph.add((it, DCAT.distribution, URIRef(where.distribution(entry.name))))


def _add_distribution(graph: Graph, entry: Entry, where: Addresses) -> None:
    it = URIRef(where.distribution(entry.name))
    graph.add((it, RDF.type, DCAT.Distribution))
    graph.add((it, DCT.title, _english(f"{entry.written.title}: DICOM images")))
    graph.add((it, DCAT.accessURL, URIRef(where.at(0).dataset(entry.name))))
    graph.add(
        (
            it,
            DCAT.mediaType,
            _typed(
                graph, URIRef("https://www.iana.org/assignments/media-types/application/dicom"), DCT.MediaType
            ),
        )
    )
    graph.add((it, DCT.conformsTo, _typed(graph, HEALTH_AUTHORITY["standard/DICOM"], DCT.Standard)))
    for condition in entry.written.access:
        graph.add((it, DCT.rights, _typed(graph, ACCESS[condition], DCT.RightsStatement)))
    if entry.written.licence:
        graph.add((it, DCT.license, _licence(graph, entry.name, entry.written.licence)))
    _add_law(graph, it, entry.written.legislation)


def _add_point(graph: Graph, node: Node, where: Addresses, issued: datetime, modified: datetime) -> None:
    it = URIRef(where.point)
    graph.add((it, RDF.type, FDP.FAIRDataPoint))
    graph.add((it, RDF.type, FDP.MetadataService))
    graph.add((it, RDF.type, DCAT.DataService))
    graph.add((it, DCT.title, _english(node.title or "Breast imaging datasets")))
    graph.add((it, DCT.hasVersion, Literal("1.0")))
    graph.add((it, DCAT.version, Literal("1.0")))
    graph.add((it, DCT.publisher, _publisher(graph, node, where)))
    graph.add((it, DCATAP.applicableLegislation, _typed(graph, URIRef(EHDS), ELI.LegalResource)))
    graph.add((it, FDP.conformsToFdpSpec, URIRef("https://specs.fairdatapoint.org/fdp-specs-v1.2.html")))
    graph.add((it, FDP.metadataCatalog, URIRef(where.catalogue)))
    graph.add((it, FDP.metadataIdentifier, it))
    graph.add((it, FDP.metadataIssued, Literal(issued.isoformat(), datatype=XSD.dateTime)))
    graph.add((it, FDP.metadataModified, Literal(modified.isoformat(), datatype=XSD.dateTime)))
    graph.add((it, DCAT.endpointURL, it))
    _add_container(graph, it, "Catalogues", FDP.metadataCatalog, [where.catalogue])


def _add_container(graph: Graph, it: URIRef, title: str, relation: URIRef, members: Iterable[str]) -> None:
    """By which harvesters go from a layer to the one below (LDP 1.0 section 5.4, direct containers)."""
    container = URIRef(f"{it}#{title.lower()}")
    graph.add((container, RDF.type, LDP.DirectContainer))
    graph.add((container, DCT.title, _english(title)))
    graph.add((container, LDP.membershipResource, it))
    graph.add((container, LDP.hasMemberRelation, relation))
    for member in members:
        graph.add((container, LDP.contains, URIRef(member)))


def _add_terms(graph: Graph, it: URIRef, entry: Entry) -> None:
    written = entry.written
    graph.add((it, EUCAIM.interoperabilityLevel, EUCAIM[TIERS[written.tier]]))
    graph.add((it, EUCAIM.hasCondition, BREAST_CANCER))
    graph.add((it, EUCAIM.hasImageBodyPart, BREAST))
    graph.add((it, HEALTH.hasStructuredData, Literal(False)))
    for method in written.methods:
        graph.add((it, EUCAIM.collectionMethod, EUCAIM[METHODS[method]]))
    for kind in written.kinds:
        graph.add((it, DCT.type, EUCAIM[KINDS[kind]]))
    for category in written.categories:
        graph.add(
            (
                it,
                HEALTH.healthCategory,
                _concept(graph, HEALTH_AUTHORITY[f"healthcategories/{category}"], category),
            )
        )
    for keyword in written.keywords:
        graph.add((it, DCAT.keyword, _english(keyword)))
    if written.population:
        graph.add((it, HEALTH.populationCoverage, _english(written.population)))
    if written.citation:
        graph.add((it, DCT.bibliographicCitation, Literal(written.citation)))


def _add_law(graph: Graph, it: URIRef, addresses: Iterable[str]) -> None:
    for address in addresses:
        graph.add((it, DCATAP.applicableLegislation, _typed(graph, URIRef(address), ELI.LegalResource)))


def _add_numbers(graph: Graph, it: URIRef, name: str, holdings: Holdings) -> None:
    """What was counted; a dataset of which nothing may be told has 0 and the most general terms."""
    for term, number in (
        (HEALTH.numberOfUniqueIndividuals, holdings.individuals),
        (HEALTH.numberOfRecords, holdings.studies),
    ):
        graph.add((it, term, _number(number)))
    for modality in {
        MODALITIES.get(each, MODALITY) for each in holdings.modalities if each in MODALITIES
    } or {MODALITY}:
        graph.add((it, EUCAIM.hasImageModality, modality))
    for maker in {manufacturer(each) for each in holdings.manufacturers} or {manufacturer("")}:
        graph.add((it, EUCAIM.hasEquipmentManufacturer, URIRef(maker)))
    for sex in {SEXES.get(each, UNSPECIFIED_SEX) for each in holdings.sexes} or {UNSPECIFIED_SEX}:
        graph.add((it, EUCAIM.hasBirthSex, sex))
    if ages := sorted(map(int, holdings.ages)):
        graph.add((it, HEALTH.minTypicalAge, _number(ages[0])))
        graph.add((it, HEALTH.maxTypicalAge, _number(ages[-1] + 4)))
    if years := sorted(holdings.years):
        period = BNode(f"years-of-{name}")
        graph.add((period, RDF.type, DCT.PeriodOfTime))
        graph.add((period, DCAT.startDate, Literal(f"{years[0]}-01-01", datatype=XSD.date)))
        graph.add((period, DCAT.endDate, Literal(f"{years[-1]}-12-31", datatype=XSD.date)))
        graph.add((it, DCT.temporal, period))


def _publisher(graph: Graph, node: Node, where: Addresses) -> URIRef:
    name = node.publisher or "The operator of this node"
    page = node.publisher_page or ("" if node.publisher_email else str(where.catalogue))
    return _agent(graph, URIRef(f"{where.catalogue}#publisher"), name, page, node.publisher_email)


def _agent(graph: Graph, it: URIRef, name: str, page: str, email: str) -> URIRef:
    """An agent with its contact point; the same one is the same however often it is added."""
    contact = URIRef(f"{it}-contact")
    graph.add((it, RDF.type, FOAF.Agent))
    graph.add((it, FOAF.name, _english(name)))
    graph.add((it, CV.contactPoint, contact))
    graph.add((contact, RDF.type, CV.ContactPoint))
    if page:
        graph.add((contact, CV.contactPage, _typed(graph, URIRef(page), FOAF.Document)))
    if email:
        graph.add((contact, CV.email, Literal(email)))
    return it


def _contact(graph: Graph, entry: Entry, where: Addresses) -> URIRef:
    it = URIRef(f"{where.dataset(entry.name)}#contact")
    graph.add((it, RDF.type, VCARD.Kind))
    if entry.written.contact_page:
        graph.add((it, VCARD.hasURL, URIRef(entry.written.contact_page)))
    if entry.written.contact_email:
        graph.add((it, VCARD.hasEmail, URIRef(f"mailto:{entry.written.contact_email}")))
    return it


def _licence(graph: Graph, name: str, text: str) -> URIRef | BNode:
    """A licence at its address, or one that is told by its name alone."""
    if is_address(text):
        return _typed(graph, URIRef(text), DCT.LicenseDocument)
    it = BNode(f"licence-of-{name}")
    graph.add((it, RDF.type, DCT.LicenseDocument))
    graph.add((it, RDFS.label, _english(text)))
    return it


def _typed(graph: Graph, it: URIRef, kind: URIRef) -> URIRef:
    graph.add((it, RDF.type, kind))
    return it


def _concept(graph: Graph, it: URIRef, label: str) -> URIRef:
    """A term of an authority table. The official shapes want its type and a label to be said beside it."""
    graph.add((it, SKOS.prefLabel, _english(label)))
    return _typed(graph, it, SKOS.Concept)


def _english(text: str) -> Literal:
    return Literal(text, lang="en")


def _day(moment: datetime) -> Literal:
    return Literal(moment.date().isoformat(), datatype=XSD.date)


def _number(number: int) -> Literal:
    return Literal(str(number), datatype=XSD.nonNegativeInteger)
