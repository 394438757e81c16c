"""Runs that people asked for on the hub's pages: the conductor proposes them, or says why it can't be."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.types.json import Jsonb

from archive.audit import Event, write_async
from archive.pool import queries


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that was asked for. `terms` are those of the form (`federation.hub.asked`); `run` is what came of it."""

    number: int
    terms: Mapping[str, Any]
    asked_at: datetime
    asked_by: str
    run: str | None
    refusal: str


async def ask(connection: AsyncConnection, terms: Mapping[str, Any], *, by: str) -> None:
    """Ask for a run, on record."""
    async with connection.transaction():
        row = await connection.execute(_sql("ask"), {"terms": Jsonb(dict(terms)), "by": by})
        (number,) = await row.fetchone() or (0,)
        detail: dict[str, str | int] = {
            "action": "asked for",
            "request": number,
            "dataset": str(terms["dataset"]),
        }
        await write_async(connection, Event.FEDERATION_RUN, subject=by, detail=detail)


async def latest(connection: AsyncConnection) -> list[Asked]:
    """The last ones of which no run came, yet or at all."""
    return [Asked(*row) for row in await (await connection.execute(_sql("latest"))).fetchall()]


def due(connection: Connection) -> list[Asked]:
    """Those that were not answered yet, the first first."""
    return [Asked(*row) for row in connection.execute(_sql("due"))]


def end(connection: Connection, number: int, *, run: str | None = None, refusal: str = "") -> None:
    """Say what came of one: a run, or why none did."""
    connection.execute(_sql("end"), {"number": number, "run": run, "refusal": refusal})


def _sql(name: str) -> Any:
    return queries("run_requests.sql")[name]
