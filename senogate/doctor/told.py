"""What the node itself looks after: what `senogate status`, `/admin` and `/api/state` tell (archive/state.py)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from psycopg import AsyncConnection

from archive import secrets, state
from archive.pool import answers, connection_string, translated_errors
from archive.settings import Settings
from archive.state_files import look_at_files
from archive.state_item import Item, Level
from senogate.doctor.finding import Finding, of_item
from senogate.doctor.place import Place


def look(place: Place) -> Iterator[Finding]:
    """Each thing that is looked after; of those that the database knows nothing where it does not answer."""
    if place.is_new:
        return
    settings = place.settings
    items = (
        asyncio.run(state.look(settings, _connector(settings)))
        if answers(settings.database_url)
        else look_at_files(settings)
    )
    for item in items:
        yield of_item(_as_of(settings, item))


def _connector(settings: Settings) -> state.Connect:
    @asynccontextmanager
    async def connected() -> AsyncIterator[AsyncConnection]:
        with translated_errors():
            address = connection_string(settings.database_url)
            async with await AsyncConnection.connect(address, autocommit=True) as connection:
                yield connection

    return connected


def _as_of(settings: Settings, item: Item) -> Item:
    """That a site has no backup is urgent once it is a week old, and a thing to do before."""
    if item.name != state.BACKUP or item.level != Level.ACT:
        return item
    made = Path(settings.secrets, secrets.COMPLETE)
    is_young = (
        made.exists() and datetime.now(UTC) - datetime.fromtimestamp(made.stat().st_mtime, UTC) < state.WEEK
    )
    return replace(item, level=Level.LOOK) if is_young else item
