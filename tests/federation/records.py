"""A run of two sites and its record, made as hub and sites make them, without either."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.purpose import Purpose
from federation import manifest as manifests
from federation.manifest import Kind, Manifest
from federation.provenance import statement as statements
from federation.provenance.record import End, Line, Reason, Round, Signed, Start, write
from federation.provenance.statement import FIRST, Statement

AT = "2026-11-23T10:00:00.000000Z"


def sha(text: str) -> str:
    """64 hexadecimal digits that stand for something."""
    return hashlib.sha256(text.encode()).hexdigest()


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sha(name)))


HUB, MODEL_KEY = key("hub"), key("model key")
MANIFEST = Manifest(
    run="R0123456789abcdef",
    kind=Kind.TRAINING,
    task="density",
    dataset="screening",
    purpose=Purpose.ALGORITHMS,
    hub="hub",
    created_at=datetime(2026, 11, 23, tzinfo=UTC),
    rounds=3,
    min_sites=2,
    code=sha("code"),
    initial=sha("weights 0"),
)


def state(site: str, round: int, previous: str, of: Manifest = MANIFEST, **changed: Any) -> Statement:
    """What a site has to state of a round; after the last one, of the weights that came of it."""
    trains = round <= of.rounds
    plain = Statement(
        run=of.run,
        round=round,
        kind="train" if trains else "evaluate",
        site=site,
        manifest=of.sha256,
        permit="P7",
        dataset="screening@1",
        dataset_version=sha(f"dataset {site}"),
        cohort=sha(f"cohort {site}"),
        opt_outs=sha(f"opt-outs {site}"),
        studies=20,
        patients=18,
        code=of.code,
        weights_in=sha(f"weights {round - 1}"),
        weights_out=sha(f"{site} {round}") if trains else sha(f"weights {round - 1}"),
        at=AT,
        previous=previous,
        metrics={"primary": 0.5 + round / 100, "kappa": 0.5 + round / 100, "held_out": 9.0, "loss": 1.0},
    )
    return replace(plain, **changed)


def signed(statement: Statement, private: Ed25519PrivateKey | None = None) -> Signed:
    """Signed by its site, or by whose key is given."""
    private = private or key(statement.site)
    return Signed(statement, statements.sign(statement, private), private.public_key().public_bytes_raw())


@dataclass
class Written:
    """A record as it grows: `sites` state what they have to, as `alter` leaves it."""

    manifest: Manifest = MANIFEST
    sites: Sequence[str] = ("aachen", "breda")
    alter: Callable[[Signed], Signed] = lambda one: one
    lines: list[Line] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = self.manifest.to_bytes()
        start = Start(
            run=self.manifest.run,
            number=0,
            previous=FIRST,
            at=AT,
            manifest=json.loads(text),
            manifest_signature=base64.b64encode(manifests.sign(text, HUB)).decode(),
            hub_key=base64.b64encode(HUB.public_key().public_bytes_raw()).decode(),
        )
        self.lines.append(write(start, HUB))

    def round(self, number: int, absent: Mapping[str, Reason] = {}, **changed: Any) -> "Written":
        there = [site for site in self.sites if site not in absent]
        stated = [signed(state(one, number, self.last.get(one, FIRST), self.manifest)) for one in there]
        told = tuple(self.alter(one) for one in stated)
        self.last |= {one.statement.site: one.statement.sha256 for one in told}
        trains = number <= self.manifest.rounds
        entry = Round(
            run=self.manifest.run,
            number=len(self.lines),
            previous=self.lines[-1].sha256,
            at=AT,
            round=number,
            stage="train" if trains else "evaluate",
            weights_in=sha(f"weights {number - 1}"),
            weights_out=sha(f"weights {number}" if trains else f"weights {number - 1}"),
            aggregation=self.manifest.aggregation,
            strategy=self.manifest.strategy,
            statements=told,
            absent=absent,
            figures={"primary": 0.5},
        )
        self.lines.append(write(replace(entry, **changed), HUB))
        return self

    def end(self, best: int = 3, **changed: Any) -> "Written":
        entry = End(
            run=self.manifest.run,
            number=len(self.lines),
            previous=self.lines[-1].sha256,
            at=AT,
            best=best,
            weights=sha(f"weights {best}"),
            network=sha("network"),
            model=self.manifest.model,
            version=self.manifest.version,
            model_key=base64.b64encode(MODEL_KEY.public_key().public_bytes_raw()).decode(),
        )
        self.lines.append(write(replace(entry, **changed), HUB))
        return self

    @property
    def content(self) -> bytes:
        return b"".join(line.to_bytes() for line in self.lines)


def whole(**options: Any) -> Written:
    """A run of three rounds from its start to its end."""
    written = Written(**options)
    for number in (1, 2, 3, 4):
        written.round(number)
    return written.end()
