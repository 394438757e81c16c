"""A Beacon (GA4GH Beacon v2) over the node's published datasets: documents about itself, and counts of individuals.

What may not be told does not exist for a Beacon: it answers yes where there are enough individuals to be told of.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from archive.catalogue import Entry, Node
from archive.holdings import FEWEST
from gateway.catalogue.addresses import Addresses
from gateway.search.answering import Row
from gateway.search.beacon_request import VERSION, Asked, Granularity, Include
from gateway.search.question import CRITERIA, UNKNOWN
from gateway.search.vocabulary import FIELDS, LABELS, ONTOLOGIES, PREFIXES, TERMS

PATH = "/api/beacon"
Document = dict[str, Any]
_SPECIFICATION = "Beacon v2.0"
_SCHEMAS = {"individual": "beacon-individual-v2.0.0", "dataset": "beacon-dataset-v2.0.0"}
_SCHEMA = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/v2.0.0"
_CONFIGURATION = f"{_SCHEMA}/framework/json/configuration"
EXAMPLES = (
    Row("example-1", "An example, which holds nothing", "", studies=150, patients=120),
    Row("example-2", "Another example, in which nothing is found", "", studies=None, patients=None),
)
"""What answers are made of in test mode, whatever is asked: datasets that no node has."""
_TESTED = "this is a test: the datasets and their numbers are made up"
_PROTECTION = (
    f"counts are rounded, and what is of fewer than {FEWEST} individuals is not told: for that, exists is false; "
    "an individual of several datasets counts in each"
)


def beacon_id(public_url: str) -> str:
    """The node's host in reverse order, as Beacons are named."""
    host = urlsplit(public_url).hostname or "localhost"
    try:
        return f"{ipaddress.ip_address(host)}".replace(":", "-") + ".senogate"
    except ValueError:
        return ".".join([*reversed(host.split(".")), "senogate"])


def informational(public_url: str, kind: str, response: Document) -> Document:
    """A document about the Beacon, with the meta that such have."""
    meta = {
        "beaconId": beacon_id(public_url),
        "apiVersion": VERSION,
        "returnedSchemas": [{"entityType": "info", "schema": f"beacon-{kind}-v2.0.0"}],
    }
    return {"meta": meta, "response": response}


def info(public_url: str, node: Node) -> Document:
    """/info."""
    response = {
        "id": beacon_id(public_url),
        "name": node.title or "Senogate",
        "apiVersion": VERSION,
        "environment": "prod",
        "organization": {
            "id": beacon_id(public_url),
            "name": node.publisher or "The operator of this node",
            "welcomeUrl": node.publisher_page or public_url,
            "contactUrl": f"mailto:{node.publisher_email}" if node.publisher_email else public_url,
        },
        "description": node.description or "Breast imaging studies, by counts.",
        "version": version("senogate"),
        "welcomeUrl": f"{public_url}/search",
        "info": {"protection": _PROTECTION},
    }
    return informational(public_url, "info", response)


def service_info(public_url: str, node: Node) -> Document:
    """/service-info (GA4GH Service Info 1.0)."""
    return {
        "id": beacon_id(public_url),
        "name": node.title or "Senogate",
        "type": {"group": "org.ga4gh", "artifact": "beacon", "version": VERSION},
        "organization": {
            "name": node.publisher or "The operator of this node",
            "url": node.publisher_page or public_url,
        },
        "version": version("senogate"),
        "description": node.description or "Breast imaging studies, by counts.",
        "contactUrl": f"mailto:{node.publisher_email}" if node.publisher_email else public_url,
        "documentationUrl": f"{public_url}/openapi.json",
        "environment": "prod",
    }


def entry_types() -> Document:
    """What is counted, and in what it lies."""
    return {
        "individual": _entry_type(
            "individual", "Individual", "NCIT:C25190", "Person", "A patient, by counts alone"
        ),
        "dataset": _entry_type(
            "dataset", "Dataset", "NCIT:C47824", "Data set", "A published dataset of studies"
        )
        | {"aCollectionOf": [{"id": "individual", "name": "Individual"}]},
    }


def _entry_type(name: str, label: str, term: str, of_term: str, description: str) -> Document:
    return {
        "id": name,
        "name": label,
        "description": description,
        "ontologyTermForThisType": {"id": term, "label": of_term},
        "partOfSpecification": _SPECIFICATION,
        "defaultSchema": {
            "id": _SCHEMAS[name],
            "name": f"Default schema of a Beacon's {name}s",
            "referenceToSchemaDefinition": f"{_SCHEMA}/models/json/beacon-v2-default-model/{name}s/defaultSchema.json",
            "schemaVersion": VERSION,
        },
        "additionallySupportedSchemas": [],
        "nonFilteredQueriesAllowed": True,
    }


def configuration(public_url: str, *, is_public: bool) -> Document:
    """/configuration."""
    response = {
        "$schema": f"{_CONFIGURATION}/beaconConfigurationSchema.json",
        "maturityAttributes": {"productionStatus": "PROD"},
        "securityAttributes": {
            "defaultGranularity": str(Granularity.BOOLEAN),
            "securityLevels": ["PUBLIC" if is_public else "REGISTERED"],
        },
        "entryTypes": entry_types(),
    }
    return informational(public_url, "configuration", response)


def entry_types_document(public_url: str) -> Document:
    """/entry_types."""
    return informational(public_url, "entry-types", {"entryTypes": entry_types()})


def endpoint_map(public_url: str) -> Document:
    """/map."""
    root, definition = public_url + PATH, f"{public_url}/openapi.json"
    individuals = {
        "entryType": "individual",
        "openAPIEndpointsDefinition": definition,
        "rootUrl": f"{root}/individuals",
        "filteringTermsUrl": f"{root}/filtering_terms",
    }
    datasets = {
        "entryType": "dataset",
        "openAPIEndpointsDefinition": definition,
        "rootUrl": f"{root}/datasets",
        "singleEntryUrl": f"{root}/datasets/{{id}}",
        "filteringTermsUrl": f"{root}/filtering_terms",
        "endpoints": {
            "individual": {
                "returnedEntryType": "individual",
                "url": f"{root}/datasets/{{id}}/individuals",
            }
        },
    }
    response = {
        "$schema": f"{_CONFIGURATION}/beaconMapSchema.json",
        "endpointSets": {"individual": individuals, "dataset": datasets},
    }
    return informational(public_url, "map", response)


def filtering_terms(public_url: str) -> Document:
    """/filtering_terms."""
    terms = [*_ontology_terms(), *_custom_terms(), *_alphanumeric_terms()]
    resources = [
        {
            "id": prefix.lower(),
            "name": ONTOLOGIES[prefix],
            "url": iri,
            "nameSpacePrefix": prefix,
            "iriPrefix": iri,
        }
        for prefix, iri in PREFIXES.items()
    ]
    return informational(public_url, "filtering-terms", {"filteringTerms": terms, "resources": resources})


def _ontology_terms() -> list[Document]:
    return [
        {"id": code, "type": "ontologyTerm", "label": each.label, "scopes": ["individual"]}
        for each in TERMS
        if each.value != UNKNOWN
        for code in each.codes
    ]


def _custom_terms() -> list[Document]:
    return [
        {
            "id": f"{each.criterion}:{each.value}",
            "type": "custom",
            "label": LABELS[each.criterion, each.value],
            "scopes": ["individual"],
        }
        for each in TERMS
        if each.value != UNKNOWN
    ]


def _alphanumeric_terms() -> list[Document]:
    values = {name: [each.value for each in TERMS if each.criterion == name] for name in CRITERIA}
    return [
        {"id": each.criterion, "type": "alphanumeric", "label": each.label, "scopes": ["individual"]}
        | ({"values": values[each.criterion]} if values[each.criterion] else {})
        for each in FIELDS
    ]


def _meta(public_url: str, asked: Asked, entity: str, granularity: Granularity) -> Document:
    return {
        "beaconId": beacon_id(public_url),
        "apiVersion": VERSION,
        "returnedGranularity": str(granularity),
        "returnedSchemas": [{"entityType": entity, "schema": _SCHEMAS[entity]}],
        "receivedRequestSummary": {
            "apiVersion": asked.api_version,
            "requestedSchemas": list(asked.schemas),
            "filters": list(asked.filters),
            "includeResultsetResponses": str(asked.include),
            "pagination": {"skip": asked.skip, "limit": asked.limit},
            "requestedGranularity": str(asked.granularity),
            "testMode": asked.is_test,
        },
        "testMode": asked.is_test,
    }


def counted(public_url: str, asked: Asked, rows: Sequence[Row]) -> Document:
    """Whether there are such individuals; where counts were asked for how many, in all and in each dataset."""
    numbers = {row.dataset: row.patients or 0 for row in rows}
    total = sum(numbers.values())
    summary: Document = {"exists": total > 0}
    told: Document = {
        "meta": _meta(public_url, asked, "individual", asked.granularity),
        "responseSummary": summary,
        "info": {"protection": _PROTECTION} | ({"testMode": _TESTED} if asked.is_test else {}),
    }
    if asked.unsupported:
        told["info"]["warnings"] = {"unsupportedFilters": list(asked.unsupported)}
    if asked.granularity is Granularity.COUNT:
        summary["numTotalResults"] = total
        if asked.include is not Include.NONE:
            told["response"] = {"resultSets": _result_sets(public_url, asked, rows, numbers)}
    return told


def _result_sets(
    public_url: str, asked: Asked, rows: Sequence[Row], numbers: Mapping[str, int]
) -> list[Document]:
    wanted = {
        Include.ALL: rows,
        Include.HIT: [row for row in rows if numbers[row.dataset]],
        Include.MISS: [row for row in rows if not numbers[row.dataset]],
    }[asked.include]
    return [
        {
            "id": row.dataset,
            "setType": "dataset",
            "exists": numbers[row.dataset] > 0,
            "resultsCount": numbers[row.dataset],
            "results": [],
            "info": {"name": row.title, "url": Addresses(public_url).dataset(row.dataset)},
        }
        for row in wanted[asked.shown]
    ]


def collections(public_url: str, asked: Asked, entries: Sequence[Entry]) -> Document:
    """The published datasets."""
    shown = entries[asked.shown]
    return {
        "meta": _meta(public_url, asked, "dataset", Granularity.RECORD),
        "responseSummary": {"exists": bool(entries), "numTotalResults": len(entries)},
        "response": {"collections": [_collection(public_url, each) for each in shown]},
    }


def _collection(public_url: str, entry: Entry) -> Document:
    return {
        "id": entry.name,
        "name": entry.written.title or entry.name,
        "description": entry.written.description,
        "version": entry.version,
        "externalUrl": Addresses(public_url).dataset(entry.name),
        "createDateTime": entry.created_at.isoformat(),
        "updateDateTime": entry.changed_at.isoformat(),
    }


def error(public_url: str, status: int, message: str) -> Document:
    """An error in the Beacon's form."""
    meta = _meta(public_url, Asked(), "individual", Granularity.BOOLEAN)
    return {"meta": meta, "error": {"errorCode": status, "errorMessage": message}}
