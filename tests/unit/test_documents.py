"""The documentation agrees with itself and with the repository: index, links, commands that are named, blocks, API."""

import inspect
import json
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from archive.settings import Settings
from deidentification.declaration import OPTION_CODES
from deidentification.profile import Profile
from inference.delivery.described import SOP_CLASSES
from senogate.cli import app
from tests import documents
from tests.documents import INDEX, ROOT
from tools import make_conformance_tables

PAGES = documents.pages()
ROOMS = ("archive", "deidentification", "federation", "gateway", "inference", "orthanc_plugin", "senogate")
MOST_NOT_RUN = 16
LANGUAGES = {"", "console", "csv", "json", "mermaid", "nginx", "python", "sh", "toml", "yaml"}


def test_the_index_leads_to_every_page_once() -> None:
    linked = documents.links(documents.read("docs/README.md"))
    here = {path.name for path in INDEX.parent.glob("*.md")} - {"README.md"}
    assert here - set(linked) == set()


def test_the_index_of_decisions_leads_to_all() -> None:
    folder = INDEX.parent / "adr"
    linked = set(documents.links((folder / "README.md").read_text("utf-8")))
    assert {path.name for path in folder.glob("0*.md")} == linked


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    broken = [link for link in documents.links(documents.read(page)) if not (folder / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_anchors_are_headings(page: str) -> None:
    found = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", documents.read(page))
    targets = [((ROOT / page).parent / link if link else ROOT / page, anchor) for link, anchor in found]
    assert [f"{path.name}#{anchor}" for path, anchor in targets if anchor not in anchors(path)] == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as renderers of Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_blocks_that_are_run(page: str) -> None:
    lines = prose(page).splitlines()
    loose = [line for line in lines if re.match(r"(?: {4}|\t)(?:\$ )?(senogate|curl|make|docker|pip) ", line)]
    assert loose == []
    assert {block.language for block in documents.blocks(page)} <= LANGUAGES
    plain = [block.text for block in documents.blocks(page) if block.language == ""]
    assert [text for text in plain if re.search(r"^(\$ |senogate |curl )", text, re.MULTILINE)] == []


def test_few_blocks_are_not_run() -> None:
    reasons = [block.reason for page in PAGES for block in documents.blocks(page) if block.reason]
    assert len(reasons) <= MOST_NOT_RUN, reasons
    assert [reason for reason in reasons if len(reason.split()) < 3] == []


@pytest.mark.parametrize("page", PAGES)
def test_named_commands_are_there(page: str) -> None:
    """`senogate …` in running text and tables: the command, and each option."""
    named = re.findall(r"`(?:\.venv/bin/)?senogate ([^`]+)`", prose(page))
    named = [each for each in named if not re.fullmatch(r"[\w ]+ \d", each)]  # what is signed begins so
    assert [f"senogate {each}: {wrong}" for each in named if (wrong := fault(" ".join(each.split())))] == []


def prose(page: str) -> str:
    """A page without its blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", documents.read(page))


def fault(text: str) -> str:
    """What is wrong with a command as it is named: no such command, no such option; "" where nothing is."""
    words = shlex.split(re.sub(r"[…\[\]|]", " ", text))
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "get_command") and not words[0].startswith("-"):
        name = words.pop(0)
        found = command.get_command(None, name)
        if found is None:
            return f"no command {name}"
        command = found
    options = {"--help"} | {option for parameter in command.params for option in parameter.opts}
    options |= {option for parameter in command.params for option in parameter.secondary_opts}
    return ", ".join(word for word in words if word.startswith("--") and word not in options)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_data_can_be_read(page: str) -> None:
    for block in documents.blocks(page):
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "json":
            json.loads(block.text)


def test_settings_that_pages_set_are_there() -> None:
    known = set(Settings.__dataclass_fields__)
    named = {
        name.lower() for page in PAGES for name in re.findall(r"SENOGATE_([A-Z0-9_]+)", documents.read(page))
    }
    files = {f"{name}_file" for name in known}  # which hold the value
    assert named - known - files <= {"token"}  # of download.sh


def test_files_that_pages_name_are_there() -> None:
    rooms = "|".join((*ROOMS, "tests", "benchmarks", "tools", "docs", "deploy", "typings"))
    named = {
        (page, path)
        for page in PAGES
        for path in re.findall(
            rf"`((?:{rooms})/[\w./-]+?\.(?:csv|md|py|sh|sql|toml|ttl))`", documents.read(page)
        )
    }
    assert sorted((page, path) for page, path in named if not (ROOT / path).exists()) == []


def test_diagrams_name_parts_that_are_there() -> None:
    blocks = [block for block in documents.blocks("docs/architecture.md") if block.language == "mermaid"]
    named = {path for block in blocks for path in re.findall(r"[a-z_]+/[\w/]+(?:\.py|\b)", block.text)}
    assert len(blocks) >= 3
    assert len(named) >= 10
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_tables_of_web_services_are_those_of_the_gateway() -> None:
    """PS3.18 section 8.9: the same operations as in the capabilities."""
    document = make_conformance_tables.DOCUMENT.read_text("utf-8")
    assert make_conformance_tables.make(document) == document, "run python tools/make_conformance_tables.py"


def test_the_statement_names_the_options_of_the_profile() -> None:
    """PS3.15 E.3, CID 7050."""
    section = documents.read("docs/conformance.md").partition("### 1.6")[2].partition("### 1.7")[0]
    options = Profile.load("breast-screening").options
    assert set(re.findall(r"\b1131\d\d\b", section)) == {OPTION_CODES[option] for option in options}


def test_the_statement_names_what_is_delivered() -> None:
    section = (
        documents.read("docs/conformance.md").partition("##### 5.2.5.1")[2].partition("##### 5.2.5.2")[0]
    )
    assert set(re.findall(r"1\.2\.840\.10008\.5\.1\.4[\d.]+\d", section)) == set(SOP_CLASSES.values())


def named_in_api() -> list[str]:
    rooms = "|".join(ROOMS)
    rows = re.findall(r"(?m)^\| (`.+?) \| ", documents.read("docs/api.md"))
    return re.findall(rf"`((?:{rooms})\.[\w.]+)`", " ".join(rows))


@pytest.mark.parametrize("name", named_in_api())
def test_the_public_interface_is_there_typed_and_described(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())


@pytest.mark.parametrize("room", ROOMS)
def test_packages_are_typed(room: str) -> None:
    """PEP 561."""
    assert (ROOT / room / "py.typed").exists()
    assert (
        "py.typed"
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    )
