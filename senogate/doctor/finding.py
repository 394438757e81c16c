"""What a check found: how a thing is, what was seen of it, and what somebody does about it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from archive.state_item import Item, Level

_ORDER = (Level.ACT, Level.UNKNOWN, Level.LOOK, Level.FINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at and stays the same; `said`, `todo` and `command` are for people."""

    check: str
    level: Level
    said: str
    todo: str = ""
    command: str = ""

    @property
    def is_trouble(self) -> bool:
        """Whether it is wrong, or could not be looked at: either ends the command with exit status 1."""
        return self.level in (Level.ACT, Level.UNKNOWN)

    def to_json(self) -> dict[str, str]:
        return asdict(self) | {"level": self.level.value}

    def to_text(self) -> str:
        said = self.said if self.said.endswith(("?", "!")) else f"{self.said}."
        todo = f" {self.todo}" if self.todo else ""
        command = f" ({self.command})" if self.command else ""
        return f"{self.level.value}: {self.check}: {said}{todo}{command}"


def fine(check: str, said: str) -> Finding:
    return Finding(check, Level.FINE, said)


def consider(check: str, said: str, todo: str, command: str = "") -> Finding:
    return Finding(check, Level.LOOK, said, todo, command)


def act(check: str, said: str, todo: str, command: str = "") -> Finding:
    return Finding(check, Level.ACT, said, todo, command)


def unknown(check: str, said: str, todo: str = "") -> Finding:
    return Finding(check, Level.UNKNOWN, said, todo)


def of_item(item: Item) -> Finding:
    """What the state of the node tells of a thing (archive/state.py)."""
    return Finding(item.name, item.level, f"{item.title}: {item.text}".rstrip("."), item.todo, item.command)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Those first that call for most; each level in the order of the checks."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.level))
