"""The records of runs as the hub keeps them, and the models that came of them. Rows are only ever added.

A round that was done again after a fault has several entries: a run's record is one of them, and all that it hangs on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg import AsyncConnection, Connection

from archive.errors import NotFound
from archive.pool import queries


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry: its place, what it hangs on, and its text with the hub's signature in base64.

    `round` is 0 for the beginning and None for the end; `weights` the hash of those that a next round begins with,
    empty where rounds train nothing.
    """

    run: str
    number: int
    round: int | None
    sha256: str
    previous: str
    weights: str
    content: str
    signature: str


@dataclass(frozen=True, slots=True)
class FederationModel:
    """A model that came of a run. Hashes are SHA-256 in hexadecimal digits, of its files and of its weights."""

    name: str
    version: str
    task: str
    run: str
    passport: str
    network: str
    record: str
    weights: str
    signed_by: str
    registered_at: datetime

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"registered_at": self.registered_at.isoformat()}


def add(connection: Connection, entry: Kept) -> None:
    """Add an entry, which hangs on one that is there; adding the same again changes nothing."""
    connection.execute(_sql("add"), asdict(entry))


def begun(connection: Connection, run: str) -> Kept | None:
    """The first entry of a run."""
    return _one(connection.execute(_sql("begun"), {"run": run}).fetchone())


def ended(connection: Connection, run: str) -> Kept | None:
    """The last entry of a run that has ended with a model."""
    return _one(connection.execute(_sql("ended"), {"run": run}).fetchone())


def latest(connection: Connection, run: str) -> Kept:
    """The entry of a run that was added last. Raises NotFound."""
    found = _one(connection.execute(_sql("latest"), {"run": run}).fetchone())
    if found is None:
        raise NotFound("the run has no record")
    return found


def parent(connection: Connection, run: str, round: int, weights: str) -> Kept:
    """The entry with which a round ended that left these weights. Raises NotFound."""
    values = {"run": run, "round": round, "weights": weights}
    found = _one(connection.execute(_sql("parent"), values).fetchone())
    if found is None:
        raise NotFound("no round of the run is on record that ended with these weights")
    return found


def path(connection: Connection, sha256: str) -> list[Kept]:
    """An entry with all that it hangs on, from the first on. Raises NotFound."""
    found = [Kept(*row) for row in connection.execute(_sql("path"), {"sha256": sha256})]
    if not found:
        raise NotFound("no such entry of a record")
    return found


def register(connection: Connection, model: FederationModel) -> bool:
    """Keep a model; False where it is kept already. `registered_at` is the database's."""
    return connection.execute(_sql("register"), asdict(model)).rowcount > 0


def models(
    connection: Connection, name: str | None = None, version: str | None = None
) -> list[FederationModel]:
    """The models of the federation, or those of a name and version, the last first."""
    rows = connection.execute(_sql("models"), {"name": name, "version": version})
    return [FederationModel(*row) for row in rows]


async def models_async(
    connection: AsyncConnection, name: str | None = None, version: str | None = None
) -> list[FederationModel]:
    """As `models`."""
    rows = await connection.execute(_sql("models"), {"name": name, "version": version})
    return [FederationModel(*row) for row in await rows.fetchall()]


def _one(row: Sequence[Any] | None) -> Kept | None:
    return Kept(*row) if row else None


def _sql(name: str) -> LiteralString:
    statements = queries("provenance.sql")
    return statements[name].replace("{columns}", statements["columns"].partition("\n")[2])
