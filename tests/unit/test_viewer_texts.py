"""The viewer's texts in the reader's language: whole, put in where scripts ask for them, and of all meanings known."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import pytest

from archive.findings import Code
from gateway.portal.languages import ENGLISH, LANGUAGES, texts_of
from gateway.viewer.meanings import MEANINGS
from inference import density
from inference.answers import classes, mask, risk
from inference.installed import BUILT_IN
from inference.quality import codes
from tests.unit import fake_site
from tests.unit.test_viewer_scripts import NODE, SCRIPTS

FOLDER = "gateway/viewer/"
_SAID = re.compile(r'\b(?:_|marked)\(\s*"([^"]+)"')
_QUOTED = re.compile(r'"([A-Z][a-z]+(?:[ ,;:][^"]*)?)"|`([A-Z][a-z]+ [^`]*)`')


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home")).client


def texts_in(answer) -> dict[str, object]:
    """What was put into the script."""
    return json.loads(re.search(r"const .* = ({.*});", answer.text)[1])


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_script_has_the_texts_of_the_language_that_is_asked_for(client, code):
    answer = client.get("/viewer/scripts/texts.js", headers={"accept-language": code})
    told = texts_in(answer)
    assert (told["language"], "Still being read." in told["texts"]) == (code, code != ENGLISH)
    assert {"accept-language", "cookie"} <= set(answer.headers["vary"].replace(" ", "").split(","))
    assert answer.headers["cache-control"] == "no-cache"


def test_another_language_is_another_entity(client):
    tags = [
        client.get("/viewer/scripts/texts.js", headers={"accept-language": code}).headers["etag"]
        for code in ("de", "fr", "de")
    ]
    assert tags[0] == tags[2] != tags[1]


def test_the_way_back_to_the_worklist_is_told_in_the_readers_language(client):
    assert '"Arbeitsliste"' in client.get("/viewer/app-config.js", headers={"accept-language": "de"}).text


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.js")), ids=lambda path: path.name)
def test_every_text_of_a_script_is_collected(path: Path):
    assert set(_SAID.findall(path.read_text("utf-8"))) <= set(texts_of(FOLDER, "de"))


@pytest.mark.parametrize("name", ["panel.js", "panel-content.js", "extension.js", "overlay.js", "mode.js"])
def test_no_sentence_of_a_script_is_left_in_english(name):
    text = re.sub(r"//.*|/\*.*?\*/", "", (SCRIPTS / name).read_text("utf-8"), flags=re.DOTALL)
    left = {found for pair in _QUOTED.findall(_SAID.sub("", text)) for found in pair if found}
    assert left <= {"Read"}  # the mode's name, of which OHIF has only one


def test_a_text_has_its_values_and_what_has_no_translation_stays():
    body = (SCRIPTS / "texts.js").read_text("utf-8")
    texts = {"language": "de", "texts": {"Show in %(place)s": "Zeigen: %(place)s"}}
    body = body.replace('"{{ texts }}"', json.dumps(texts))
    asked = [["Show in %(place)s", {"place": "%(place)s $&"}], ["toString", {}], ["%(other)s", {}]]
    body += f"console.log(JSON.stringify([{json.dumps(asked)}.map((one) => _(...one)), isTranslated('toString')]));"
    done = run([NODE, "--input-type=module", "-e", body], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["Zeigen: %(place)s $&", "toString", "%(other)s"], False]


def meanings() -> Iterator[str]:
    """Of all codes that this program's own models answer by."""
    held = [*vars(codes).values(), *vars(density).values(), *vars(mask).values(), *vars(classes).values()]
    held += [each for one in held if isinstance(one, dict) for each in one.values()]
    held += [risk.within(year) for year in range(1, risk.YEARS + 1)]
    for path in BUILT_IN.glob("*/passport.toml"):
        passport = tomllib.loads(path.read_text("utf-8"))
        held += map(risk.relative, passport["inputs"].get("features", ()))
        yield from re.findall(r'^meaning = "(.*)"$', path.read_text("utf-8"), re.MULTILINE)
    yield from (each.meaning for each in held if isinstance(each, Code) and each.scheme != "UCUM")


def test_what_models_of_this_program_mean_has_a_translation():
    assert set(meanings()) == set(MEANINGS)
