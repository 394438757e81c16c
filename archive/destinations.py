"""Where results are delivered to: clinical PACS by their DICOM address, as `senogate.toml` names them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from archive.errors import ConfigurationError

Kind = Literal["sr", "cad-sr", "sc", "seg", "gsps", "kos", "review"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What can be delivered: the kinds of results, and a reader's review of them."""
EXAMPLE = "The results are for research use only and decide nothing about a patient."
LONGEST_TIMEOUT = 600  # seconds
_FILES = ("tls_authorities", "tls_certificate", "tls_key")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_RESEARCH_USE = re.compile(r"\bresearch[\s-]+use\b", re.IGNORECASE)
_FEWEST_WORDS = 6
_TYPES = {str: "a string", int: "a whole number", bool: "true or false", tuple: "a list of strings"}


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A clinical PACS. Paths are absolute. Raises ConfigurationError, which names the key, for what can't be."""

    name: str
    aet: str
    host: str
    port: int
    calling_aet: str = "SENOGATE"
    tls: bool = False
    tls_authorities: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    results: tuple[str, ...] = KINDS
    commitment: bool = False
    timeout: int = 30

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                "the name of a destination has up to 32 lower-case letters, digits and hyphens"
            )
        for key in ("aet", "calling_aet"):
            self._require(is_ae_title(getattr(self, key)), f"{key} must be an AE title of 1 to 16 characters")
        self._require(bool(self.host.strip()), "host must be a name or an address")
        self._require(0 < self.port < 2**16, "port must be from 1 to 65535")
        known = bool(self.results) and set(self.results) <= set(KINDS)
        self._require(known, f"results must be a list of these: {', '.join(KINDS)}")
        self._require(
            0 < self.timeout <= LONGEST_TIMEOUT, f"timeout must be from 1 to {LONGEST_TIMEOUT} seconds"
        )
        self._require(
            self.tls or not any(getattr(self, key) for key in _FILES), "its TLS files need tls = true"
        )
        self._require(
            bool(self.tls_certificate) == bool(self.tls_key), "tls_certificate and tls_key go together"
        )

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise ConfigurationError(f"destinations.{self.name}: {what}")

    @property
    def address(self) -> str:
        return f"{self.aet}@{self.host}:{self.port}"


def is_ae_title(text: str) -> bool:
    """Whether it can be an AE title: 1 to 16 characters of ASCII, no control and no backslash (PS3.5 table 6.2-1)."""
    return bool(text.strip()) and re.fullmatch(r"[ -\[\]-~]{1,16}", text) is not None


def read_destinations(tables: object, home: Path) -> tuple[Destination, ...]:
    """The destinations of a table of tables, by their names. Raises ConfigurationError, which names the key."""
    if not isinstance(tables, Mapping) or not all(isinstance(each, Mapping) for each in tables.values()):
        raise ConfigurationError("destinations must be tables, each under its name: [destinations.pacs]")
    return tuple(_read_one(name, table, home) for name, table in tables.items())


def _read_one(name: str, table: Mapping[str, Any], home: Path) -> Destination:
    kinds: dict[str, Any] = {each.name: each.type for each in fields(Destination) if each.name != "name"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in kinds:
            known = ", ".join(kinds)
            raise ConfigurationError(f"destinations.{name} has the unknown key {key!r}; it may have {known}")
        values[key] = _value(f"destinations.{name}.{key}", kinds[key], value)
    if absent := [key for key in ("aet", "host", "port") if key not in values]:
        raise ConfigurationError(f"destinations.{name} lacks {', '.join(absent)}")
    for key in _FILES:
        if values.get(key):
            values[key] = str(home / values[key])
    return Destination(name=name, **values)


def _value(key: str, kind: Any, value: object) -> Any:
    wanted = kind if isinstance(kind, type) else tuple
    if wanted is tuple and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if type(value) is not wanted or wanted is tuple:
        raise ConfigurationError(f"{key} must be {_TYPES[wanted]}")
    return value


def from_environment(text: str, home: Path) -> tuple[Destination, ...]:
    """The destinations as a variable has them: the same tables as JSON. Raises ConfigurationError."""
    try:
        tables = json.loads(text)
    except ValueError:
        raise ConfigurationError("SENOGATE_DESTINATIONS must be JSON") from None
    return read_destinations(tables, home)


def to_environment(destinations: tuple[Destination, ...]) -> str:
    """What `from_environment` reads; empty where there is none."""
    tables = {each.name: {k: v for k, v in asdict(each).items() if k != "name"} for each in destinations}
    return json.dumps(tables) if tables else ""


def check_acknowledgement(text: str) -> None:
    """Raise ConfigurationError, which says what to write, unless it is a sentence that names research use."""
    if not _RESEARCH_USE.search(text) or len(text.split()) < _FEWEST_WORDS or not text.isprintable():
        raise ConfigurationError(
            "acknowledge must be a sentence of the site's own that names research use, such as "
            f'acknowledge = "{EXAMPLE}"; without the key nothing is delivered'
        )
