"""What a run will do: all that a site decides on before it takes part, in one text that the hub signs.

The text is JSON with its names in order and no white space; its SHA-256 is what approvals, messages and records name.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from archive.errors import BadRequest
from archive.purpose import Purpose
from federation.training.task import Privacy

CONTEXT = b"senogate federation run 1\0"
RUN = re.compile(r"R[0-9a-f]{16}")
SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_ROUNDS = 10_000
MOST_EPOCHS = 1000
_LARGEST = 1e12
_NOISE = 0.1, 1000.0  # less protects nobody, and an accountant does not come to an end with it
_DELTA = 1e-12, 1e-3  # a larger one makes ε small and promises nothing
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}", re.ASCII)


class Kind(StrEnum):
    """What a run is for."""

    TRAINING = "training"
    EVALUATION = "evaluation"


class Strategy(StrEnum):
    """How the sites' weights become one (McMahan arXiv:1602.05629; Li arXiv:1812.06127; Reddi arXiv:2003.00295)."""

    FEDAVG = "fedavg"
    FEDPROX = "fedprox"
    FEDADAM = "fedadam"


class Aggregation(StrEnum):
    """What stands in the place of the weighted mean, where sites may be hostile (Yin et al., arXiv:1803.01498)."""

    MEAN = "mean"
    MEDIAN = "median"
    TRIMMED = "trimmed-mean"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A run. Raises BadRequest for what can't be.

    `dataset` is a dataset's name, which each site looks up at home; `code` the hash of what sites will run
    (`federation.code`), `initial` that of the weights that it begins with. `norm_bound`: a change of the
    weights of a larger Euclidean norm is refused, 0 for none. `packages` are the SHA-256 of the passports to evaluate.
    """

    run: str
    kind: Kind
    task: str
    dataset: str
    purpose: Purpose
    hub: str
    created_at: datetime
    rounds: int
    min_sites: int
    code: str
    initial: str = ""
    strategy: Strategy = Strategy.FEDAVG
    parameters: Mapping[str, float] = field(default_factory=dict)
    aggregation: Aggregation = Aggregation.MEAN
    norm_bound: float = 0.0
    epochs: int = 1
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 0  # rounds without a better figure after which it ends; 0 for none
    seed: int = 0
    privacy: Privacy = field(default_factory=Privacy)
    packages: tuple[str, ...] = ()
    secure_aggregation: bool = False

    def __post_init__(self) -> None:
        self._check_kinds()
        if not RUN.fullmatch(self.run):
            raise BadRequest("a run's identifier is R and 16 hexadecimal digits")
        if not 1 <= self.rounds <= MOST_ROUNDS or self.min_sites < 1:
            raise BadRequest(f"a run has 1 to {MOST_ROUNDS} rounds, and one site at least")
        if min(self.epochs, self.batch) < 1 or self.patience < 0 or not 0 <= self.seed < 2**32:
            raise BadRequest("epochs and batch are 1 at least, patience and seed 0 at least")
        if self.epochs > MOST_EPOCHS:
            raise BadRequest(f"a round has {MOST_EPOCHS} epochs at most")
        private = self.privacy
        if private.is_on and not (
            _NOISE[0] <= private.noise_multiplier <= _NOISE[1] and _DELTA[0] <= private.delta <= _DELTA[1]
        ):
            raise BadRequest("the noise of a private run is from 0.1 to 1000, its delta from 1e-12 to 1e-3")
        if not SHA256.fullmatch(self.code) or (
            self.kind == Kind.TRAINING and not SHA256.fullmatch(self.initial)
        ):
            raise BadRequest("a run names the SHA-256 of its code, and of the weights that it begins with")
        if not all(math.isfinite(one) and one >= 0 for one in self._numbers()) or not self.learning_rate:
            raise BadRequest("rates, bounds and parameters are finite and not negative")

    def _check_kinds(self) -> None:
        """JSON has any kind of value in any place, and people read the words on their terminals."""
        words = (self.run, self.task, self.dataset, self.hub, *self.parameters)
        hashes = (self.code, self.initial, *self.packages)
        whole = (self.rounds, self.min_sites, self.epochs, self.batch, self.patience, self.seed)
        if not all(isinstance(one, str) and _WORD.fullmatch(one) for one in words):
            raise BadRequest("a run's words are letters, digits and ._@-, 128 at most")
        if not all(isinstance(one, str) and (SHA256.fullmatch(one) or not one) for one in hashes):
            raise BadRequest("what a run names by its hash it names by a SHA-256")
        if not all(type(one) is int and abs(one) < 2**32 for one in whole):
            raise BadRequest("what counts in a run is a whole number below 2 to the power of 32")
        if not all(type(one) in (int, float) and not abs(one) > _LARGEST for one in self._numbers()):
            raise BadRequest("what a run measures is a number")
        if type(self.secure_aggregation) is not bool:
            raise BadRequest("a run asks for secure aggregation, or does not")

    def _numbers(self) -> tuple[float, ...]:
        told = self.learning_rate, self.norm_bound
        return *told, *self.parameters.values(), *asdict(self.privacy).values()

    def to_bytes(self) -> bytes:
        """The text that is hashed, signed and approved."""
        content = asdict(self) | {"created_at": self.created_at.isoformat(), "packages": list(self.packages)}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def last_question(self) -> int:
        """The number of the last message to a site: after the rounds of training the last weights are evaluated."""
        return self.rounds + (self.kind == Kind.TRAINING)

    @property
    def model(self) -> str:
        """The name of the model that comes of the run, known before it ends: as `training_use` has it."""
        return f"federated-{self.task}"

    @property
    def version(self) -> str:
        """That model's version: the day when the run was made, and the run."""
        return f"{self.created_at:%Y}.{self.created_at.month}.{self.created_at.day}-{self.run}"


def parse_manifest(text: bytes) -> Manifest:
    """Raises BadRequest for anything but the very text of a manifest."""
    try:
        content: dict[str, Any] = json.loads(text)
        if content.keys() != {one.name for one in fields(Manifest)}:
            raise ValueError
        read = Manifest(
            **content
            | {
                "kind": Kind(content["kind"]),
                "purpose": Purpose(content["purpose"]),
                "strategy": Strategy(content["strategy"]),
                "aggregation": Aggregation(content["aggregation"]),
                "created_at": datetime.fromisoformat(content["created_at"]),
                "privacy": Privacy(**content["privacy"]),
                "packages": tuple(content["packages"]),
            }
        )
        same = read.to_bytes() == text
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest("this is no manifest of a run") from error
    if not same:
        raise BadRequest("this manifest is not in its one form")
    return read


def sign(text: bytes, key: Ed25519PrivateKey) -> bytes:
    """The hub's signature over a manifest's text, 64 bytes."""
    return key.sign(CONTEXT + text)


def verify(text: bytes, signature: bytes, key: Ed25519PublicKey) -> None:
    """Raises BadRequest where the hub did not sign the text."""
    try:
        key.verify(signature, CONTEXT + text)
    except InvalidSignature:
        raise BadRequest("the hub has not signed this manifest") from None
