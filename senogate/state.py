"""The state of the site for `senogate status`: as `/admin` and `/api/state` tell it (archive/state.py)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

from archive import state
from archive.pool import connection_string, translated_errors
from archive.settings import Settings
from archive.state_item import Item, Level


def look(settings: Settings, parts: Mapping[str, str]) -> list[Item]:
    """Everything that is looked after. `parts` is what the gateway says of each: empty where it answers."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[AsyncConnection]:
        with translated_errors():
            address = connection_string(settings.database_url)
            async with await AsyncConnection.connect(address, autocommit=True) as connection:
                yield connection

    return asyncio.run(state.look(settings, connect, parts))


def lines(items: list[Item]) -> list[str]:
    """What calls for somebody, that first which is urgent, and how to begin."""
    order = (Level.ACT, Level.LOOK, Level.UNKNOWN)
    calling = sorted(
        (item for item in items if item.level in order), key=lambda item: order.index(item.level)
    )
    return [_line(item) for item in calling]


def _line(item: Item) -> str:
    call = f" {item.todo}" if item.todo else ""
    command = f" ({item.command})" if item.command else ""
    return f"{item.level.value}: {item.title}: {item.text}.{call}{command}"
