"""Webhooks are told what stewards wait for: a record that its dataset left behind, applications for permits.

A notice belongs to the transaction of what it tells (archive/notices.py delivers it), and names no patient.
"""

from collections.abc import Mapping, Sequence

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive.pool import queries

DRIFTED, APPLICATION = "catalogue.drifted", "application.changed"


async def drifted(connection: AsyncConnection, dataset: int, name: str, findings: int) -> None:
    """Tell that the record of a dataset, by its number, and what it holds have come apart."""
    await _tell(connection, DRIFTED, {"dataset": name, "findings": findings}, datasets=[dataset])


async def application(
    connection: AsyncConnection, permit_id: str, change: str, hearers: Sequence[str] = ()
) -> None:
    """Tell what became of an application: stewards and administrators, and `hearers`."""
    rows = await connection.execute(queries("webhook.sql")["datasets_of"], {"permit": permit_id})
    datasets = [number for (number,) in await rows.fetchall()]
    about = {"permit": permit_id, "change": change}
    await _tell(connection, APPLICATION, about, datasets=datasets, permit=permit_id, hearers=hearers)


async def _tell(
    connection: AsyncConnection,
    event: str,
    about: Mapping[str, object],
    *,
    datasets: Sequence[int],
    permit: str = "",
    hearers: Sequence[str] = (),
) -> None:
    row = {"event": event, "about": Jsonb(about), "datasets": list(datasets), "permit": permit}
    await connection.execute(queries("webhook.sql")["announce"], row | {"hearers": list(hearers)})
