"""The record of a run: lines of JSON, each signed by the hub and naming the hash of the one before.

The first holds the manifest, the last what came of the run, those between a round each with every site's own signed
statement. Of the same values there is one text: names in order, no white space, all but ASCII escaped.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from archive.errors import BadRequest
from federation.provenance.statement import Statement, parse_statement

CONTEXT = b"senogate federation record 1\0"
MOST_BYTES = 64 * 1024**2
"""Of a record: 10,000 rounds of six sites, or 1,000 of sixty."""


class Reason(StrEnum):
    """Why a site that approved a run is not in a round of it."""

    UNREACHABLE = "unreachable"  # it was not there when the round began
    NO_ANSWER = "no-answer"  # it did not answer in time
    DECLINED = "declined"  # it said no: its permit, its policy or its steward
    FAILED = "failed"  # it could not do its part
    REVOKED = "revoked"  # it is no member any more
    SIGNATURE = "signature"  # it had not signed its statement
    STATEMENT = "statement"  # it stated something else than was to be done
    SHAPE = "shape"  # its weights were not those of the task
    NOT_FINITE = "not-finite"  # its weights were not all finite numbers
    NORM = "norm"  # its weights changed by more than the bound


class Refused(BadRequest):
    """What a site answered counts for nothing."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its signature in base64 and the 32 bytes of the key that made it."""

    statement: Statement
    signature: str
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What every entry begins with: its place, and the hash of the entry before, `FIRST` where there is none."""

    run: str
    number: int
    previous: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Entry):
    """A run as the hub signed it. `hub_key` is the Ed25519 key in base64 that signs manifest and record."""

    manifest: Mapping[str, Any]
    manifest_signature: str
    hub_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Round(Entry):
    """A round: `statements` that count by the names of their sites, and who else had approved the run and why it is not
    among them. Where nothing was trained (`stage` is `evaluate`) the weights come out as they went in.
    """

    round: int
    stage: str
    weights_in: str
    weights_out: str
    aggregation: str
    strategy: str
    statements: tuple[Signed, ...]
    absent: Mapping[str, Reason]
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Entry):
    """What came of the run: the weights of its round `best`, as the network of that hash in a model's package.

    `model_key` is the hub's Ed25519 key in base64 that signs the package.
    """

    best: int
    weights: str
    network: str
    model: str
    version: str
    model_key: str


_KINDS: dict[str, type[Start] | type[Round] | type[End]] = {"start": Start, "round": Round, "end": End}


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as it is kept: its text, and the hub's signature over it in base64."""

    text: str
    signature: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """The line of the file: the signature stands behind the entry, whose text is as it was signed."""
        return f'{{"entry":{self.text},"signature":"{self.signature}"}}\n'.encode()


def write(entry: Start | Round | End, key: Ed25519PrivateKey) -> Line:
    """The line of an entry, signed by the hub. Raises ValueError for numbers that are not finite."""
    text = _text(entry)
    return Line(text, base64.b64encode(key.sign(CONTEXT + text.encode())).decode("ascii"))


def parse_lines(content: bytes) -> list[Line]:
    """The lines of a file. Raises BadRequest for anything that is not their very text."""
    if len(content) > MOST_BYTES or not content.endswith(b"\n"):
        raise BadRequest("this is no record of a run: it is cut short or too large")
    return [_line(row) for row in content[:-1].split(b"\n")]


def _line(row: bytes) -> Line:
    try:
        found = json.loads(row)
        line = Line(canonical(found["entry"]), found["signature"])
        same = line.to_bytes() == row + b"\n"
    except (ValueError, TypeError, KeyError, RecursionError):
        same = False
    if not same:
        raise BadRequest("a line is no entry of a record in its one form")
    return line


def parse_entry(line: Line) -> Start | Round | End:
    """Raises BadRequest for what is none, or not in its one form."""
    try:
        content: dict[str, Any] = json.loads(line.text)
        kind = _KINDS[content.pop("kind")]
        if content.keys() != {one.name for one in fields(kind)}:
            raise ValueError
        if kind is Round:
            content["statements"] = tuple(map(_signed, content["statements"]))
            content["absent"] = {name: Reason(reason) for name, reason in content["absent"].items()}
        entry = kind(**content)
        same = _text(entry) == line.text and _has_kinds(entry)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadRequest("a line is no entry of a record") from error
    if not same:
        raise BadRequest("an entry is not in its one form")
    return entry


def _has_kinds(entry: Start | Round | End) -> bool:
    """Whether texts are texts and numbers numbers; JSON promises none of it."""
    plain = [one for one in fields(entry) if one.type in (str, int)]
    figures = entry.figures.values() if isinstance(entry, Round) else ()
    return all(type(getattr(entry, one.name)) is one.type for one in plain) and all(
        type(one) in (int, float) for one in figures
    )


def is_signed(line: Line, key: Ed25519PublicKey) -> bool:
    """Whether the key signed the line."""
    try:
        key.verify(from_base64(line.signature), CONTEXT + line.text.encode())
    except (InvalidSignature, BadRequest):
        return False
    return True


def from_base64(text: str) -> bytes:
    """Raises BadRequest for what is not base64 in its one form."""
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, binascii.Error):
        found = b""
    if not found or base64.b64encode(found).decode("ascii") != text:
        raise BadRequest("this is no base64")
    return found


def _signed(found: Mapping[str, Any]) -> Signed:
    if found.keys() != {"key", "signature", "statement"}:
        raise ValueError
    statement = parse_statement(canonical(found["statement"]).encode())
    return Signed(statement, found["signature"], from_base64(found["key"]))


def _text(entry: Start | Round | End) -> str:
    content = {one.name: getattr(entry, one.name) for one in fields(entry)}
    content["kind"] = next(name for name, kind in _KINDS.items() if isinstance(entry, kind))
    if isinstance(entry, Round):
        content["statements"] = [_statement(one) for one in entry.statements]
    return canonical(content)


def _statement(one: Signed) -> dict[str, Any]:
    key = base64.b64encode(one.key).decode("ascii")
    return {"key": key, "signature": one.signature, "statement": asdict(one.statement)}


def canonical(content: object) -> str:
    """The one text of a value. Raises ValueError for numbers that are not finite."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
