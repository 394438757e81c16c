"""What EUCAIM's explorer and its mediators ask: query trees of Lens, and the parameters of the form without one."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search.answering import Row
from gateway.search.eucaim import parse_parameters, render
from gateway.search.interpretation import NOTHING
from gateway.search.lens import InvalidTree, parse_json, parse_tree, unwrap
from gateway.search.question import EVERYTHING, All, Condition, Not, check
from tests.unit.search_studies import STUDIES, holds

GENDER, AGE, DIAGNOSIS = "SNOMEDCT263495000", "SNOMEDCT423493009", "SNOMEDCT439401001"
MODALITY, BODY_PART, MANUFACTURER = "RID10311", "SNOMEDCT123037004", "C25392"
HYPER = "EUCAIM_Hyper-Ontology_V1.0."


def condition(key: str, operator: str, value: Any) -> dict[str, Any]:
    return {"key": key, "system": "", "type": operator, "value": value}


def both(*children: Any) -> dict[str, Any]:
    return {"operand": "AND", "children": list(children)}


def either(*children: Any) -> dict[str, Any]:
    return {"operand": "OR", "children": list(children)}


def asked(key: str, operator: str, value: Any) -> Any:
    return parse_tree(either(both(either(condition(key, operator, value)))))


def test_a_search_of_the_explorer():
    breast = condition(DIAGNOSIS, "EQUALS", "SNOMEDCT254837009")
    tree = either(both(either(breast), either(condition(AGE, "BETWEEN", {"min": 40, "max": 74}))))
    diagnosis, age = Condition("diagnosis", ("breast-cancer",)), Condition("age", None, 40, 74)
    assert set(parse_tree(tree).children) == {diagnosis, age}


@pytest.mark.parametrize("tree", [either(), both(), either(both())], ids=["OR", "AND", "an empty tab"])
def test_a_search_without_criteria_is_for_everything(tree):
    assert parse_tree(tree) == EVERYTHING


def test_a_criterion_without_alternatives_holds_for_nothing():
    assert (
        parse_tree(either(both(either(), either(condition(GENDER, "EQUALS", "SNOMEDCT248152002")))))
        == NOTHING
    )


CODES = [
    (GENDER, "SNOMEDCT248153007", "sex", "M"),
    (GENDER, "SNOMEDCT248152002", "sex", "F"),
    (GENDER, "SNOMEDCT74964007", "sex", "O"),
    (GENDER, "SNOMEDCT261665006", "sex", "unknown"),
    (DIAGNOSIS, "SNOMEDCT254837009", "diagnosis", "breast-cancer"),
    (MODALITY, "RID10312", "modality", "MR"),
    (MODALITY, "RID10337", "modality", "PT"),
    (MODALITY, "RID10334", "modality", "NM"),
    (MODALITY, "RID10321", "modality", "CT"),
    (MODALITY, HYPER + "IMG1000030", "modality", "MG"),
    (MODALITY, "EUCAIM:IMG1000040", "modality", "US"),
    (MODALITY, "RID10357", "modality", "MG"),
    (MODALITY, "DBT", "modality", "DBT"),
    (HYPER + "IMG1000009", HYPER + "IMG1000040", "modality", "US"),
    (BODY_PART, "SNOMEDCT76752008", "body_part", "BREAST"),
    (BODY_PART, "SNOMEDCT69536005", "body_part", "HEAD"),
    (MANUFACTURER, "C200140", "manufacturer", "SIEMENS"),
    (MANUFACTURER, "birnlex_3066", "manufacturer", "SIEMENS"),
    (MANUFACTURER, "birnlex_12833", "manufacturer", "GE"),
    (MANUFACTURER, "birnlex_3065", "manufacturer", "PHILIPS"),
    (MANUFACTURER, "birnlex_3067", "manufacturer", "TOSHIBA"),
    (HYPER + "IMG1005459", HYPER + "IMG1005468", "assessment", "2"),
    (HYPER + "IMG1005459", "EUCAIM:COM1002155", "assessment", "4"),
    (HYPER + "CLIN1052158", HYPER + "IMG1016692", "density", "c"),
    (HYPER + "IMG1016305", HYPER + "IMG1016659", "laterality", "B"),
]


@pytest.mark.parametrize(("key", "code", "criterion", "value"), CODES)
def test_a_code_of_the_catalogue(key, code, criterion, value):
    assert asked(key, "EQUALS", code) == Condition(criterion, (value,))


UNKNOWN_HERE = [
    condition("SNOMEDCT1", "EQUALS", "RID10312"),
    condition(MODALITY, "EQUALS", "SNOMEDCT76752008"),
    condition(MODALITY, "NOT_EQUALS", "RID1"),
    condition(DIAGNOSIS, "EQUALS", "SNOMEDCT363406005"),
    condition(HYPER + "CLIN1045815", "EQUALS", HYPER + "COM1001310"),
    condition(HYPER + "CLIN1045913", "BETWEEN", {"min": 0, "max": 20}),
    condition(MODALITY, "BETWEEN", {"min": 1, "max": 2}),
    condition(AGE, "CONTAINS", "4"),
    condition(AGE, "IN", ["40"]),
    condition(AGE, "EQUALS", "40"),
    condition(AGE, "EQUALS", True),
    condition(AGE, "BETWEEN", {"min": "2020-01-01", "max": "2021-01-01"}),
    condition(AGE, "BETWEEN", {"min": 60, "max": 50}),
    condition(AGE, "LOWER_THAN", -1),
    condition(AGE, "GREATER_THAN", 10**400),
    condition(AGE, "LOWER_THAN", {"min": 50}),
    condition(GENDER, "IN", []),
    condition(GENDER, "CONTAINS", " "),
    condition(GENDER, "LOWER_THAN", 3),
]


@pytest.mark.parametrize("unknown", UNKNOWN_HERE, ids=[f"{number}" for number in range(len(UNKNOWN_HERE))])
def test_what_is_not_known_here_holds_for_no_study(unknown):
    assert parse_tree(either(both(either(unknown)))) == NOTHING


OPERATORS = [
    (GENDER, "NOT_EQUALS", "SNOMEDCT248153007", Condition("sex", ("F", "O"))),
    (GENDER, "IN", ["SNOMEDCT248153007", "other", "nobody"], Condition("sex", ("M", "O"))),
    (MODALITY, "NOT_EQUALS", "RID10312", Not(Condition("modality", ("MR",)))),
    (
        MANUFACTURER,
        "NOT_EQUALS",
        "birnlex_12833",
        All(
            (
                Not(Condition("manufacturer", ("GE",))),
                Not(Condition("manufacturer", ("unknown",))),
            )
        ),
    ),
    (MANUFACTURER, "CONTAINS", "siem", Condition("manufacturer", ("SIEMENS",))),
    (MANUFACTURER, "CONTAINS", "General", Condition("manufacturer", ("GE",))),
    (AGE, "EQUALS", 50, Condition("age", None, 50, 50)),
    (AGE, "NOT_EQUALS", 50, All((Condition("age", None, 0), Not(Condition("age", None, 50, 50))))),
    (AGE, "LOWER_THAN", 50, Condition("age", None, 0, 49)),
    (AGE, "LOWER_THAN", {"max": 50}, Condition("age", None, 0, 50)),
    (AGE, "LOWER_THAN", 10**400, Condition("age", None, 0, 9999)),
    (AGE, "GREATER_THAN", 50, Condition("age", None, 51)),
    (AGE, "GREATER_THAN", 49.5, Condition("age", None, 50)),
    (AGE, "GREATER_THAN", {"min": 50, "max": 60}, Condition("age", None, 50)),
    (AGE, "BETWEEN", {"min": 40, "max": None}, Condition("age", None, 40)),
    ("SNOMEDCT432213005", "BETWEEN", {"min": 2010, "max": 2020}, Condition("year", None, 2010, 2020)),
]


@pytest.mark.parametrize(
    ("key", "operator", "value", "question"), OPERATORS, ids=[f"{number}" for number in range(len(OPERATORS))]
)
def test_an_operator(key, operator, value, question):
    assert asked(key, operator, value) == question


def test_criteria_of_a_series_stay_under_one_all():
    """They are to be met by one series of the study (EUCAIM's dataset-service)."""
    tree = both(both(condition(MODALITY, "EQUALS", "RID10312")), condition(MANUFACTURER, "EQUALS", "C200140"))
    question = parse_tree(tree)
    assert {type(child) for child in question.children} == {Condition} and len(question.children) == 2


INVALID = [
    None, [], "x", {}, {"operand": "XOR", "children": []}, {"operand": "AND"}, {"operand": "AND", "children": {}},
    {"operand": ["AND"], "children": []}, either(3), either({}), either({"key": 1, "type": "EQUALS", "value": "x"}),
    either({"key": GENDER, "type": "LIKE", "value": "x"}), either({"key": GENDER, "type": [], "value": "x"}),
    either({"key": GENDER, "type": "EQUALS"}), either(condition(GENDER, "EQUALS", ["x"])),
    either(condition(GENDER, "IN", "x")), either(condition(GENDER, "IN", [1])), either(condition("x", "BETWEEN", 3)),
    either(condition(AGE, "BETWEEN", {})), either(condition(AGE, "BETWEEN", {"min": []})),
    either(condition(AGE, "LOWER_THAN", "3")), either(condition(AGE, "LOWER_THAN", True)),
    either(condition(GENDER, "CONTAINS", 3)), condition(GENDER, "EQUALS", "x"),
]  # fmt: skip


@pytest.mark.parametrize("tree", INVALID, ids=[f"{number}" for number in range(len(INVALID))])
def test_what_is_no_tree(tree):
    with pytest.raises(InvalidTree):
        parse_tree(tree)


def test_a_tree_that_is_too_deep():
    tree = condition(GENDER, "EQUALS", "x")
    for _ in range(5000):
        tree = both(tree)
    with pytest.raises(InvalidTree, match="deep"):
        parse_tree(tree)


def test_levels_that_say_nothing_do_not_count():
    tree = condition(GENDER, "EQUALS", "male")
    for _ in range(50):
        tree = either(both(tree))
        tree = tree["children"][0]
    assert parse_tree(either(tree)) == Condition("sex", ("M",))


def test_a_tree_that_is_too_large():
    children = [condition(AGE, "EQUALS", number) for number in range(500)]
    with pytest.raises(InvalidTree, match="200"):
        parse_tree(either(*children))


def test_a_long_list_of_values():
    assert asked(GENDER, "IN", ["male"] * 900) == Condition("sex", ("M",))


def wrapped(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def test_a_tree_is_found_in_what_wraps_it():
    tree = either()
    lens = {"lang": "ast", "query": wrapped({"ast": tree, "id": "1__search__2"})}
    for content in ({"ast": tree, "id": "x"}, lens, {"id": "x", "query": wrapped(lens)}):
        assert unwrap(content) == tree


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"lang": "cql", "query": "e30="},
        {"query": "###"},
        {"query": 1},
        {"query": "e30="},
        {"query": "/w=="},
    ],
    ids=lambda content: json.dumps(content),
)
def test_what_wraps_no_tree(content):
    with pytest.raises(InvalidTree):
        unwrap(content)


def test_a_tree_is_not_looked_for_without_end():
    content: Any = {"ast": either()}
    for _ in range(9):
        content = {"query": wrapped(content)}
    with pytest.raises(InvalidTree, match="wrapped"):
        unwrap(content)


NAMES = st.sampled_from(
    ["operand", "children", "key", "type", "value", "min", "max", "ast", "query"]
) | st.text(max_size=3)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_json_is_a_tree_or_refused(content):
    try:
        question = parse_tree(content)
    except InvalidTree:
        return
    assert check(question)


KEYS = st.sampled_from(
    [GENDER, AGE, DIAGNOSIS, MODALITY, BODY_PART, MANUFACTURER, HYPER + "CLIN1052158", "SNOMEDCT1"]
)
VALUES = st.sampled_from([code for _, code, _, _ in CODES] + ["nothing"])
NUMBERS = st.integers(-5, 120) | st.floats(allow_nan=True)
RANGES = st.fixed_dictionaries({"min": NUMBERS, "max": NUMBERS})
CONDITIONS = st.one_of(
    st.builds(condition, KEYS, st.sampled_from(["EQUALS", "NOT_EQUALS", "CONTAINS"]), VALUES),
    st.builds(condition, KEYS, st.just("IN"), st.lists(VALUES, max_size=4)),
    st.builds(
        condition, KEYS, st.sampled_from(["LOWER_THAN", "GREATER_THAN", "EQUALS", "NOT_EQUALS"]), NUMBERS
    ),
    st.builds(condition, KEYS, st.sampled_from(["BETWEEN", "LOWER_THAN", "GREATER_THAN"]), RANGES),
)


def trees(leaf):
    lists = lambda inner: st.lists(inner, min_size=1, max_size=3)  # noqa: E731
    return st.recursive(
        leaf,
        lambda inner: (
            lists(inner).map(lambda found: both(*found)) | lists(inner).map(lambda found: either(*found))
        ),
        max_leaves=8,
    ).map(lambda found: both(found))


@given(trees(CONDITIONS), STUDIES)
def test_a_tree_means_what_its_parts_mean(tree, study):
    assert holds(parse_tree(tree), study) == plainly(tree, study)


def plainly(tree, study) -> bool:
    if "operand" in tree:
        return (all if tree["operand"] == "AND" else any)(plainly(child, study) for child in tree["children"])
    return holds(parse_tree(both(tree)), study)


@given(trees(CONDITIONS), STUDIES, st.data())
def test_what_is_not_known_never_widens(tree, study, data):
    """Whatever conditions are replaced by one that is not known here, no study is found that was not before."""
    other = forget(tree, data)
    assert holds(parse_tree(tree), study) or not holds(parse_tree(other), study)


def forget(tree, data):
    if "operand" in tree:
        return tree | {"children": [forget(child, data) for child in tree["children"]]}
    return condition("SNOMEDCT1", "EQUALS", "x") if data.draw(st.booleans()) else tree


def test_nan_is_no_json():
    with pytest.raises(ValueError):
        parse_json('{"ast": NaN}')


PARAMETERS = [
    ([], EVERYTHING),
    ([("gender", "female")], Condition("sex", ("F",))),
    ([("diagnosis", "SNOMEDCT254837009")], Condition("diagnosis", ("breast-cancer",))),
    ([("modality", "SPECT")], Condition("modality", ("NM",))),
    ([("modality", "PET")], Condition("modality", ("PT",))),
    ([("modality", "MG"), ("modality", "US")], Condition("modality", ("MG", "US"))),
    ([("bodyPart", "breast")], Condition("body_part", ("BREAST",))),
    ([("manufacturer", "General Electric")], Condition("manufacturer", ("GE",))),
    ([("manufacturer", "Toshiba")], Condition("manufacturer", ("TOSHIBA",))),
    ([("diagnosis", "SNOMEDCT363406005")], NOTHING),
    ([("gender", "")], NOTHING),
    ([("gender", "female"), ("shoeSize", "40")], NOTHING),
]


@pytest.mark.parametrize(
    ("parameters", "question"), PARAMETERS, ids=[f"{number}" for number in range(len(PARAMETERS))]
)
def test_the_form_without_a_tree(parameters, question):
    assert parse_parameters(parameters) == question


def test_parameters_hold_together():
    question = parse_parameters([("gender", "female"), ("bodyPart", "breast")])
    assert question == All((Condition("sex", ("F",)), Condition("body_part", ("BREAST",))))


ROW = Row(
    "screening", "Screening", "of <women>", 1500, 1200, (40, 74), ("F", "M"), ("MG", "DBT"), ("BREAST",)
)


def test_a_collection():
    assert json.loads(render([ROW]))["collections"] == [
        {
            "id": "screening",
            "name": "Screening",
            "description": "of &lt;women&gt;",
            "studies_count": 1500,
            "subjects_count": 1200,
            "age_range": {"min": 40, "max": 74},
            "gender": ["Female", "Male"],
            "modality": ["MG", "DBT"],
            "body_parts": ["BREAST"],
        }
    ]


@pytest.mark.parametrize("rows", [[ROW], [], [Row("few", "Few", "", None, None)]], ids=["one", "none", "few"])
def test_a_mediator_can_put_its_name_behind_the_first_brace(rows):
    told = render(rows).decode().replace("{", '{"provider":"A","provider_icon":"",', 1)
    assert json.loads(told)["provider"] == "A"


def test_what_is_too_little_to_be_told_is_absent():
    assert json.loads(render([Row("few", "Few", "", None, None), Row("one", "", "", 5, None)])) == {
        "collections": []
    }
