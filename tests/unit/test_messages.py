"""The catalogues of the pages' texts: whole, up to date with what they are collected from, and alike in their parts."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from archive.attributes import Level
from archive.errors import BadRequest
from archive.query import parse_query
from gateway.portal.languages import ENGLISH, LANGUAGES, speaking, told
from gateway.search.question import read_question
from tools import messages
from tools.messages import CODES, ERRORS, LOCALES, ROOT, TEMPLATE

_PLACES = re.compile(r"%(?:\((\w+)\)s|%)")
_TAGS = re.compile(r"</?[a-z][^>]*>")
_MARKUP = '<>&"'
PORTAL = sorted(path.relative_to(ROOT) for path in ROOT.glob("gateway/portal/*.py"))
_WORDS = {  # of texts that say what AI is for: none of them may be left out
    "de": ("KI", "Forschung"),
    "es": ("IA", "investigación"),
    "fr": ("IA", "recherche"),
    "it": ("IA", "ricerca"),
}


def catalogue(code: str) -> Catalog:
    path = LOCALES / code / "LC_MESSAGES/senogate.po"
    return read_po(BytesIO(path.read_bytes()), locale=code, abort_invalid=True)


def bare(text: str) -> str:
    """A text without its tags."""
    return _TAGS.sub("", text)


def texts(message: Message) -> list[str]:
    return list(message.string) if isinstance(message.string, (list, tuple)) else [message.string]


def sources(message: Message) -> list[str]:
    return list(message.id) if isinstance(message.id, (list, tuple)) else [message.id]


@pytest.fixture(scope="module", params=CODES)
def translated(request: pytest.FixtureRequest) -> list[Message]:
    return [message for message in catalogue(request.param) if message.id]


@pytest.fixture(scope="module")
def collected() -> Catalog:
    return messages.collect()


def test_there_is_a_catalogue_of_each_language():
    assert {*CODES, ENGLISH} == set(LANGUAGES)


def test_the_template_has_the_texts_that_pages_have(collected):
    """`python tools/messages.py` writes it."""
    assert messages.text_of(collected).decode() == TEMPLATE.read_text("utf-8")


@pytest.mark.parametrize("code", CODES)
def test_a_catalogue_has_the_texts_of_the_template(code, collected):
    merged = messages.text_of(messages.merge(code, collected))
    assert merged.decode() == (LOCALES / code / "LC_MESSAGES/senogate.po").read_text("utf-8")


def test_no_text_lacks_a_translation(translated):
    missing = [message.id for message in translated if message.fuzzy or not all(texts(message))]
    assert missing == []


def test_a_translation_has_the_values_of_its_text(translated):
    """Each of them may be left out of a singular, which can say `one`."""
    for message in translated:
        wanted = [set(_PLACES.findall(text)) for text in sources(message)]
        for found, known in zip(map(_PLACES.findall, texts(message)), wanted, strict=False):
            assert set(found) == known, message.id
        for text in texts(message):
            assert "%" not in _PLACES.sub("", text) or "%" in _PLACES.sub("", sources(message)[0]), text


def test_a_translation_has_the_tags_of_its_text(translated):
    """A text of a template is taken for HTML, in an attribute as well."""
    for message in translated:
        tags = Counter(_TAGS.findall(sources(message)[-1]))
        for text in texts(message):
            assert Counter(_TAGS.findall(text)) == tags, message.id
            assert set(_MARKUP) & set(bare(text)) <= set(bare(sources(message)[0])), message.id


def test_what_is_for_research_is_so_in_every_language():
    for code, wanted in _WORDS.items():
        said = [one for one in catalogue(code) if one.id and "AI, research use only" in sources(one)[0]]
        assert said
        for message in said:
            assert all(word in text for word in wanted for text in texts(message)), (code, message.id)


@pytest.mark.parametrize("path", sorted(ROOT.glob("gateway/portal/*.html")), ids=lambda path: path.name)
def test_a_template_translates_constants_alone(path):
    """What `_` gives counts as HTML: of a variable it would be whatever somebody wrote."""
    parsed = Environment(extensions=["jinja2.ext.i18n"]).parse(path.read_text("utf-8"))
    for call in parsed.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in ("_", "gettext", "pgettext"):
            assert all(isinstance(each, nodes.Const | nodes.TemplateData) for each in call.args), path.name


_SHOWN = re.compile(
    r">[^<>{}=]*[A-Za-z]{2,}[^<>{}=]*<|(?:aria-label|placeholder|title|alt)=\"[^\"{}]*[A-Za-z]{2,}"
)
_NAMES = re.compile(
    r"<(code|pre|svg|span class=\"brand\")\b.*?</\1>|Senogate|DICOMweb|FHIR|JSON|CSV|SHA-256|FAIR Data Point"
    r"|OAuth 2.0 client credentials|/[a-z./-]+(?=</a>)",
    re.DOTALL,
)


@pytest.mark.parametrize("path", sorted(ROOT.glob("gateway/portal/*.html")), ids=lambda path: path.name)
def test_a_template_shows_no_text_that_is_not_marked(path):
    text = re.sub(
        r"{%-? *trans.*?endtrans *-?%}|{#.*?#}|{%.*?%}|{{.*?}}", "", path.read_text("utf-8"), flags=re.DOTALL
    )
    assert _SHOWN.findall(_NAMES.sub("", text)) == []


def test_errors_that_are_collected_are_errors():
    import archive.errors
    import gateway.authentication
    import gateway.sessions

    known = {*vars(archive.errors), *vars(gateway.sessions), *vars(gateway.authentication)}
    assert set(ERRORS) <= known
    assert all((ROOT / path).exists() for path in messages.SHOWN)


def raised(path: Path) -> Iterator[ast.expr]:
    """The first arguments of errors that a module raises."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ERRORS:
            yield from call.args[:1]


@pytest.mark.parametrize("name", [*messages.SHOWN, *map(str, PORTAL)])
def test_an_error_that_a_page_shows_is_put_together_by_its_translation(name):
    """A text that holds its values already has no translation."""
    found = [ast.unparse(each) for each in raised(ROOT / name) if isinstance(each, ast.JoinedStr | ast.BinOp)]
    assert found == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"is": "colour", "in": ["red"]},
        {"is": "density", "in": ["e"]},
        {"is": "age", "from": -1},
        {"is": "date", "from": "1 May"},
        {"all": {}},
        {"is": "modality", "from": 1},
    ],
)
def test_a_question_that_is_none_is_told_in_the_readers_language(wrong):
    with pytest.raises(BadRequest) as caught, speaking("de"):
        read_question(wrong)
    with speaking("de"):
        assert told(caught.value) != str(caught.value) and "takes" not in told(caught.value)


@pytest.mark.parametrize("key", ["StudyDate=x", "StudyTime=x", "StudyInstanceUID=x", "Rows=1", "limit=x"])
def test_a_search_that_is_none_is_told_in_the_readers_language(key):
    with pytest.raises(BadRequest) as caught:
        parse_query(Level.STUDY, [tuple(key.split("="))])
    with speaking("fr"):
        assert told(caught.value).lower().rstrip(".") != str(caught.value).lower()
