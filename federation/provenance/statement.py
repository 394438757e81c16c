"""What a site says of its part in a round, signed by its key and chained to what it said in the round before.

Nothing in it names a patient: the studies that were used are a root of hashes, of which the site alone can show that a
study is one (`federation.provenance.cohort`).
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from archive.errors import BadRequest

CONTEXT = b"senogate federation statement 1\0"
FIRST = "0" * 64
"""What stands for the statement before the first one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`kind` is `train` or `evaluate`. Hashes are SHA-256 in hexadecimal digits.

    `previous` is that of the statement which the site made last in an earlier round of the same run, `FIRST` where
    there is none: a round that is done again hangs on the same one. `weights_in` and `weights_out` are hashes as
    `federation.training.weights.weights_hash` makes them, the same where nothing is trained.

    `dataset` is the manifest's, or a version of it (`name@1`); `dataset_version` is the dataset's hash as
    `archive.datasets` freezes it, `cohort` the root of the studies used, `opt_outs` the hash of who was left out.
    `studies` and `patients` are counts, 0 where they are too few to be told.
    """

    run: str
    round: int
    kind: str
    site: str
    manifest: str
    permit: str
    dataset: str
    dataset_version: str
    cohort: str
    opt_outs: str
    studies: int
    patients: int
    code: str
    weights_in: str
    weights_out: str
    at: str
    previous: str = FIRST
    metrics: Mapping[str, float] = field(default_factory=dict)
    epsilon: float = 0.0  # spent by this site in this run so far; 0 without privacy

    def to_bytes(self) -> bytes:
        """The text that is signed: JSON, names in order, no white space."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()


def sign(statement: Statement, key: Ed25519PrivateKey) -> str:
    """The signature over a statement in base64."""
    return base64.b64encode(key.sign(CONTEXT + statement.to_bytes())).decode("ascii")


def parse_statement(text: bytes) -> Statement:
    """Raises BadRequest for anything but the very text of a statement."""
    try:
        content: dict[str, Any] = json.loads(text)
        read = Statement(**content)
        same = read.to_bytes() == text and isinstance(read.site, str)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("this is no statement of a site") from error
    if not same:
        raise BadRequest("this statement is not in its one form")
    return read


def verify(text: bytes, signature: str, key: Ed25519PublicKey) -> None:
    """Raises BadRequest where the site did not sign the text."""
    try:
        key.verify(base64.b64decode(signature, validate=True), CONTEXT + text)
    except (InvalidSignature, ValueError):
        raise BadRequest("the site has not signed this statement") from None
