"""TOML that is read key by key, with errors that name the key, and TOML that is written from plain values."""

import json
import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inference.errors import PackageError

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "an array"}

Scalar = int | float | str


def read_toml(text: bytes, name: str) -> "Table":
    """The root table of a TOML file of that name. Raises PackageError."""
    try:
        return Table(tomllib.loads(text.decode("utf-8")), name)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{name} is not valid TOML") from error


@dataclass(frozen=True, slots=True)
class Table:
    """A TOML table that knows where it stands. Every method raises PackageError, which names the key."""

    content: Mapping[str, Any]
    file: str
    path: str = ""

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, what: str) -> PackageError:
        return PackageError(f"{self.file}: {self.at(key)} {what}")

    def get(self, key: str, kind: type) -> Any:
        """A value of exactly that type; text is never empty and holds no control characters but tabs and new lines."""
        value = self.content.get(key)
        if type(value) is not kind or value == "":
            raise self.wrong(key, f"is missing or not {_KINDS.get(kind, 'a table')}")
        if isinstance(value, str) and CONTROLS.search(value):
            raise self.wrong(key, "holds control characters")
        return value

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number from `low` to `high`."""
        return as_number(self, key, self.content.get(key), low, high)

    def one_of(self, key: str, allowed: Collection[str]) -> str:
        value = self.content.get(key)
        if not isinstance(value, str) or value not in allowed:
            names = ", ".join(json.dumps(str(one)) for one in allowed)
            raise self.wrong(key, f"is missing or not one of {names}")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], meaning: str) -> str:
        value: str = self.get(key, str)
        if not pattern.fullmatch(value):
            raise self.wrong(key, f"must be {meaning}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """An array of texts, none of them empty, each once."""
        values = self.get(key, list)
        if not all(isinstance(one, str) and one for one in values) or len(set(values)) != len(values):
            raise self.wrong(key, "must be an array of texts, each once")
        return tuple(values)

    def pair(self, key: str, low: float, high: float) -> tuple[float, float]:
        """An array of two numbers in ascending order."""
        values = self.get(key, list)
        if len(values) != 2:
            raise self.wrong(key, "must be an array of two numbers")
        first, last = (as_number(self, key, one, low, high) for one in values)
        if first > last:
            raise self.wrong(key, "must hold the smaller number first")
        return first, last

    def table(self, key: str) -> "Table":
        return Table(self.get(key, dict), self.file, self.at(key))

    def tables(self, key: str) -> "tuple[Table, ...]":
        items = self.get(key, list)
        if not all(isinstance(item, dict) for item in items):
            raise self.wrong(key, "must be an array of tables")
        return tuple(Table(item, self.file, f"{self.at(key)}[{index}]") for index, item in enumerate(items))

    def scalars(self, *but: str) -> dict[str, Scalar]:
        """All keys but those named: texts, numbers, true and false."""
        found = {key: value for key, value in self.content.items() if key not in but}
        for key, value in found.items():
            if type(value) not in (int, float, str, bool):
                raise self.wrong(key, "must be a number, a text, true or false")
        return found

    def has(self, key: str) -> bool:
        return key in self.content

    def only(self, *known: str) -> None:
        """Refuse keys that nobody reads: a misspelt one would be without effect."""
        for key in self.content:
            if key not in known:
                raise self.wrong(key, f"is not known; known are {', '.join(known)}")


def as_number(table: Table, key: str, value: object, low: float, high: float) -> float:
    """A value as a finite number. Raises PackageError, which names the key."""
    if type(value) not in (int, float) or not isinstance(value, int | float):
        raise table.wrong(key, "is missing or not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and low <= number <= high):
        raise table.wrong(key, f"must be a finite number from {low:g} to {high:g}")
    return number


def to_toml(content: Mapping[str, Any], path: str = "") -> str:
    """TOML of a mapping of plain values, mappings, lists of plain values, and lists of mappings."""
    plain = "".join(f"{_key(key)} = {_value(value)}\n" for key, value in content.items() if not _nests(value))
    return plain + "".join(_nested(content, path))


def _nested(content: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in content.items():
        at = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, Mapping):
            yield f"\n[{at}]\n{to_toml(value, at)}"
        elif _nests(value):
            yield from (f"\n[[{at}]]\n{to_toml(item, at)}" for item in value)


def _nests(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
