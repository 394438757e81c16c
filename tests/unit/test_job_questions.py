"""What jobs can be asked: read strictly, and the same however it is written (archive.job_questions)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.job_questions import DIMENSIONS, FEATURES, LABELS, JobKind, read_question

SHA256 = "0" * 64
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
members = st.dictionaries(
    st.sampled_from(["kind", "package", "features", "labels", "groups", "filters"]) | st.text(), values
)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, object]:
    filters = st.dictionaries(st.sampled_from(["age", "density"]), st.integers(1, 3), max_size=2).map(
        lambda found: {name: list(DIMENSIONS[name])[:count] for name, count in found.items()}
    )
    return {
        "kind": "features",
        "features": draw(st.lists(st.sampled_from(sorted(FEATURES)), min_size=1, max_size=12)),
        "labels": draw(st.lists(st.sampled_from(LABELS), max_size=3)),
        "groups": draw(st.lists(st.sampled_from(sorted(DIMENSIONS)), max_size=2)),
        "filters": draw(filters),
    }


class TestReading:
    @given(members)
    def test_anything_else_is_a_bad_request(self, found: dict[str, object]) -> None:
        """And what is taken holds nothing but the catalogue's names."""
        try:
            question = read_question(found)
        except BadRequest:
            return
        assert set(question.features) <= set(FEATURES)

    @given(questions(), st.randoms())
    def test_the_order_of_names_changes_nothing(self, found: dict[str, list[str]], random) -> None:
        other = {
            name: random.sample(each, len(each)) if isinstance(each, list) else each
            for name, each in found.items()
        }
        assert read_question(found).sha256("d") == read_question(other).sha256("d")

    @given(questions())
    def test_the_canonical_form_is_read_as_the_same(self, found: dict[str, object]) -> None:
        question = read_question(found)
        assert read_question(json.loads(json.dumps(question.to_json()))) == question

    def test_another_dataset_is_another_question(self) -> None:
        question = read_question({"kind": "evaluation", "package": SHA256})
        assert question.sha256("one") != question.sha256("two")

    @pytest.mark.parametrize(
        ("found", "named"),
        [
            ({}, "kind"),
            ({"kind": "shell", "command": "id"}, "kind"),
            ({"kind": "evaluation"}, "package"),
            ({"kind": "evaluation", "package": "../../etc"}, "package"),
            ({"kind": "features"}, "features"),
            ({"kind": "features", "features": ["age", "PatientID"]}, "features"),
            ({"kind": "features", "features": ["age"], "where": "1=1"}, "takes"),
            ({"kind": "features", "features": ["age"], "groups": ["vendor", "age", "density"]}, "groups"),
            ({"kind": "features", "features": ["age"], "filters": {"age": ["51"]}}, "age"),
            ({"kind": "features", "features": ["age"], "filters": {"PatientID": ["A"]}}, "filters"),
            ({"kind": "counts"}, "groups"),
            ({"kind": "counts", "groups": ["age"], "package": SHA256}, "takes"),
        ],
        ids=range(12),
    )
    def test_what_is_wrong_is_named(self, found: dict[str, object], named: str) -> None:
        with pytest.raises(BadRequest, match=named):
            read_question(found)


@pytest.mark.parametrize("feature", FEATURES.values(), ids=list(FEATURES))
def test_no_datum_moves_the_edges_of_a_histogram(feature) -> None:
    assert feature.cell(-1e9) == 0 and feature.cell(1e9) == feature.cells - 1
    assert feature.edge(0) == feature.low and feature.edge(feature.cells) == feature.high


def test_every_kind_is_one_of_this_program() -> None:
    assert set(JobKind) == {"evaluation", "features", "counts"}
