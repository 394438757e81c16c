"""In which language a page is made, and how numbers and days are written in it."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape
from starlette.datastructures import Headers

from archive.errors import BadRequest
from gateway.portal import formats
from gateway.portal.languages import LANGUAGES, choose, gettext, ngettext, speaking, told
from gateway.portal.pages import render
from gateway.portal.words import WORDS, word
from tests.unit import fake_site


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home")).client


class TestChoice:
    """RFC 9110 section 12.5.4, RFC 4647 section 3.4."""

    @pytest.mark.parametrize(
        ("accepted", "code"),
        [
            ("", "en"),
            ("de", "de"),
            ("de-CH, fr;q=0.9", "de"),
            ("fr;q=0.3, it;q=0.8, *;q=0.1", "it"),
            ("pt, es;q=0.5", "es"),
            ("pt", "en"),
            ("es;q=0", "en"),
            ("es;q=0, *", "en"),
            ("FR-ca", "fr"),
            ("de;q=x, it;q=0.1", "it"),
            ("it, es", "it"),
        ],
    )
    def test_what_the_browser_wants_most(self, accepted, code):
        assert choose(Headers({"accept-language": accepted})) == code

    def test_what_was_chosen_goes_first(self):
        assert choose(Headers({"accept-language": "de"}), "fr") == "fr"
        assert choose(Headers({"accept-language": "de"}), "tlh") == "de"

    @given(st.text(st.characters(max_codepoint=255), max_size=200))
    def test_nothing_that_a_browser_sends_is_too_odd(self, accepted):
        assert choose(Headers({"accept-language": accepted})) in LANGUAGES


class TestAnswers:
    def test_a_page_names_its_language_and_what_it_depends_on(self, client):
        answer = client.get("/programs", headers={"accept-language": "es-ES"})
        assert answer.headers["content-language"] == "es"
        assert '<html lang="es"' in answer.text
        assert {"accept-language", "cookie"} <= set(answer.headers["vary"].replace(" ", "").split(","))

    def test_what_is_no_page_is_english_whatever_is_asked_for(self, client):
        answer = client.get("/api/session", headers={"accept-language": "es"})
        assert "content-language" not in answer.headers
        assert answer.json()["title"] == "Unauthorized"

    def test_a_choice_is_kept_and_leads_back(self, client):
        chosen = client.post("/language", data={"language": "it", "next": "/programs?a=b"})
        assert (chosen.status_code, chosen.headers["location"]) == (303, "/programs?a=b")
        cookie = chosen.headers["set-cookie"]
        assert cookie.startswith("lang=it;") and "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
        answer = client.get("/programs", headers={"cookie": "lang=it", "accept-language": "de"})
        assert '<html lang="it"' in answer.text

    @pytest.mark.parametrize("after", ["//evil.test/", "https://evil.test/", "/\\evil.test", "javascript:x"])
    def test_a_choice_leads_to_no_other_site(self, client, after):
        answer = client.post("/language", data={"language": "it", "next": after})
        assert answer.headers["location"] == "/"

    def test_a_language_that_there_is_none_of_is_not_kept(self, client):
        answer = client.post("/language", data={"language": "<script>", "next": "/"})
        assert "set-cookie" not in answer.headers

    def test_another_site_chooses_nothing(self, client):
        headers = {"origin": "https://evil.test"}
        assert client.post("/language", data={"language": "it"}, headers=headers).status_code == 403


class TestTexts:
    def test_a_number_has_the_form_of_its_language(self):
        with speaking("fr"):
            assert ngettext("%(n)s study, %(order)s", "%(n)s studies, %(order)s", 0).startswith(
                "%(n)s examen,"
            )
        with speaking("de"):
            assert ngettext("%(n)s study, %(order)s", "%(n)s studies, %(order)s", 2).startswith(
                "%(n)s Untersuchungen"
            )

    def test_an_error_is_told_as_a_sentence(self):
        error = BadRequest("%(name)s is missing", name="purpose")
        assert (str(error), told(error)) == ("purpose is missing", "Purpose is missing.")
        with speaking("de"):
            assert told(error) == "Purpose fehlt."

    def test_an_error_without_values_keeps_its_percent_signs(self):
        assert told(BadRequest("a share is 50% at most")) == "A share is 50% at most."

    @pytest.mark.parametrize("code", LANGUAGES)
    def test_what_a_page_is_given_is_escaped_in_every_language(self, code):
        with speaking(code):
            page = render("refused.html", why="<script>", visit=_Visitor(), style="/portal.css", htmx="")
        assert "<script>" not in page and escape("<script>") in page

    def test_every_word_has_a_translation(self):
        with speaking("de"):
            same = {text for kind in WORDS.values() for text in kind.values() if gettext(text) == text}
        assert same <= {"offered"} or same == set() or all(text.lower() == text for text in same)

    def test_a_value_without_a_word_is_shown_as_it_is(self):
        assert word("something new", "task") == "something new"


class _Visitor:
    path, appearance, subject, csrf, manages = "/", "device", "", "", False

    def current(self, path: str) -> str:
        return ""

    def has(self, *roles: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("code", "number", "share", "day"),
    [
        ("en", "12,345.7", "17%", "3 Nov 2026"),
        ("es", "12.345,7", "17\xa0%", "3 nov 2026"),
        ("fr", "12\u202f345,7", "17\xa0%", "3 nov. 2026"),
        ("de", "12.345,7", "17\xa0%", "03.11.2026"),
        ("it", "12.345,7", "17%", "3 nov 2026"),
    ],
)
def test_numbers_and_days(code, number, share, day):
    with speaking(code):
        assert formats.number(12345.67, 1) == number
        assert formats.percent(0.1734) == share
        assert formats.day(date(2026, 11, 3)) == formats.study_date("20261103") == day
        assert formats.moment(datetime(2026, 11, 3, 23, 30, tzinfo=UTC)) == f"{day}, 23:30 UTC"


@pytest.mark.parametrize("text", ["", "2026", "20261399", "2026-1-3", "today"])
def test_a_study_date_that_is_none_is_shown_as_it_is(text):
    assert formats.study_date(text) == text


def test_a_form_from_nowhere_is_no_failure(client) -> None:
    """A Referer with brackets that hold no address (RFC 3986 section 3.2.2)."""
    assert client.post("/language", headers={"referer": "http://[/"}).status_code < 500
