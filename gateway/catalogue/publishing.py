"""A record is published when it has what is mandatory and conforms to the shapes, and not before.

What the node says of itself is part of every record, so an edit of it that breaks one that everybody sees is refused.
"""

from anyio.to_thread import run_sync
from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from archive import catalogue, holdings
from archive.catalogue import Entry
from archive.catalogue_fields import Node
from archive.errors import BadRequest, PreconditionFailed, Unavailable
from archive.settings import Settings
from archive.state_item import marked
from gateway.catalogue.addresses import Addresses
from gateway.catalogue.findings import Finding, field_of

PATIENCE = 20.0  # seconds that a count may take before a record is published
_WOULD_NOT_CONFORM = marked("%(name)s would not conform: %(found)s")
_TAKES_LONG = marked("the dataset takes long to count: it is counted beside, try again later")


def problems(settings: Settings, node: Node, entry: Entry) -> list[Finding]:
    """What keeps a record from being published, by field; nothing where it may be. Raises ConfigurationError."""
    from gateway.catalogue.record import catalogue_record, dataset_record
    from gateway.catalogue.validation import validate

    where = Addresses(settings.public_url)
    gaps = [Finding(name, "is empty") for name in entry.written.missing()]
    graph = dataset_record(node, entry, where) + catalogue_record(node, [entry.name], entry.changed_at, where)
    found = [Finding(field_of(one.about), one.told) for one in validate(graph, settings.catalogue_shapes)]
    return gaps + found


async def publish(
    connection: AsyncConnection,
    settings: Settings,
    name: str,
    *,
    by: str,
    notes: str = "",
    revision: int | None = None,
) -> int:
    """Let everybody see what is written, counted anew where it has to be; the number of its version.

    Raises NotFound, BadRequest, which says what is wrong with it, Unavailable where it can't be counted, and
    PreconditionFailed where what is written is not of the `revision` that is given.
    """
    await _count(connection, await catalogue.entry(connection, name, published=False))
    node, entry = await catalogue.node(connection), await catalogue.entry(connection, name, published=False)
    if revision not in (None, entry.revision):
        raise PreconditionFailed("the record was changed by somebody else meanwhile: read it again")
    if found := await run_sync(problems, settings, node, entry):
        raise BadRequest("; ".join(map(str, found)))
    return await catalogue.publish(connection, name, by=by, notes=notes, revision=entry.revision)


async def edit_node(
    connection: AsyncConnection, settings: Settings, record: Node, *, by: str, revision: int | None = None
) -> int:
    """Replace what the node says of itself; the new revision.

    Raises PreconditionFailed, and BadRequest where records that everybody sees would not conform any more: one is
    looked at for each of the access rights, which have shapes of their own.
    """
    served, before = await catalogue.entries(connection, published=True), await catalogue.node(connection)
    for entry in {each.written.rights: each for each in served}.values():
        found = await run_sync(problems, settings, record, entry)
        known = await run_sync(problems, settings, before, entry) if found else []
        if worse := [str(one) for one in found if one not in known]:
            raise BadRequest(_WOULD_NOT_CONFORM, name=entry.name, found="; ".join(worse))
    return await catalogue.edit_node(connection, record, by=by, revision=revision)


async def _count(connection: AsyncConnection, entry: Entry) -> None:
    try:
        if await holdings.is_stale(connection, entry.number):
            await holdings.count(connection, entry.number, longest=PATIENCE)
    except QueryCanceled:
        if entry.holdings is None:
            raise Unavailable(_TAKES_LONG) from None
