"""A Beacon's documents (GA4GH Beacon v2, framework/json), and what its filters mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.catalogue import Node
from archive.errors import BadRequest, Forbidden
from gateway.search import beacon
from gateway.search.answering import Row
from gateway.search.beacon_request import Asked, Granularity, Include, parse_address, parse_body
from gateway.search.interpretation import NOTHING
from gateway.search.lens import parse_json
from gateway.search.question import EVERYTHING, All, Condition, Not, check
from tests.unit.search_studies import STUDIES, holds

URL = "https://node.hospital.example"
REQUIRED: dict[str, list[str]] = {
    "info": [
        "meta.beaconId", "meta.apiVersion", "meta.returnedSchemas", "response.id", "response.name",
        "response.apiVersion", "response.environment", "response.organization.id", "response.organization.name",
    ],
    "service-info": ["id", "name", "type.group", "type.artifact", "type.version", "organization.name",
                     "organization.url", "version"],
    "configuration": ["meta.beaconId", "response.$schema", "response.maturityAttributes.productionStatus",
                      "response.securityAttributes.defaultGranularity", "response.entryTypes.individual.id"],
    "entry_types": [
        f"response.entryTypes.{entry}.{name}"
        for entry in ("individual", "dataset")
        for name in ("id", "name", "ontologyTermForThisType.id", "partOfSpecification", "defaultSchema.id")
    ],
    "map": ["response.$schema"] + [
        f"response.endpointSets.{entry}.{name}" for entry in ("individual", "dataset")
        for name in ("entryType", "rootUrl")
    ],
    "filtering_terms": ["meta.beaconId", "response.filteringTerms", "response.resources"],
    "counted": [
        "meta.beaconId", "meta.apiVersion", "meta.returnedGranularity", "meta.returnedSchemas",
        "meta.receivedRequestSummary.apiVersion", "meta.receivedRequestSummary.requestedSchemas",
        "meta.receivedRequestSummary.pagination.skip", "meta.receivedRequestSummary.pagination.limit",
        "meta.receivedRequestSummary.requestedGranularity", "responseSummary.exists",
        "responseSummary.numTotalResults", "response.resultSets",
    ],
    "collections": ["meta.returnedGranularity", "responseSummary.exists", "response.collections"],
    "error": ["meta.beaconId", "meta.receivedRequestSummary.apiVersion", "error.errorCode", "error.errorMessage"],
}  # fmt: skip
"""The fields that the framework's schemas require of each document."""
ROWS = [
    Row("screening", "Screening", "", 1500, 1200),
    Row("few", "Few", "", None, None),
    Row("symptomatic", "Symptomatic", "", 50, 40),
]
COUNT = Asked(granularity=Granularity.COUNT)
DOCUMENTS = {
    "info": lambda: beacon.info(URL, Node()),
    "service-info": lambda: beacon.service_info(URL, Node(publisher="A Hospital")),
    "configuration": lambda: beacon.configuration(URL, is_public=False),
    "entry_types": lambda: beacon.entry_types_document(URL),
    "map": lambda: beacon.endpoint_map(URL),
    "filtering_terms": lambda: beacon.filtering_terms(URL),
    "counted": lambda: beacon.counted(URL, COUNT, ROWS),
    "collections": lambda: beacon.collections(URL, COUNT, []),
    "error": lambda: beacon.error(URL, 400, "no"),
}


@pytest.mark.parametrize("name", REQUIRED)
def test_a_document_has_what_is_required(name):
    document = DOCUMENTS[name]()
    for path in REQUIRED[name]:
        found: Any = document
        for part in path.split("."):
            found = found[part]
        assert found is not None and found != ""


def test_each_filtering_term_has_an_identifier_and_a_type_and_is_taken():
    for term in beacon.filtering_terms(URL)["response"]["filteringTerms"]:
        assert term["type"] in ("ontologyTerm", "alphanumeric", "custom")
        if term["type"] != "alphanumeric":
            asked = parse_body({"query": {"filters": [{"id": term["id"]}]}})
            assert asked.question != NOTHING and asked.unsupported == ()


def test_a_result_set_has_what_is_required():
    sets = beacon.counted(URL, COUNT, ROWS)["response"]["resultSets"]
    assert [each["id"] for each in sets] == ["screening", "symptomatic"]
    assert sets[0] == {
        "id": "screening", "setType": "dataset", "exists": True, "resultsCount": 1200, "results": [],
        "info": {"name": "Screening", "url": f"{URL}/catalogue/screening"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("include", "found"), [(Include.ALL, 3), (Include.HIT, 2), (Include.MISS, 1)], ids=["all", "hit", "miss"]
)
def test_which_sets_are_told(include, found):
    told = beacon.counted(URL, Asked(granularity=Granularity.COUNT, include=include), ROWS)
    assert len(told["response"]["resultSets"]) == found
    assert told["responseSummary"] == {"exists": True, "numTotalResults": 1240}


def test_no_sets_are_told():
    assert "response" not in beacon.counted(
        URL, Asked(granularity=Granularity.COUNT, include=Include.NONE), ROWS
    )


def test_a_boolean_answer_has_no_number():
    told = beacon.counted(URL, Asked(), ROWS)
    assert told["responseSummary"] == {"exists": True} and "response" not in told
    assert told["meta"]["returnedGranularity"] == "boolean"


@pytest.mark.parametrize("name", ["filters", "ast", "Query"])
def test_what_is_asked_under_another_name_asks_not_for_everybody(name):
    with pytest.raises(BadRequest):
        parse_body({"meta": {}, name: {"filters": [{"id": "DCM:US"}]}})


@pytest.mark.parametrize("address", [[("testMode", "true")], [("testMode", "false")], []])
def test_an_answer_says_whether_it_is_one_of_a_test(address):
    """Framework, beaconCommonComponents.json: TestMode."""
    asked = parse_address(address)
    told = beacon.counted(URL, asked, beacon.EXAMPLES)
    is_test = address == [("testMode", "true")]
    assert told["meta"]["testMode"] is told["meta"]["receivedRequestSummary"]["testMode"] is is_test
    assert ("testMode" in told["info"]) is is_test


@pytest.mark.parametrize("value", ["true", 1, None, []])
def test_test_mode_is_a_boolean(value):
    with pytest.raises(BadRequest):
        parse_body({"query": {"testMode": value}})
    with pytest.raises(BadRequest):
        parse_address([("testMode", "1")])


def test_what_may_not_be_told_does_not_exist():
    assert beacon.counted(URL, Asked(), ROWS[1:2])["responseSummary"] == {"exists": False}


@pytest.mark.parametrize(
    ("skip", "limit", "shown"),
    [
        (1, 1, ["symptomatic"]),
        (0, 2, ["screening", "symptomatic"]),
        (1, 2, []),
        (0, 0, ["screening", "symptomatic"]),
    ],
)
def test_pages_of_result_sets(skip, limit, shown):
    """`Skip` of the framework's common components is a number of pages; a limit of 0 asks for all."""
    pagination = {"skip": skip, "limit": limit}
    asked = parse_body({"query": {"requestedGranularity": "count", "pagination": pagination}})
    assert [one["id"] for one in beacon.counted(URL, asked, ROWS)["response"]["resultSets"]] == shown


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "example.hospital.node.senogate"),
        ("http://127.0.0.1:8080", "127.0.0.1.senogate"),
        ("http://[::1]:8080", "--1.senogate"),
    ],
    ids=["name", "IPv4", "IPv6"],
)
def test_a_beacon_is_named_by_its_host(url, name):
    assert beacon.beacon_id(url) == name


def filtered(*filters: Any) -> Any:
    return parse_body({"query": {"filters": list(filters)}}).question


def compared(name: str, operator: str, value: Any) -> Any:
    return filtered({"id": name, "operator": operator, "value": value})


FILTERS = [
    ({"id": "SNOMED:254837009", "scope": "individuals"}, Condition("diagnosis", ("breast-cancer",))),
    ({"id": "SCT:76752008"}, Condition("body_part", ("BREAST",))),
    ({"id": "EUCAIM:IMG1000030", "includeDescendantTerms": False}, Condition("modality", ("MG",))),
    ({"id": "DCM:US"}, Condition("modality", ("US",))),
    ({"id": "NCIT:C200140"}, Condition("manufacturer", ("SIEMENS",))),
    ({"id": "modality:DBT"}, Condition("modality", ("DBT",))),
    ({"id": "finding:mass"}, Condition("finding", ("mass",))),
    ({"id": "views:complete"}, Condition("views", ("complete",))),
    ({"id": "age", "operator": ">=", "value": "50"}, Condition("age", None, 50)),
    ({"id": "age", "operator": "<", "value": 50}, Condition("age", None, 0, 49)),
    ({"id": "age", "operator": ">", "value": "P49Y"}, Condition("age", None, 50)),
    ({"id": "SNOMED:423493009", "operator": "<=", "value": "70"}, Condition("age", None, 0, 70)),
    ({"id": "age", "value": "50"}, Condition("age", None, 50, 50)),
    ({"id": "density", "operator": "!", "value": "a"}, Condition("density", ("b", "c", "d"))),
    ({"id": "modality", "operator": "!", "value": "MR"}, Not(Condition("modality", ("MR",)))),
    (
        {"id": "finding", "operator": "!", "value": "mass"},
        All((Condition("finding", ("any", "none")), Not(Condition("finding", ("mass",))))),
    ),
    ({"id": "manufacturer", "operator": "=", "value": "%siem%"}, Condition("manufacturer", ("SIEMENS",))),
    ({"id": "date", "operator": "<", "value": "2020-01-01"}, Condition("date", None, None, 20191231)),
    ({"id": "date", "operator": ">=", "value": "2020-01-01"}, Condition("date", None, 20200101, None)),
    ({"id": "date", "operator": "=", "value": "2020-01-01"}, Condition("date", None, 20200101, 20200101)),
]


@pytest.mark.parametrize(
    ("content", "question"), FILTERS, ids=[f"{number}" for number in range(len(FILTERS))]
)
def test_a_filter(content, question):
    assert filtered(content) == question


UNSUPPORTED = [
    {"id": "HP:0002664"}, {"id": "254837009"}, {"id": "age"}, {"id": "modality:XX"},
    {"id": "SNOMED:254837009", "scope": "biosamples"},
    {"id": "age", "operator": ">", "value": "old"}, {"id": "age", "operator": ">", "value": True},
    {"id": "density", "operator": ">", "value": "a"}, {"id": "shoes", "operator": "=", "value": "40"},
    {"id": "date", "operator": "=", "value": "2020"}, {"id": "manufacturer", "operator": "=", "value": "SIEM%"},
    {"id": "date", "operator": "<", "value": "0001-01-01"}, {"id": "sex", "operator": "=", "value": 3},
]  # fmt: skip


@pytest.mark.parametrize("content", UNSUPPORTED, ids=[f"{number}" for number in range(len(UNSUPPORTED))])
def test_a_filter_that_is_not_known_holds_for_nobody_and_is_named(content):
    asked = parse_body({"query": {"filters": [content, {"id": "DCM:US"}]}})
    assert asked.question == NOTHING
    assert beacon.counted(URL, asked, [])["info"]["warnings"] == {"unsupportedFilters": [content["id"]]}


def test_parameters_about_genomes_hold_for_nobody():
    for asked in (
        parse_body({"query": {"requestParameters": {"referenceName": "17"}}}),
        parse_address([("referenceName", "17")]),
    ):
        assert (asked.question, asked.unsupported) == (NOTHING, ("referenceName",))


def test_filters_hold_together():
    assert set(filtered({"id": "DCM:MG"}, {"id": "density:c"}).children) == {
        Condition("modality", ("MG",)),
        Condition("density", ("c",)),
    }


def test_a_query_in_an_address():
    asked = parse_address(
        [("filters", "DCM:MG,age>=50"), ("requestedGranularity", "count"), ("skip", "1"), ("limit", "2")]
    )
    assert (asked.granularity, asked.skip, asked.limit) == (Granularity.COUNT, 1, 2)
    assert asked.question == All((Condition("age", None, 50), Condition("modality", ("MG",))))


@pytest.mark.parametrize("content", [{}, {"meta": {}, "query": {}}, {"meta": None, "query": None}], ids=str)
def test_a_request_that_says_nothing(content):
    assert parse_body(content) == Asked(question=EVERYTHING)


@pytest.mark.parametrize("granularity", ["record", "aggregated"])
def test_records_and_distributions_are_refused(granularity):
    with pytest.raises(Forbidden, match="count"):
        parse_body({"query": {"requestedGranularity": granularity}})


def test_filters_are_told_back_as_texts():
    """`Filters` of the framework's common components, which a summary of a request has."""
    sent = [
        {"id": "DCM:MG", "includeDescendantTerms": True},
        {"id": "age", "operator": ">=", "value": 50},
        {"id": "density", "value": "c", "scope": "individual"},
        {"id": "age", "operator": "<", "value": {"no": "number"}},
    ]
    asked = parse_body({"query": {"filters": sent}})
    summary = beacon.counted(URL, asked, ROWS)["meta"]["receivedRequestSummary"]
    assert summary["filters"] == ["DCM:MG", "age>=50", "density=c", "age"]


INVALID = [
    [], 3, None, {"query": []}, {"meta": 3}, {"query": {"filters": {}}}, {"query": {"filters": [3]}},
    {"query": {"filters": [{}]}}, {"query": {"filters": [{"id": 3}]}}, {"query": {"filters": [{"id": "a" * 300}]}},
    {"query": {"filters": [{"id": "age", "operator": "LIKE", "value": "3"}]}}, {"query": {"filter": []}},
    {"query": {"filters": [{"id": "a"}] * 51}}, {"query": {"requestedGranularity": "all"}},
    {"query": {"requestedGranularity": []}}, {"query": {"includeResultsetResponses": "SOME"}},
    {"query": {"pagination": {"skip": -1}}}, {"query": {"pagination": {"limit": "1"}}}, {"query": {"pagination": 3}},
    {"query": {"requestParameters": 3}}, {"meta": {"apiVersion": 2}}, {"meta": {"requestedSchemas": [3]}},
]  # fmt: skip


@pytest.mark.parametrize("content", INVALID, ids=[f"{number}" for number in range(len(INVALID))])
def test_what_is_no_request(content):
    with pytest.raises(BadRequest):
        parse_body(content)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["meta", "query", "filters", "id", "operator", "value", "scope", "pagination", "skip"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
FILTER = st.fixed_dictionaries(
    {"id": st.sampled_from(["age", "DCM:MG", "density", "SNOMED:254837009", "x", "date"])},
    optional={"operator": st.sampled_from(["=", "!", "<", ">=", "?"]), "value": VALUES, "scope": VALUES},
)


@given(
    VALUES
    | st.fixed_dictionaries({"query": st.fixed_dictionaries({"filters": st.lists(FILTER, max_size=4)})})
)
def test_any_json_is_answered_as_json_or_refused(content):
    try:
        asked = parse_body(content)
    except (BadRequest, Forbidden):
        return
    assert check(asked.question)
    parse_json(json.dumps(beacon.counted(URL, asked, ROWS)))


@given(st.lists(st.sampled_from([content for content, _ in FILTERS] + UNSUPPORTED), max_size=4), STUDIES)
def test_no_filter_more_finds_more(filters, study):
    for number in range(len(filters)):
        assert holds(filtered(*filters[:number]), study) or not holds(filtered(*filters), study)
