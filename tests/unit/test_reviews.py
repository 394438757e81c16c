"""What a reader may say of findings, and what of it is on record."""

import unicodedata
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from archive.reviews import LONGEST, LONGEST_NAME, Address, Decision, Opinion, Review, _digest
from tests.unit import fake_site

ADDRESS = Address("1.2.3", "lesions", "MG")
SAID = {
    "review_id": "0c3b",
    "decision": "reject",
    "lesion": "L1",
    "comment": "A skin fold.",
    "at": "2026-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    site = fake_site.build(tmp_path_factory.mktemp("home"))
    return site.client.get("/openapi.json").json()["paths"]


@given(st.text(max_size=40))
def test_a_comment_that_is_taken_has_no_control_characters_but_line_feeds(text: str) -> None:
    try:
        comment = Opinion(Decision.ACCEPT, "", text).comment
    except BadRequest:
        return
    assert all(unicodedata.category(each) != "Cc" for each in comment.replace("\n", ""))
    assert not any(unicodedata.bidirectional(each) in ("RLO", "LRO", "RLE", "LRE", "PDF") for each in comment)


@given(st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=40))
def test_words_in_any_language_are_taken(text: str) -> None:
    assert Opinion(Decision.REJECT, "", text).comment == text


@pytest.mark.parametrize(
    ("decision", "lesion", "comment", "named"),
    [
        (Decision.ACCEPT, "", "x" * (LONGEST + 1), "comment"),
        (Decision.ACCEPT, "", "a\rb", "comment"),
        (Decision.ACCEPT, "", "a\x85b", "comment"),
        (Decision.ACCEPT, "", "\u2067txet", "comment"),
        (Decision.COMMENT, "", " \n ", "comment"),
        (Decision.ACCEPT, "L" * (LONGEST_NAME + 1), "", "lesion"),
        (Decision.ACCEPT, "L\n1", "", "lesion"),
    ],
)
def test_what_is_malformed_is_refused_by_its_name(
    decision: Decision, lesion: str, comment: str, named: str
) -> None:
    with pytest.raises(BadRequest, match=f"^{named} "):
        Opinion(decision, lesion, comment)


@pytest.mark.parametrize("member", SAID)
def test_the_hash_on_record_is_of_all_that_was_said(member: str) -> None:
    assert _digest(ADDRESS, SAID) == _digest(ADDRESS, dict(SAID))
    assert _digest(ADDRESS, SAID) != _digest(ADDRESS, SAID | {member: "other"})


def test_a_review_can_t_be_changed() -> None:
    review = Review(*(["x"] * len(fields(Review))))
    with pytest.raises(AttributeError):
        review.decision = "accept"


class TestOpenApi:
    def test_a_review_needs_its_scope_and_reading_its_own(self, paths) -> None:
        reviews = paths["/api/studies/{study}/readings/{task}/{modality}/reviews"]["post"]
        assert reviews["security"] == [{"oauth": ["results.review"]}]
        assert paths["/api/studies/{study}/readings"]["get"]["security"] == [{"oauth": ["dicomweb.read"]}]
        assert paths["/api/session"]["get"]["security"] == [{"oauth": []}]

    def test_the_payload_is_that_of_the_decisions(self, paths) -> None:
        body = paths["/api/studies/{study}/readings/{task}/{modality}/reviews"]["post"]["requestBody"]
        schema = body["content"]["application/json"]["schema"]
        assert schema["properties"]["decision"]["enum"] == list(Decision)
        assert schema["required"] == ["decision"]
