"""What the hub puts on record of a run, round by round: whom it asked, what each site stated, what came of it.

A server of a run calls `begin` when it starts, again too; in each round `standing`, `check` for each site's answer, and
`record_round` before it writes its checkpoint; and `federation.hub.registration.register` at the end.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection

from archive import provenance
from archive.audit import instant
from archive.errors import BadRequest, NotFound
from archive.provenance import Kept
from archive.runs import Run
from federation.manifest import Kind, Manifest, parse_manifest
from federation.provenance.record import (
    End,
    Line,
    Reason,
    Refused,
    Round,
    Signed,
    Start,
    canonical,
    parse_entry,
    write,
)
from federation.provenance.statement import FIRST, parse_statement
from federation.provenance.verification import TRAIN, Duty, check_place, check_statement, hangs_on, hashes_of


class Signer(Protocol):
    """A member: its name, and the 32 bytes of the Ed25519 key that signs its statements."""

    @property
    def name(self) -> str: ...

    @property
    def site_key(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run's record is as a round begins: what the round will hang on, and what the sites' statements will.

    `keys` are those that sites have signed with so far, by their names: a record has one key of a site.
    """

    manifest: Manifest
    round: int
    weights_in: str
    number: int
    head: str
    before: Round | None
    keys: Mapping[str, bytes] = field(default_factory=dict)

    def hangs_on(self, site: str) -> str | None:
        """What a site's statement has to hang on; None where that is not known."""
        return hangs_on(hashes_of(self.before) if self.before else {}, self.round, site)


def begin(connection: Connection, run: Run, key: Ed25519PrivateKey) -> None:
    """Open the record of a run with its manifest; one that is open stays as it is.

    Belongs to the connection's transaction.
    """
    if provenance.begun(connection, run.run):
        return
    manifest = parse_manifest(run.manifest)
    start = Start(
        run=run.run,
        number=0,
        previous=FIRST,
        at=_now(),
        manifest=json.loads(run.manifest),
        manifest_signature=base64.b64encode(run.signature).decode("ascii"),
        hub_key=base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii"),
    )
    _keep(connection, start, 0, manifest.initial, write(start, key))


def standing(connection: Connection, run: str, round: int, weights_in: str) -> Standing:
    """Where the record is as a round begins with these weights; of evaluations they are a package's passport.

    Raises NotFound where the run has no record, or no round before ended with the weights.
    """
    first = provenance.begun(connection, run)
    if first is None:
        raise NotFound("the run has no record")
    start = parse_entry(_line(first))
    parent = provenance.parent(connection, run, round - 1, weights_in)
    before = parse_entry(_line(parent))
    if not isinstance(start, Start):
        raise NotFound("the run has no record")
    manifest = parse_manifest(canonical(start.manifest).encode())
    last = before if isinstance(before, Round) else None
    return Standing(manifest, round, weights_in, parent.number + 1, parent.sha256, last)


def check(
    text: bytes,
    signature: str,
    member: Signer,
    standing: Standing,
    weights_out: str,
    *,
    stage: str = TRAIN,
) -> Signed:
    """A site's statement of a round, if it is what this site had to state. Raises Refused, which has a reason.

    `weights_out` is the hash of the weights that came with it, or of those that were evaluated.
    """
    try:
        statement = parse_statement(text)
    except BadRequest as error:
        raise Refused(Reason.STATEMENT, str(error)) from error
    signed = Signed(statement, signature, member.site_key)
    if statement.site != member.name:
        raise Refused(Reason.STATEMENT, "the statement is of another site")
    if standing.keys.get(member.name, member.site_key) != member.site_key:
        raise Refused(Reason.SIGNATURE, "the site has signed with another key in this run")
    duty = Duty(standing.manifest, standing.round, stage, standing.weights_in, weights_out)
    check_statement(signed, duty, standing.hangs_on(member.name))
    return signed


def record_round(
    connection: Connection,
    key: Ed25519PrivateKey,
    standing: Standing,
    statements: Sequence[Signed],
    absent: Mapping[str, Reason],
    weights_out: str,
    figures: Mapping[str, float],
    *,
    stage: str = TRAIN,
) -> str:
    """Put a round on record, signed by the hub's key; the entry's hash. Belongs to the connection's transaction.

    `statements` are those that count, `absent` everyone else who approved the run; both in any order. A round that is
    done again after a fault is recorded again, and what follows hangs on the one whose weights it goes on with.
    Raises BadRequest for a round that can't follow the one before.
    """
    manifest = standing.manifest
    entry = Round(
        run=manifest.run,
        number=standing.number,
        previous=standing.head,
        at=_now(),
        round=standing.round,
        stage=stage,
        weights_in=standing.weights_in,
        weights_out=weights_out,
        aggregation=manifest.aggregation,
        strategy=manifest.strategy,
        statements=tuple(sorted(statements, key=lambda one: one.statement.site)),
        absent=dict(absent),
        figures=dict(figures),
    )
    check_place(entry, manifest, standing.before)
    line = write(entry, key)
    weights = weights_out if manifest.kind == Kind.TRAINING else ""
    _keep(connection, entry, standing.round, weights, line)
    return line.sha256


def record_end(connection: Connection, key: Ed25519PrivateKey, end: End) -> None:
    """Close the record of a run. Belongs to the connection's transaction."""
    _keep(connection, end, None, end.weights, write(end, key))


def lines(connection: Connection, sha256: str) -> list[Line]:
    """An entry and all that it hangs on, from the first on. Raises NotFound."""
    return [_line(one) for one in provenance.path(connection, sha256)]


def keys(record: Iterable[Line]) -> dict[str, bytes]:
    """The keys that sites have signed with in a record, by their names."""
    rounds = [entry for line in record if isinstance(entry := parse_entry(line), Round)]
    return {one.statement.site: one.key for entry in rounds for one in entry.statements}


def _line(kept: Kept) -> Line:
    return Line(kept.content, kept.signature)


def _keep(
    connection: Connection, entry: Start | Round | End, round: int | None, weights: str, line: Line
) -> None:
    kept = Kept(
        entry.run, entry.number, round, line.sha256, entry.previous, weights, line.text, line.signature
    )
    provenance.add(connection, kept)


def _now() -> str:
    return instant(datetime.now(UTC))
