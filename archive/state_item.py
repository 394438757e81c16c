"""One thing that a site's state is told by: how it is, in words with figures, and what it calls for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """What somebody has to do about a thing: nothing, have a look, or act now. `UNKNOWN`: it could not be asked."""

    FINE = "fine"
    LOOK = "look"
    ACT = "act"
    UNKNOWN = "unknown"


def marked(message: str) -> str:
    """The same text: marks it for collection by tools/messages.py; a page translates it where it is shown."""
    return message


UNKNOWN = marked("It could not be asked.")


@dataclass(frozen=True, slots=True)
class Item:
    """`title` and `todo` are texts, `said` one for `%` with `values`: whole numbers, names, and moments.

    `link` is the path of a page and `command` a command line, which the action that is called for begins with.
    """

    name: str
    title: str
    level: Level = Level.FINE
    said: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    todo: str = ""
    link: str = ""
    command: str = ""

    @property
    def text(self) -> str:
        """What is said, in English; moments as days."""
        return (
            self.said % {name: _plain(value) for name, value in self.values.items()}
            if self.values
            else self.said
        )

    def to_json(self) -> dict[str, Any]:
        """For programs: moments as ISO 8601 has them."""
        values = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in self.values.items()
        }
        told = {"name": self.name, "title": self.title, "level": self.level.value, "said": self.text}
        asked = {"todo": self.todo, "link": self.link, "command": self.command}
        return told | {"values": values} | {name: text for name, text in asked.items() if text}


def _plain(value: object) -> object:
    return value.date().isoformat() if isinstance(value, datetime) else value


def unknown(name: str, title: str) -> Item:
    """A thing that could not be asked."""
    return Item(name, title, Level.UNKNOWN, UNKNOWN)


def worst(levels: list[Level]) -> Level:
    """The one of several that calls for most; fine where there is none."""
    order = (Level.ACT, Level.LOOK, Level.UNKNOWN, Level.FINE)
    return min(levels, key=order.index, default=Level.FINE)
