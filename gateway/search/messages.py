"""What nodes say to each other about questions: two texts, each signed by who says it.

A question is for one node and one moment; an answer is to one question. Both are JSON, names in order, no white space.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from archive.errors import BadRequest, PayloadTooLarge
from archive.federation_roles import check_name
from archive.state_item import marked
from gateway.search.question import Question, read_question, to_json

FRESH = timedelta(seconds=35)  # by which a question's time may differ from the clock of who is asked
LONGEST = 64 * 1024  # bytes of a question
LONGEST_QUESTION = LONGEST - 1024  # bytes of what is asked, beside who asks whom and when
_TOO_LONG = marked("a question to a federation has at most %(most)s bytes as JSON")
LONGEST_ANSWER = 512 * 1024  # bytes of an answer
_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ASKED, _TOLD = {"asker", "at", "from", "id", "question", "to"}, {"at", "id", "rows", "site", "state", "why"}


class Said(StrEnum):
    """Which text it is; a signature over one is none over another."""

    QUESTION = "senogate federation question 1"  # of the hub to a site
    SEARCH = "senogate federation search 1"  # of a site to the hub, which is to ask the others
    ANSWER = "senogate federation search answer 1"  # of a site to the hub


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the node `sender` to the node `to`; `asker` stands for the person or program that asks there."""

    question_id: str
    sender: str
    to: str
    at: datetime
    asker: str
    question: Question

    def to_bytes(self) -> bytes:
        """The text that is signed."""
        return _text(
            {
                "asker": self.asker,
                "at": self.at.isoformat(),
                "from": self.sender,
                "id": self.question_id,
                "question": to_json(self.question),
                "to": self.to,
            }
        )

    def is_fresh(self, now: datetime) -> bool:
        return abs(now - self.at) <= FRESH


@dataclass(frozen=True, slots=True)
class Told:
    """What `site` says to a question: rows, as JSON has them, where `state` is `answered`, else why there are none."""

    question_id: str
    site: str
    at: datetime
    state: str
    rows: tuple[Mapping[str, Any], ...] = ()
    why: str = ""

    def to_bytes(self) -> bytes:
        """The text that is signed."""
        return _text(
            {
                "at": self.at.isoformat(),
                "id": self.question_id,
                "rows": [dict(row) for row in self.rows],
                "site": self.site,
                "state": self.state,
                "why": self.why,
            }
        )


def check_size(question: Question) -> None:
    """Raises PayloadTooLarge for a question that other nodes do not read."""
    if len(_text(to_json(question))) > LONGEST_QUESTION:
        raise PayloadTooLarge(_TOO_LONG, most=LONGEST_QUESTION)


def parse_asked(text: bytes) -> Asked:
    """Raises BadRequest for what is no question."""
    content = _parse(text, LONGEST, _ASKED)
    try:
        if not _ID.fullmatch(content["id"]) or not _HASH.fullmatch(content["asker"]):
            raise ValueError
        return Asked(
            content["id"],
            check_name(content["from"]),
            check_name(content["to"]),
            _moment(content["at"]),
            content["asker"],
            read_question(content["question"]),
        )
    except (ValueError, TypeError, OverflowError):
        raise BadRequest("this is no question of a federation") from None


def parse_told(text: bytes) -> Told:
    """What a site says, with rows as they came. Raises BadRequest for what is no answer."""
    content = _parse(text, LONGEST_ANSWER, _TOLD)
    try:
        rows = content["rows"]
        if not _ID.fullmatch(content["id"]) or not isinstance(rows, list):
            raise ValueError
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError
        told = [content[name] for name in ("state", "why")]
        if not all(isinstance(each, str) for each in told):
            raise ValueError
        return Told(
            content["id"], check_name(content["site"]), _moment(content["at"]), told[0], tuple(rows), told[1]
        )
    except (ValueError, TypeError, OverflowError):
        raise BadRequest("this is no answer to a federation's question") from None


def sign(said: Said, text: bytes, key: Ed25519PrivateKey) -> dict[str, str]:
    """A text and the signature over it, in base64, as they are sent."""
    signature = key.sign(said.encode() + b"\0" + text)
    return {
        "text": base64.b64encode(text).decode("ascii"),
        "signature": base64.b64encode(signature).decode("ascii"),
    }


def verify(said: Said, sent: Mapping[str, Any], key: Ed25519PublicKey) -> bytes:
    """The text that was sent. Raises BadRequest where the key has not signed it as this."""
    try:
        text, signature = (base64.b64decode(sent[name], validate=True) for name in ("text", "signature"))
        key.verify(signature, said.encode() + b"\0" + text)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise BadRequest("text and signature are base64") from None
    except InvalidSignature:
        raise BadRequest("the text is not signed by who is said to have sent it") from None
    return text


def asker_of(key: Ed25519PrivateKey, node: str, subject: str) -> str:
    """What other nodes are told of who asks: the same each time, and nothing that can be guessed back."""
    secret = HKDF(SHA256(), 32, None, b"senogate federation asker 1").derive(key.private_bytes_raw())
    return hmac.new(secret, f"{node}\0{subject}".encode(), hashlib.sha256).hexdigest()


def now() -> datetime:
    return datetime.now(UTC)


def _text(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _parse(text: bytes, most: int, names: set[str]) -> dict[str, Any]:
    try:
        found = json.loads(text) if len(text) <= most else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.keys() != names:
        raise BadRequest("this is nothing that nodes of a federation say about questions")
    return found


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError
    return found.astimezone(UTC)
