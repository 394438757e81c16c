"""Runs as the hub keeps them: signed manifests, the answers of the sites, where each run is, the figures of its rounds.

What changes is told on the channel `senogate_runs`, with the run's identifier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString

from psycopg import AsyncConnection, Connection
from psycopg.types.json import Jsonb

from archive.answer import Answer, Decision
from archive.audit import Event, Outcome, write, write_async
from archive.errors import Conflict, NotFound
from archive.pool import queries

CHANNEL = "senogate_runs"
MOST = 200
"""Runs of a list."""


class State(StrEnum):
    """Where a run is. It waits until enough sites approved it."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_open(self) -> bool:
        return self in (State.WAITING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Run:
    """A run. `flower_run` is Flower's number of it the last time that it was submitted, `round` the last complete."""

    run: str
    manifest: bytes
    signature: bytes
    sha256: str
    state: State
    flower_run: int | None
    submissions: int
    round: int
    message: str
    created_at: datetime
    created_by: str
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Said:
    """The last answer of a member: the text as it was signed, and the signature."""

    member: str
    decision: Decision
    answer: bytes
    signature: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Round:
    """The figures of a complete round, of all sites together and of each."""

    round: int
    at: datetime
    figures: Mapping[str, float]
    sites: Mapping[str, Mapping[str, Any]]


def add(connection: Connection, run: str, manifest: bytes, signature: bytes, *, by: str) -> None:
    """Keep a run, which waits from now on for answers; and put that on record."""
    values = {"run": run, "manifest": manifest, "signature": signature, "by": by}
    connection.execute(_sql("add"), values)
    _record(connection, run, "started", by)


def find(connection: Connection, run: str) -> Run:
    """Raises NotFound."""
    row = connection.execute(_sql("find"), {"run": run}).fetchone()
    return _run(row)


def open_runs(connection: Connection) -> list[Run]:
    """Those that wait or run, the first first."""
    return [_run(row) for row in connection.execute(_sql("open"))]


def long_ended(connection: Connection, names: Sequence[str], days: int) -> list[str]:
    """Of these runs those that ended so many days ago."""
    rows = connection.execute(_sql("long_ended"), {"runs": list(names), "days": days})
    return [run for (run,) in rows]


def latest(connection: Connection, limit: int = MOST) -> list[Run]:
    """The runs, the last first."""
    return [_run(row) for row in connection.execute(_sql("latest"), {"limit": limit})]


def answers(connection: Connection, run: str) -> list[Said]:
    """What members said last to a run, by their names."""
    return [_said(row) for row in connection.execute(_sql("answers"), {"run": run})]


def rounds(connection: Connection, run: str) -> list[Round]:
    """The complete rounds of a run in their order."""
    return [Round(*row) for row in connection.execute(_sql("rounds"), {"run": run})]


def submitted(connection: Connection, run: str, flower_run: int) -> None:
    """Note under which number Flower has a run. Raises Conflict where it has ended meanwhile."""
    changed = connection.execute(_sql("submitted"), {"run": run, "flower_run": flower_run})
    if not changed.rowcount:
        raise Conflict("the run has ended")


def say(connection: Connection, run: str, message: str) -> None:
    """Note what a run waits for."""
    connection.execute(_sql("say"), {"run": run, "message": message})


def end(connection: Connection, run: str, state: State, message: str, *, by: str) -> bool:
    """End a run, and put that on record; False where it has ended already."""
    values = {"run": run, "state": state, "message": message}
    if not connection.execute(_sql("end"), values).rowcount:
        return False
    _record(connection, run, state, by, Outcome.FAILED if state == State.FAILED else Outcome.SUCCESS)
    return True


def complete_round(
    connection: Connection,
    run: str,
    number: int,
    figures: Mapping[str, float],
    sites: Mapping[str, Mapping[str, Any]],
) -> None:
    """Keep the figures of a round; again, where it is done again after a fault."""
    values = {"run": run, "round": number, "figures": Jsonb(dict(figures)), "sites": Jsonb(dict(sites))}
    connection.execute(_sql("round"), values)
    connection.execute(_sql("advance"), values)


async def find_async(connection: AsyncConnection, run: str) -> Run:
    """As `find`."""
    return _run(await (await connection.execute(_sql("find"), {"run": run})).fetchone())


async def open_runs_async(connection: AsyncConnection) -> list[Run]:
    """As `open_runs`."""
    return [_run(row) for row in await (await connection.execute(_sql("open"))).fetchall()]


async def latest_async(connection: AsyncConnection, limit: int = MOST) -> list[Run]:
    """As `latest`."""
    found = await connection.execute(_sql("latest"), {"limit": limit})
    return [_run(row) for row in await found.fetchall()]


async def answers_async(connection: AsyncConnection, run: str) -> list[Said]:
    """As `answers`."""
    found = await connection.execute(_sql("answers"), {"run": run})
    return [_said(row) for row in await found.fetchall()]


async def rounds_async(connection: AsyncConnection, run: str) -> list[Round]:
    """As `rounds`."""
    found = await connection.execute(_sql("rounds"), {"run": run})
    return [Round(*row) for row in await found.fetchall()]


async def decisions_of(connection: AsyncConnection, member: str) -> dict[str, Decision]:
    """What a member said last, by run."""
    found = await connection.execute(_sql("own_answers"), {"member": member})
    return {run: Decision(decision) for run, decision in await found.fetchall()}


async def answer(connection: AsyncConnection, said: Answer, signature: bytes) -> None:
    """Keep a member's answer in the place of an earlier one, and put it on record.

    The caller has verified the signature. Raises NotFound, and Conflict where the run has ended or is not the one
    that was looked at.
    """
    run = await find_async(connection, said.run)
    if run.sha256 != said.manifest:
        raise Conflict("the answer is to another manifest")
    text = said.to_bytes()
    values = {
        "run": said.run,
        "member": said.site,
        "decision": said.decision,
        "answer": text,
        "signature": signature,
    }
    if not (await connection.execute(_sql("answer"), values)).rowcount:
        raise Conflict("the run has ended")
    detail = {"run": said.run, "action": str(said.decision), "manifest": said.manifest}
    await write_async(connection, Event.FEDERATION_RUN, subject=f"member:{said.site}", detail=detail)


def _record(
    connection: Connection, run: str, action: str, by: str, outcome: Outcome = Outcome.SUCCESS
) -> None:
    write(
        connection, Event.FEDERATION_RUN, subject=by, outcome=outcome, detail={"run": run, "action": action}
    )


def _run(row: Sequence[Any] | None) -> Run:
    if row is None:
        raise NotFound("no such run")
    run, manifest, signature, sha256, state, flower_run, *others = row
    number = None if flower_run is None else int(flower_run)
    return Run(run, manifest, signature, sha256, State(state), number, *others)


def _said(row: Sequence[Any]) -> Said:
    member, decision, text, signature, at = row
    return Said(member, Decision(decision), text, signature, at)


def _sql(name: str) -> LiteralString:
    statements = queries("runs.sql")
    return statements[name].replace("{columns}", statements["columns"].partition("\n")[2])
