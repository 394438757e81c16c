"""Every command of README, CONTRIBUTING and docs/ runs as it is written, in a folder with a running site."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from inference.demo import VIEWS, demo_exam
from tests import documents, oidc, shell
from tests.documents import ROOT, Block, Command
from tests.drawn_text import draw_names, ultrasound
from tests.federation.nodes import Node, serve_node
from tests.integration.documented import PAGES, Page
from tests.live import LiveSite, eventually, find_free_ports, temporary_home
from tests.pacs import AET, Provider
from tests.receiver import receiving

PATIENCE = 120.0
RUN = (*documents.SHELLS, "python")
OF_THE_CHECKOUT = ("inference", "tools", "orthanc.json", "docker-compose.yml", "pyproject.toml", "Makefile")


PICK = """
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1:]:
    value = value[int(key) if isinstance(value, list) else key]
print(value)
"""


class Desk:
    """Where somebody sits who reads the pages: a folder, the programs, a site, and a hub with a site of its own."""

    def __init__(self, folder: Path, site: LiveSite, stack: ExitStack, addresses: dict[str, str]) -> None:
        self.folder = folder
        self._stack = stack
        self._site = site
        self.dicom_port = site.settings.dicom_port
        self._places: dict[str, LiveSite | Node] = {"site": site}
        self._shells: dict[str, shell.Shell] = {}
        self._addresses = addresses | {
            "http://127.0.0.1:8080": site.base_url,
            "https://images.hospital.example": site.base_url,
            "127.0.0.1 4242": f"127.0.0.1 {site.settings.dicom_port}",
        }

    def walk(self, page: str) -> None:
        """Run the blocks of a page, each place's in a shell of its own. Raises AssertionError."""
        known = PAGES.get(page, Page())
        with ExitStack() as stack:
            self._shells = {}
            for block in runnable(page):
                if block.place not in self._shells:
                    self._shells[block.place] = stack.enter_context(self._shell(block.place))
                    self._must(
                        block.place, f"{page}, before it", self._spelt(block.place, known.before, known)
                    )
                for command in commands(block):
                    self._run(block, command, known)

    def _run(self, block: Block, command: Command, known: Page) -> None:
        text, where = self._spelt(block.place, command.text, known), f"{block.page}:{command.line}"
        typed = next((typed for begun, typed in known.typed.items() if command.text.startswith(begun)), "")
        if known.fails and command.text.startswith(known.fails):
            text += " || test $? = 1"
        said = self._must(block.place, where, text, self._spelt(block.place, typed, known))
        assert agrees(command.answer, said), f"{where}: the page says\n{command.answer}\nand it is\n{said}"

    def _must(self, place: str, where: str, text: str, typed: str = "") -> str:
        done = self._shells[place].run(text or "true", PATIENCE, f"{typed}\n")
        assert done.status == 0, f"{where}: {text}\nexit status {done.status}\n{done.output}{done.errors}"
        return done.output

    def _spelt(self, place: str, text: str, known: Page) -> str:
        """A command with the words of a page, and its addresses, replaced by what they are here."""
        for address, here in self._addresses.items():
            text = text.replace(address, here)
        for word in sorted(known.words, key=len, reverse=True):
            found = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")
            if found.search(text):
                value = self._value(place, word, known.words[word])
                text = found.sub(lambda _, value=value: value, text)
        return text

    def _value(self, place: str, word: str, source: str) -> str:
        if source.startswith("at "):
            place, _, source = source.removeprefix("at ").partition(": ")
        if not source.startswith("select "):
            return self._must(place, f"the word {word}", source).strip()
        with self._places[place].database() as connection:
            row = eventually(lambda: connection.execute(source).fetchone())
        return str(row[0])

    def _shell(self, place: str) -> shell.Shell:
        if place not in self._places:
            home = self._stack.enter_context(temporary_home())
            self._places[place] = self._stack.enter_context(serve_node(self._site, home))
        environment = dict(self._places[place].environment)
        environment["PATH"] = f"{self.folder}/.venv/bin:{os.environ['PATH']}"
        return shell.Shell(self.folder, environment)


def runnable(page: str) -> list[Block]:
    return [block for block in documents.blocks(page) if block.language in RUN and not block.reason]


def commands(block: Block) -> list[Command]:
    """The commands of a block; of Python, all of it is one, which finds a token in `token`."""
    if block.language != "python":
        return documents.commands(block)
    begun = "import subprocess\ntoken = subprocess.check_output(['senogate', 'token'], text=True).strip()\n"
    return [Command(block.line, f"python - <<'END'\n{begun}{block.text}END", "")]


def agrees(answer: str, said: str) -> bool:
    """Whether a command said what the page shows; … stands for anything, white space for white space."""
    parts = [r"\s+".join(map(re.escape, part.split())) for part in answer.split("…")]
    return not answer or re.search(r"(?s)^\s*" + r"\s*.*?\s*".join(parts) + r"\s*$", said) is not None


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_home())
        folder.mkdir(mode=0o755)
        lay(folder)
        pacs = stack.enter_context(Provider(lambda _: 0x0000, finds=True))
        receiver = stack.enter_context(receiving())
        provider = stack.enter_context(oidc.provider())
        destinations = {
            name: {"aet": AET, "host": "127.0.0.1", "port": port}
            for name, port in (("pacs", pacs.port), ("away", find_free_ports(1)[0]))
        }
        settings = {
            "SENOGATE_DESTINATIONS": json.dumps(destinations),
            "SENOGATE_ACKNOWLEDGE": "The results are for research use only and decide nothing about a patient.",
            "SENOGATE_PIXEL_CLEANING": "review",
        }
        site = LiveSite(folder / ".senogate", find_free_ports(3), settings)
        stack.callback(site.stop)
        site.start()
        stack.enter_context(shell.program(folder / ".venv" / "bin"))
        assert site.send(folder / "given")["sent"]
        addresses = {
            "https://tool.example/hook": receiver.url,
            "https://login.hospital.example/realms/imaging": provider.url,
        }
        yield Desk(folder, site, stack, addresses)


def lay(folder: Path) -> None:
    """What a checkout has, programs, and an exam."""
    for name in OF_THE_CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "python3"):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "pick").write_text(f"#!{sys.executable} -IS\n{PICK}")
    (programs / "pick").chmod(0o755)
    write_exam(folder / "given" / "exam-7", demo_exam(seed=None))
    shutil.copytree(folder / "given", folder / "exams")
    for name in ("gone", "told"):
        (folder / name).mkdir()
        dataset = dcmread(BytesIO(demo_exam(seed=None)[0]))
        dataset.PatientID = f"{name.upper()}-1"
        del dataset.IssuerOfPatientID
        dataset.save_as(folder / name / "L-CC.dcm")
        (folder / f"{name}.uid").write_text(dataset.StudyInstanceUID)
    (folder / "held").mkdir()
    frame, _ = draw_names(2, light=True, rows=240, columns=320)  # of which all names are found and masked
    for number in range(6):
        (folder / "held" / f"{number}.dcm").write_bytes(ultrasound(frame))


def write_exam(folder: Path, instances: list[bytes]) -> None:
    folder.mkdir(parents=True)
    for (laterality, view), instance in zip(VIEWS, instances, strict=True):
        (folder / f"{laterality}-{view}.dcm").write_bytes(instance)


@pytest.mark.parametrize("page", [page for page in documents.pages() if runnable(page)])
def test_every_command_of_a_page_runs(page: str, desk: Desk) -> None:
    desk.walk(page)


def test_reception_takes_what_the_conformance_statement_names(desk: Desk) -> None:
    """PS3.2 annex N: the SOP classes and transfer syntaxes of the Storage SCP."""
    section = documents.read("docs/conformance.md").partition("##### 5.2.5.2")[2].partition("#### 5.2.6")[0]
    named = re.findall(r"\| (1\.2\.840\.10008\.[\d.]+\d) \|", section)
    classes = [uid for uid in named if uid.startswith("1.2.840.10008.5.1.4.1.1.")]
    syntaxes = [uid for uid in named if uid not in classes]
    entity = AE()
    for uid in classes:
        entity.add_requested_context(uid, "1.2.840.10008.1.2.1")
    for uid in syntaxes:
        entity.add_requested_context(classes[0], uid)
    association = entity.associate("127.0.0.1", desk.dicom_port)
    assert association.is_established
    accepted = {(each.abstract_syntax, *each.transfer_syntax) for each in association.accepted_contexts}
    association.release()
    assert {uid for uid, _ in accepted} == set(classes)
    assert {uid for _, uid in accepted} == set(syntaxes)
