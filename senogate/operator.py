"""What the administrator's commands share: who runs them, and the database where what they do is recorded."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from psycopg import AsyncConnection, OperationalError
from rich.console import Console

from archive import settings as site_settings
from archive.audit import Detail, Event, write_async
from archive.errors import Unavailable
from archive.pool import connection_string
from archive.settings import Settings
from senogate.cluster import complete
from senogate.user import user

if TYPE_CHECKING:
    from rich.progress import Progress

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
_T = TypeVar("_T")


def site_of_home() -> Settings:
    """The settings of the site in this home, with the address of its database."""
    return complete(site_settings.load())


def run(settings: Settings, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    """Do the work in one transaction of the site's database. Raises Unavailable, and what the work raises."""

    async def connected() -> _T:
        try:
            async with await AsyncConnection.connect(connection_string(settings.database_url)) as connection:
                return await work(connection)
        except OperationalError:
            raise Unavailable("PostgreSQL does not answer: is the site running?") from None

    return asyncio.run(connected())


def change(
    settings: Settings, event: Event, detail: Detail, work: Callable[[AsyncConnection], Awaitable[_T]]
) -> _T:
    """As `run`, with a record of it in the trail: both, or neither."""

    async def recorded(connection: AsyncConnection) -> _T:
        done = await work(connection)
        await write_async(connection, event, subject=user(), detail=detail)
        return done

    return run(settings, recorded)


def show(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """A line for each row, or all as JSON."""
    if as_json:
        out.print_json(json.dumps(rows))
    for row in [] if as_json else rows:
        out.print("  ".join(str(value) for value in row.values() if value != ""), markup=False)


def say(message: str) -> None:
    out.print(message, markup=False)


def bar(disable: bool = False) -> "Progress":
    """A bar beside a number of things that are done, on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=disable, transient=True)


def read_secret(prompt: str, *, twice: bool = False) -> str:
    """A secret typed unseen at a terminal, else the first line of standard input: never of the command line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    secret = getpass.getpass(f"{prompt}: ")
    if twice and getpass.getpass(f"{prompt} again: ") != secret:
        raise typer.BadParameter("the two differ", param_hint=prompt)
    return secret


def seconds(text: str, least: int = 0) -> int:
    """A length of time such as 90s, 15m, 24h or 7d. Raises typer.BadParameter."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if not (text[:-1].isdecimal() and text[-1:] in units and int(text[:-1]) >= least):
        raise typer.BadParameter("write it as 90s, 15m, 1h or 7d")
    return int(text[:-1]) * units[text[-1]]
