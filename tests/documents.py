"""The pages of the documentation, as tests read them: blocks, the commands in them, links, and what is not run."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "docs" / "README.md"
SHELLS = ("sh", "console")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!-- (not run|run at): ([^>]+?) -->\n *\Z")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins and what it is.

    A comment above it may say why it is not run (`reason`), or where it is, if not at the site (`place`).
    """

    page: str
    line: int
    language: str
    text: str
    reason: str
    place: str


@dataclass(frozen=True)
class Command:
    """One command of a block with the line that it begins on, and what a page shows as its answer, if anything."""

    line: int
    text: str
    answer: str


def pages() -> list[str]:
    """Every page by its path: README, the index and what it links in its order, then all others."""
    linked = [f"docs/{link}" for link in links(INDEX.read_text("utf-8")) if link.endswith(".md")]
    named = [str(Path(each).as_posix()) for each in linked if not each.startswith("docs/../")]
    found = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    order = ["README.md", "docs/README.md", *named, *found, "CONTRIBUTING.md"]
    return [page for page in dict.fromkeys(order) if (ROOT / page).exists()]


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def links(text: str) -> list[str]:
    """Where a page's links lead, without their anchors, and but for addresses; each once, in their order."""
    found = (link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link)
    return [link for link in dict.fromkeys(found) if link]


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = read(page)
    for match in _FENCE.finditer(text):
        comment = _COMMENT.search(text, 0, match.start())
        said = {comment[1]: " ".join(comment[2].split())} if comment else {}
        yield Block(
            page,
            text.count("\n", 0, match.start()) + 2,
            match["language"],
            "".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True)),
            said.get("not run", ""),
            said.get("run at", "site"),
        )


def commands(block: Block) -> list[Command]:
    """The commands of a block of a shell: all lines of `sh`; of `console` those behind a dollar sign."""
    if block.language == "console":
        return _from_console(block)
    return [Command(line, text, "") for line, text in _whole(enumerate(block.text.splitlines(), block.line))]


def _from_console(block: Block) -> list[Command]:
    found: list[list[tuple[int, str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append([])
        assert found, f"{block.page}:{number}: a console block begins with a command"
        found[-1].append((number, line.removeprefix("$ ").removeprefix("> ")))
    return [_with_answer(lines) for lines in found]


def _with_answer(lines: list[tuple[int, str]]) -> Command:
    line, text = next(_whole(iter(lines)))
    return Command(line, text, "\n".join(each for _, each in lines[text.count("\n") + 1 :]))


def _whole(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Commands of one line or of as many as the shell needs for them."""
    begun = ""
    first = 0
    for number, line in lines:
        first = first if begun else number
        begun = f"{begun}\n{line}" if begun else line
        if not begun.strip() or begun.lstrip().startswith("#"):
            begun = ""
        elif _is_complete(begun):
            yield first, begun
            begun = ""
    assert not begun, f"what begins on line {first} has no end"


def _is_complete(text: str) -> bool:
    if text.endswith("\\"):
        return False
    if not re.search(r"<<|\b(for|while|if|case)\b|['\"({]", text):
        return True
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    return not done.returncode and "here-document" not in done.stderr
