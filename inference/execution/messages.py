"""What a worker and its model process say to each other: JSON, so that neither trusts the other's objects."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Order:
    """A reading to be done: by the package in `folder`, of the stored instances at `paths`.

    `density` are findings of the same study as `archive.findings.to_json` writes them, for a model that reads those.
    """

    number: int
    folder: str
    paths: Sequence[str]
    density: str = ""

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> "Order":
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of an order: `answer` as `archive.findings.to_json` writes it, or why it failed.

    `inputs` are SHA-256 of the instances that were read, by SOP Instance UID; `parts` the seconds that each part took.
    """

    number: int
    answer: str = ""
    failure: str = ""
    device: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> "Reply":
        return cls(**json.loads(text))
