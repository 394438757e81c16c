"""What was done with datasets, in the form of EUCAIM's tracing service (API v2): kept here, and delivered in its order.

Rows are written by the transaction that does what they tell. The service knows no models: what they were made of is in
their records (`archive.provenance`), beside this.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive.pool import queries

LOCK = 0x5E0A_0024  # key of the advisory lock of the one process that delivers
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0  # seconds after an attempt that failed; each is twice the one before


class Details(StrEnum):
    """Of an UPDATE_DATASET, as far as a site does it."""

    PUBLISH = "PUBLISH"
    UNPUBLISH = "UNPUBLISH"
    INVALIDATE = "INVALIDATE"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is to be told, or was. In `body` datasets have the names of this site; `ids` are the service's own."""

    number: int
    at: datetime
    body: Mapping[str, Any]
    attempts: int
    delivered_at: datetime | None
    refused: bool
    ids: Sequence[str]
    failure: str

    def to_json(self, public_url: str) -> dict[str, Any]:
        times = {"at": self.at, "delivered_at": self.delivered_at}
        shown = {name: at.isoformat() if at else None for name, at in times.items()}
        return asdict(self) | shown | {"body": wire(self.body, public_url)}


def wire(body: Mapping[str, Any], public_url: str) -> dict[str, Any]:
    """What is posted: datasets are called by this site's address and their names, which are the same nowhere else."""
    called = {
        "datasetId": lambda name: dataset_id(name, public_url),
        "datasetsIds": lambda names: [dataset_id(name, public_url) for name in names],
    }
    return {name: called[name](value) if name in called else value for name, value in body.items()}


def dataset_id(name: str, public_url: str) -> str:
    """What the service knows a dataset, or a version of it, by."""
    return f"{public_url}/datasets/{quote(name)}"


async def created(connection: AsyncConnection, name: str, digest: bytes, *, by: str) -> None:
    """A version of a dataset was frozen, whose list of instances has this SHA3-256."""
    content = base64.b64encode(digest).decode("ascii")
    resources = [{"id": "instances", "contentHash": content, "contentHashType": "SHA3_256"}]
    body = {"userAction": "CREATE_DATASET", "userId": by, "datasetId": name, "resources": resources}
    await _add(connection, body)


async def updated(connection: AsyncConnection, name: str, details: Details, *, by: str) -> None:
    """Something of a dataset is another from now on."""
    body = {"userAction": "UPDATE_DATASET", "userId": by, "datasetId": name, "details": str(details)}
    await _add(connection, body)


async def used(
    connection: AsyncConnection, names: Sequence[str], tool: str, version: str, *, by: str, key: str
) -> None:
    """Datasets were used by a tool; of the same `key` it is told once."""
    body = {
        "userAction": "USE_DATASETS",
        "userId": by,
        "datasetsIds": list(names),
        "toolName": tool,
        "toolVersion": version,
    }
    await _add(connection, body, key)


async def list_traces(connection: AsyncConnection, limit: int = 1000) -> list[Trace]:
    """The last ones, the newest first."""
    rows = await connection.execute(queries("provenance.sql")["traces"], {"limit": limit})
    return [Trace(*row) for row in await rows.fetchall()]


async def is_alone(connection: AsyncConnection) -> bool:
    """Whether this connection's process is the one that delivers; true until the connection ends."""
    row = await (await connection.execute(queries("provenance.sql")["trace_alone"], {"key": LOCK})).fetchone()
    return bool(row and row[0])


async def due(connection: AsyncConnection) -> Trace | None:
    """The next to be delivered; None where there is none, or it is not time yet."""
    row = await (await connection.execute(queries("provenance.sql")["trace_due"])).fetchone()
    return Trace(*row) if row else None


async def delivered(connection: AsyncConnection, trace: Trace, ids: Sequence[str]) -> None:
    """The service has it."""
    row = {"number": trace.number, "ids": list(ids)}
    await connection.execute(queries("provenance.sql")["trace_delivered"], row)


async def failed(connection: AsyncConnection, trace: Trace, failure: str, *, refused: bool = False) -> None:
    """The service did not take it; where `refused`, it never will, and the next one is told."""
    row = {"number": trace.number, "failure": failure, "refused": refused}
    pauses = {"first": FIRST_PAUSE, "longest": LONGEST_PAUSE}
    await connection.execute(queries("provenance.sql")["trace_failed"], row | pauses)


async def _add(connection: AsyncConnection, body: Mapping[str, Any], key: str | None = None) -> None:
    row = {"body": Jsonb(dict(body)), "key": key}
    await connection.execute(queries("provenance.sql")["trace"], row)


def new_digest() -> "hashlib._Hash":
    """What takes the text of a dataset's instances for `created`."""
    return hashlib.sha3_256()
