"""What a site says to a run: that it takes part, or that it does not, signed by its key."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from archive.errors import BadRequest

CONTEXT = b"senogate federation answer 1\0"


class Decision(StrEnum):
    """What a site says. It may say otherwise later, while the run goes on."""

    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `manifest` is the SHA-256 of the manifest that was looked at, `site` the member's name."""

    run: str
    manifest: str
    site: str
    decision: Decision
    at: datetime

    def to_bytes(self) -> bytes:
        """The text that is signed: JSON, names in order, no white space."""
        content = asdict(self) | {"at": self.at.isoformat()}
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def sign(answer: Answer, key: Ed25519PrivateKey) -> bytes:
    """The site's signature, 64 bytes."""
    return key.sign(CONTEXT + answer.to_bytes())


def parse_answer(text: bytes) -> Answer:
    """Raises BadRequest for anything but the very text of an answer."""
    try:
        content = json.loads(text)
        if content.keys() != {one.name for one in fields(Answer)}:
            raise ValueError
        at = datetime.fromisoformat(content["at"])
        read = Answer(**content | {"decision": Decision(content["decision"]), "at": at})
        same = read.to_bytes() == text
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest("this is no answer to a run") from error
    if not same:
        raise BadRequest("this answer is not in its one form")
    return read


def verify(text: bytes, signature: bytes, key: Ed25519PublicKey) -> None:
    """Raises BadRequest where the site did not sign the text."""
    try:
        key.verify(signature, CONTEXT + text)
    except InvalidSignature:
        raise BadRequest("the site has not signed this answer") from None
