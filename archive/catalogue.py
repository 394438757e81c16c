"""The catalogue's records: what a steward writes of a dataset and of the node, and what everybody sees of it.

What can be counted is counted (`archive.holdings`); this is the rest. A steward writes
beside what everybody sees, which is a version that was published (`archive.record_versions`) and stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive import announced, datasets, tracing
from archive.audit import Event, write_async
from archive.catalogue_fields import Node, Written, parse_fields
from archive.datasets import EVERYTHING
from archive.errors import BadRequest, NotFound, PreconditionFailed
from archive.holdings import Holdings, read_holdings
from archive.pool import queries
from archive.record_versions import RecordVersion, hold, issue, list_versions, version_text
from archive.tracing import Details

PAGE = 20  # datasets of a page of the catalogue
NODE = -1  # the number under which the node's own record is kept
_LOST = "the record was changed by somebody else meanwhile: read it again"


@dataclass(frozen=True, slots=True)
class Entry:
    """A dataset as the catalogue has it.

    `holdings` is what was counted last, None before the first time, and `told` what everybody may know of it.
    `revision` is that of what is written, 0 before the first time; `frozen` the newest frozen version, 0 for none.
    `findings` is what is wrong with what everybody sees.
    """

    number: int
    name: str
    written: Written
    holdings: Holdings | None
    told: Holdings
    version: str
    created_at: datetime
    changed_at: datetime
    published_at: datetime | None
    revision: int = 0
    frozen: int = 0
    sha256: str = ""
    notes: str = ""
    findings: tuple[str, ...] = ()


async def node(connection: AsyncConnection) -> Node:
    """What the node says of itself."""
    return (await node_to_edit(connection))[0]


async def node_to_edit(connection: AsyncConnection) -> tuple[Node, int]:
    """The same with its revision, 0 before the first edit."""
    row = await (await connection.execute(queries("catalogue.sql")["node"])).fetchone()
    return (parse_fields(Node, row[0]), row[1]) if row else (Node(), 0)


async def edit_node(
    connection: AsyncConnection, record: Node, *, by: str, revision: int | None = None
) -> int:
    """Replace what the node says of itself; the new revision. Raises PreconditionFailed, as `edit`."""
    return await _write(connection, NODE, asdict(record), "the node", by, revision)


@dataclass(frozen=True, slots=True)
class Sought:
    """What a list of the catalogue is narrowed to: all words, and of each facet one of its values if there are any."""

    words: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    manufacturers: tuple[str, ...] = ()
    densities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the published datasets that were sought, by title, with the numbers that anybody may know.

    `number` are all that were found. `facets` tells of each facet how many of all published datasets have each value.
    """

    number: int
    entries: list[Entry]
    facets: Mapping[str, Mapping[str, int]]


async def find(connection: AsyncConnection, sought: Sought, *, offset: int = 0, limit: int = PAGE) -> Found:
    """Seek among the published datasets."""
    row: dict[str, Any] = {name: list(values) for name, values in asdict(sought).items()}
    row |= {"words": [word.lower() for word in sought.words], "offset": offset, "limit": limit}
    found = await (await connection.execute(queries("catalogue.sql")["find"], row)).fetchone()
    number, numbers, facets = found or (0, [], {})
    rows = await connection.execute(queries("catalogue.sql")["listed"], {"numbers": numbers})
    return Found(number, [_entry(*row) for row in await rows.fetchall()], facets)


async def addresses(connection: AsyncConnection) -> tuple[list[str], datetime | None]:
    """The names of all published datasets, and when a record of them changed last; None where there is none."""
    row = await (await connection.execute(queries("catalogue.sql")["addresses"])).fetchone()
    return row if row else ([], None)


async def dates(connection: AsyncConnection) -> tuple[datetime, datetime]:
    """When a record was issued for the first time, and for the last; where none was yet, this day."""
    row = await (await connection.execute(queries("catalogue.sql")["dates"])).fetchone()
    first, last = row or (None, None)
    today = datetime.combine(datetime.now(UTC).date(), time.min, UTC)
    return first or today, last or today


async def entries(connection: AsyncConnection, *, published: bool, name: str | None = None) -> list[Entry]:
    """The datasets of the catalogue by name: `published` ones as everybody sees them, or all as they are written."""
    statement = queries("catalogue.sql")["served" if published else "written"]
    rows = await connection.execute(statement, {"name": name})
    return [_entry(*row) for row in await rows.fetchall()]


async def entry(connection: AsyncConnection, name: str, *, published: bool) -> Entry:
    """One of them. Raises NotFound."""
    found = await entries(connection, published=published, name=name)
    if not found:
        raise NotFound("no such dataset is in the catalogue")
    return found[0]


async def edit(
    connection: AsyncConnection, name: str, written: Written, *, by: str, revision: int | None = None
) -> int:
    """Replace what is written of a dataset; the new revision.

    Raises NotFound, and PreconditionFailed where `revision` is given and what is written has another one.
    """
    if name == EVERYTHING:
        raise NotFound("the catalogue has no record of everything: make a dataset")
    dataset = await datasets.show(connection, name)
    return await _write(connection, dataset.number, asdict(written), name, by, revision)


async def publish(
    connection: AsyncConnection, name: str, *, by: str, notes: str = "", revision: int | None = None
) -> int:
    """Let everybody see what is written, as a version of its own unless it is what the last one says; its number.

    Raises NotFound, BadRequest for a record with gaps, and PreconditionFailed as `edit`.
    """
    async with connection.transaction():
        await hold(connection, name)
        found = await entry(connection, name, published=False)
        if revision not in (None, found.revision):
            raise PreconditionFailed(_LOST)
        if gaps := found.written.missing():
            raise BadRequest("the record lacks %(names)s", names=", ".join(gaps))
        if not found.revision:
            await _write(connection, found.number, asdict(found.written), name, by, None)
        number = await _version_of(connection, found, await node(connection), notes, by)
        row = {"number": found.number, "version": number}
        await connection.execute(queries("catalogue.sql")["serve"], row)
        detail = {"dataset": name, "change": "published", "version": version_text(number)}
        await write_async(connection, Event.CATALOGUE_CHANGED, subject=by, detail=detail)
        if found.published_at is None:
            await tracing.updated(connection, name, Details.PUBLISH, by=by)
    return number


async def withdraw(connection: AsyncConnection, name: str, *, by: str) -> None:
    """Let stewards alone see a record again; that it was there is still told. Raises NotFound."""
    async with connection.transaction():
        found = await entry(connection, name, published=False)
        await connection.execute(queries("catalogue.sql")["withdraw"], {"number": found.number})
        detail = {"dataset": name, "change": "withdrawn"}
        await write_async(connection, Event.CATALOGUE_CHANGED, subject=by, detail=detail)
        if found.published_at is not None:
            await tracing.updated(connection, name, Details.UNPUBLISH, by=by)


async def note(connection: AsyncConnection, found: Entry, findings: Sequence[str], *, by: str) -> bool:
    """Keep what is wrong with what everybody sees, and raise the alarm where there is something new of it."""
    async with connection.transaction():
        row = {"number": found.number, "findings": Jsonb(list(findings))}
        before = await (await connection.execute(queries("catalogue.sql")["note"], row)).fetchone()
        is_news = before is not None and not set(findings) <= set(before[0])
        if is_news:
            detail = {"dataset": found.name, "findings": str(len(findings))}
            await write_async(connection, Event.CATALOGUE_DRIFTED, subject=by, detail=detail)
            await announced.drifted(connection, found.number, found.name, len(findings))
    return is_news


async def is_unchecked(connection: AsyncConnection, number: int) -> bool:
    """Whether what everybody sees of a dataset was not checked since it, its numbers or the node's record changed.

    It is checked once a day in any case.
    """
    row = await (
        await connection.execute(queries("catalogue.sql")["unchecked"], {"number": number})
    ).fetchone()
    return row is not None and bool(row[0])


async def _version_of(connection: AsyncConnection, found: Entry, by_node: Node, notes: str, by: str) -> int:
    """The number of the version that says what is written: the last one, or a new one."""
    made = RecordVersion(
        0, found.written, by_node, found.told, found.frozen, found.sha256, notes, found.changed_at
    )
    if found.published_at is not None:
        last = (await list_versions(connection, found.name))[0]
        if not notes and _content(last) == _content(made):
            return last.number
    return await issue(connection, found.name, found.number, made, by=by)


def _content(version: RecordVersion) -> tuple[object, ...]:
    return version.written, version.node, version.numbers, version.frozen


async def _write(
    connection: AsyncConnection,
    number: int,
    content: Mapping[str, Any],
    called: str,
    by: str,
    revision: int | None,
) -> int:
    async with connection.transaction():
        row = {"number": number, "fields": Jsonb(content), "by": by, "revision": revision}
        written = await (await connection.execute(queries("catalogue.sql")["edit"], row)).fetchone()
        if written is None or (revision is not None and written[0] != revision + 1):
            raise PreconditionFailed(_LOST)
        detail = {"dataset": called, "change": "edited"}
        await write_async(connection, Event.CATALOGUE_CHANGED, subject=by, detail=detail)
    return int(written[0])


def _entry(
    number: int,
    name: str,
    written: Mapping[str, Any] | None,
    holdings: Mapping[str, Any] | None,
    told: Mapping[str, Any] | None,
    version: int,
    frozen: int,
    sha256: str,
    notes: str,
    findings: Sequence[str],
    revision: int,
    created_at: datetime,
    changed_at: datetime,
    published_at: datetime | None,
) -> Entry:
    return Entry(
        number,
        name,
        parse_fields(Written, written or {}),
        None if holdings is None else read_holdings(holdings),
        read_holdings(told or {}),
        version_text(version),
        created_at,
        changed_at,
        published_at,
        revision,
        frozen,
        sha256,
        notes,
        tuple(findings),
    )
