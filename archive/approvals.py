"""What a site has agreed to: the runs that its hub offers, its steward's answers and policies, and its part in rounds.

Everything here is the site's own. What the hub keeps of runs is in `archive.runs`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection

from archive.answer import Decision
from archive.audit import Event, Outcome, write_async
from archive.errors import BadRequest, Conflict, NotFound
from archive.pool import queries

MOST = 200
"""Runs of a list."""
_MOST_NAMES = 64  # of a policy


@dataclass(frozen=True, slots=True)
class Offered:
    """A run that the hub offers. `decision` is the steward's, None where policies decide; `told` what the hub knows.

    `most_epsilon`: the approval holds as long as the dataset has spent no more than this; None for no bound.
    `rounds` are those that this site took part in.
    """

    run: str
    hub: str
    manifest: bytes
    signature: bytes
    sha256: str
    state: str
    seen_at: datetime
    decision: Decision | None
    most_epsilon: float | None
    decided_at: datetime | None
    decided_by: str | None
    told: Decision | None
    rounds: int

    @property
    def is_open(self) -> bool:
        return self.state in ("waiting", "running")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a policy covers. Raises BadRequest for what covers nothing, or can't be.

    `kinds` are of `federation.manifest.Kind`, `datasets` names as permits have them. With `most_epsilon` it covers
    differentially private runs alone, as long as the dataset has spent no more than that in all runs together.
    """

    kinds: tuple[str, ...]
    tasks: tuple[str, ...]
    datasets: tuple[str, ...]
    purposes: tuple[str, ...]
    most_rounds: int
    most_epsilon: float | None
    valid_until: datetime

    def __post_init__(self) -> None:
        named = (self.kinds, self.tasks, self.datasets, self.purposes)
        if not all(0 < len(names) <= _MOST_NAMES for names in named):
            raise BadRequest("a policy names kinds, tasks, datasets and purposes, 64 of each at most")
        if self.most_rounds < 1 or self.valid_until.tzinfo is None:
            raise BadRequest("a policy covers one round at least, and ends at a moment")
        check_epsilon(self.most_epsilon)


@dataclass(frozen=True, slots=True)
class Policy:
    """A standing policy of the site: runs within its bounds are approved without a person."""

    number: int
    bounds: Bounds
    created_at: datetime
    created_by: str
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither withdrawn nor over."""
        return self.withdrawn_at is None and now < self.bounds.valid_until


@dataclass(frozen=True, slots=True)
class Spent:
    """What one round of differentially private training took from a dataset: what an accountant of ε needs.

    `part` is a hash of all that the answer came from: the same answer, given twice, takes nothing the second time.
    """

    part: str
    dataset: str
    run: str
    round: int
    noise_multiplier: float
    sample_rate: float
    steps: int
    delta: float


@dataclass(frozen=True, slots=True)
class Part:
    """A site's part in a round: what it says, what it cost, and who (pseudonyms) which model learnt from."""

    run: str
    round: int
    statement: bytes
    signature: str
    model: str = ""
    version: str = ""
    patients: Sequence[str] = ()
    spent: Spent | None = None


def check_epsilon(most_epsilon: float | None) -> None:
    """Raises BadRequest for what bounds nothing."""
    if most_epsilon is not None and not 0 < most_epsilon < float("inf"):
        raise BadRequest("a bound of epsilon is a number above 0")


async def offer(
    connection: AsyncConnection, run: str, *, hub: str, manifest: bytes, signature: bytes, state: str
) -> None:
    """Keep a run that the hub offers, or how it stands now. The caller has verified the signature.

    Raises Conflict where the hub offered something else under the same name.
    """
    row = {"run": run, "hub": hub, "manifest": manifest, "signature": signature, "state": state}
    if not (await connection.execute(_sql("offer"), row)).rowcount:
        raise Conflict("the hub had offered another run under this name")


async def close_others(connection: AsyncConnection, hub: str, runs: Sequence[str]) -> None:
    """Note that the hub offers no other runs than these any more."""
    await connection.execute(_sql("close_others"), {"hub": hub, "runs": list(runs)})


async def find(connection: AsyncConnection, run: str) -> Offered:
    """Raises NotFound."""
    row = await (await connection.execute(_sql("find"), {"run": run})).fetchone()
    if row is None:
        raise NotFound("no such run is offered here")
    return _offered(row)


async def latest(connection: AsyncConnection, limit: int = MOST) -> list[Offered]:
    """What was offered, the last first."""
    rows = await connection.execute(_sql("latest"), {"limit": limit})
    return [_offered(row) for row in await rows.fetchall()]


async def open_runs(connection: AsyncConnection, hub: str) -> list[Offered]:
    """The runs of a hub that wait or go on, the first first."""
    rows = await connection.execute(_sql("open"), {"hub": hub})
    return [_offered(row) for row in await rows.fetchall()]


async def decide(
    connection: AsyncConnection,
    run: str,
    decision: Decision,
    *,
    by: str,
    most_epsilon: float | None = None,
) -> Offered:
    """Keep the steward's answer in the place of an earlier one, on record. Raises NotFound, BadRequest."""
    check_epsilon(most_epsilon)
    row = {"run": run, "decision": decision, "most_epsilon": most_epsilon, "by": by}
    async with connection.transaction():
        await connection.execute(_sql("decide"), row)
        found = await find(connection, run)
        await _record(connection, found, decision, by)
    return found


async def tell(connection: AsyncConnection, offered: Offered, decision: Decision, *, by: str) -> None:
    """Note what the hub was told; where no steward said it, on record with whose policy did."""
    async with connection.transaction():
        await connection.execute(_sql("tell"), {"run": offered.run, "decision": decision})
        if offered.decision is None:
            await _record(connection, offered, decision, by)


async def add_policy(connection: AsyncConnection, bounds: Bounds, *, by: str) -> int:
    """Make a policy, on record; its number."""
    row = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(bounds).items()}
    async with connection.transaction():
        made = await (await connection.execute(_sql("add_policy"), row | {"by": by})).fetchone()
        number = int(made[0]) if made else 0
        detail: dict[str, str | int] = {"policy": number, "action": "added"}
        detail["datasets"] = " ".join(bounds.datasets)
        await write_async(connection, Event.FEDERATION_ANSWER, subject=by, detail=detail)
    return number


async def policies(connection: AsyncConnection, *, valid: bool = False) -> list[Policy]:
    """All policies, or those that are valid now, in the order in which they were made."""
    rows = await connection.execute(_sql("policies"), {"valid": valid})
    return [_policy(row) for row in await rows.fetchall()]


async def withdraw_policy(connection: AsyncConnection, number: int, *, by: str) -> None:
    """End a policy, on record; runs under it go on without this site. Raises NotFound."""
    async with connection.transaction():
        row = {"number": number, "by": by}
        if not (await connection.execute(_sql("withdraw_policy"), row)).rowcount:
            raise NotFound("no such policy, or it is withdrawn already")
        detail: dict[str, str | int] = {"policy": number, "action": "withdrawn"}
        await write_async(connection, Event.FEDERATION_ANSWER, subject=by, detail=detail)


async def last_statement(connection: AsyncConnection, run: str, number: int) -> bytes | None:
    """What the site said last of its part in an earlier round; None before its first."""
    row = {"run": run, "round": number}
    found = await (await connection.execute(_sql("last_statement"), row)).fetchone()
    return None if found is None else bytes(found[0])


async def answers(connection: AsyncConnection, run: str, number: int) -> int:
    """How often the site has answered a round."""
    row = {"run": run, "round": number}
    found = await (await connection.execute(_sql("answers"), row)).fetchone()
    return int(found[0]) if found else 0


async def is_opted_out(connection: AsyncConnection, patients: Sequence[str]) -> bool:
    """Whether any of these patients has opted out."""
    row = {"patients": list(patients)}
    found = await (await connection.execute(_sql("is_opted_out"), row)).fetchone()
    return bool(found and found[0])


async def keep_part(connection: AsyncConnection, part: Part) -> None:
    """Keep what is about to leave the site, in the caller's transaction."""
    row = {"run": part.run, "round": part.round, "statement": part.statement, "signature": part.signature}
    await connection.execute(_sql("keep_statement"), row)
    learnt = {"patients": list(part.patients), "model": part.model, "version": part.version, "run": part.run}
    await connection.execute(_sql("use"), learnt)
    if part.spent is not None:
        await connection.execute(_sql("spend"), asdict(part.spent))


async def spent(connection: AsyncConnection, dataset: str | None = None) -> list[Spent]:
    """What differentially private training took from a dataset, or from all, in its order."""
    rows = await connection.execute(_sql("spent"), {"dataset": dataset})
    return [Spent(*row) for row in await rows.fetchall()]


async def _record(connection: AsyncConnection, offered: Offered, decision: Decision, by: str) -> None:
    detail = {"run": offered.run, "action": str(decision), "manifest": offered.sha256, "hub": offered.hub}
    outcome = Outcome.SUCCESS if decision == Decision.APPROVED else Outcome.REFUSED
    await write_async(connection, Event.FEDERATION_ANSWER, subject=by, outcome=outcome, detail=detail)


def _offered(row: Sequence[Any]) -> Offered:
    run, hub, manifest, signature, sha256, state, seen_at, decision, epsilon, at, by, told, rounds = row
    said = None if decision is None else Decision(decision)
    known = None if told is None else Decision(told)
    text, signed = bytes(manifest), bytes(signature)
    return Offered(run, hub, text, signed, sha256, state, seen_at, said, epsilon, at, by, known, rounds)


def _policy(row: Sequence[Any]) -> Policy:
    number, kinds, tasks, datasets, purposes, rounds, epsilon, until, *rest = row
    bounds = Bounds(tuple(kinds), tuple(tasks), tuple(datasets), tuple(purposes), rounds, epsilon, until)
    return Policy(number, bounds, *rest)


def _sql(name: str) -> LiteralString:
    statements = queries("approvals.sql")
    return statements[name].replace("{columns}", statements["columns"])
