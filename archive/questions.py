"""Questions that a hub puts to its members, and what they say, for as long as they are open.

PostgreSQL tells of each on the channel `senogate_questions`: `questions` where there is a new one, `answer` and the
question's identifier where a member has said something.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive.addresses import is_allowed
from archive.errors import BadRequest, Conflict, NotFound, TooManyRequests
from archive.pool import queries

CHANNEL = "senogate_questions"
NEW = "questions"
MOST_OPEN = 64  # questions at a time
MOST_OF_ASKER = 4
MOST_OF_ANYBODY = 16  # of those together who don't say who they are
MOST_OF_MEMBER = 8  # that people at one site ask
AGAIN = 2.0  # seconds after which who has too many open may ask again


@dataclass(frozen=True, slots=True)
class Opened:
    """A question to members. `asker` is who asks, `told_asker` what the members are told of that.

    `origin` is the member where it was asked, "" for the hub itself.
    """

    question: str
    content: Mapping[str, Any]
    asker: str
    told_asker: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that a member has not been told of yet; `number` rises from one to the next."""

    number: int
    question: str
    content: Mapping[str, Any]
    told_asker: str


@dataclass(frozen=True, slots=True)
class Held:
    """The most studies that a dataset of a member was found to hold, and how long ago, in seconds."""

    studies: int
    age: float


def heard_of(question: str) -> str:
    """What is announced when a member has said something to a question."""
    return f"answer {question}"


async def open_question(connection: AsyncConnection, opened: Opened, within: float) -> None:
    """Put a question to the members for so many seconds.

    Raises TooManyRequests where too many are open, Conflict for an identifier that was used already.
    """
    values = {"question": opened.question, "content": Jsonb(dict(opened.content)), "asker": opened.asker}
    values |= {"told_asker": opened.told_asker, "origin": opened.origin, "within": within}
    async with connection.transaction():
        await _execute(connection, "lock", {})
        await _execute(connection, "clean", {})
        counted = await (await _execute(connection, "count_open", values)).fetchone() or (0, 0, 0)
        most = MOST_OF_ASKER if opened.asker else MOST_OF_ANYBODY
        is_members = bool(opened.origin) and counted[2] >= MOST_OF_MEMBER
        if counted[0] >= MOST_OPEN or counted[1] >= most or is_members:
            raise TooManyRequests(AGAIN)
        if not (await _execute(connection, "open", values)).rowcount:
            raise Conflict("the question was asked already")


async def close_question(connection: AsyncConnection, question: str) -> None:
    """Take no more answers."""
    await _execute(connection, "close", {"question": question})


async def open_after(connection: AsyncConnection, member: str, number: int) -> list[Pending]:
    """What a member is asked now, of later numbers than this, and has not answered."""
    found = await _execute(connection, "open_after", {"member": member, "number": number})
    return [Pending(*row) for row in await found.fetchall()]


async def is_open(connection: AsyncConnection, question: str, member: str) -> bool:
    """Whether the question waits for the member's answer."""
    return bool((await _execute(connection, "is_open", {"question": question, "member": member})).rowcount)


async def keep_answer(
    connection: AsyncConnection, question: str, member: str, content: Mapping[str, Any]
) -> bool:
    """Keep what a member says, for who asked; False where it is too late, or not the first that it says."""
    values = {"question": question, "member": member, "content": Jsonb(dict(content))}
    return bool((await _execute(connection, "answer", values)).rowcount)


async def answers(
    connection: AsyncConnection, question: str, members: Collection[str]
) -> list[tuple[str, Mapping[str, Any]]]:
    """What these members have said, each with its name."""
    found = await _execute(connection, "answers", {"question": question, "members": list(members)})
    return [(member, content) for member, content in await found.fetchall()]


async def held(connection: AsyncConnection, member: str) -> dict[str, Held]:
    """What the member's datasets were found to hold, by name."""
    rows = await (await _execute(connection, "held", {"member": member})).fetchall()
    return {dataset: Held(studies, age) for dataset, studies, age in rows}


async def hold(connection: AsyncConnection, member: str, studies: Mapping[str, int]) -> None:
    """Note what the member's datasets hold, at most once a day each."""
    values = {"member": member, "datasets": list(studies), "studies": list(studies.values())}
    await _execute(connection, "hold", values)


async def addresses(connection: AsyncConnection) -> dict[str, str]:
    """Where members' pages are, by their names; those of whom nobody has said it are not among them."""
    return dict(await (await _execute(connection, "addresses", {})).fetchall())


async def set_address(connection: AsyncConnection, member: str, url: str) -> None:
    """Note where people reach a member's pages; "" forgets it.

    Raises BadRequest for what is no https address, NotFound where no site of this name takes part.
    """
    if not url:
        await _execute(connection, "forget_address", {"member": member})
        return
    if not is_allowed(url) or "?" in url or len(url) > 1000 or any(each in url for each in "<>\"'"):
        raise BadRequest("a site's address is https://, a host, and a path where it has one")
    if not (await _execute(connection, "address", {"member": member, "url": url.rstrip("/")})).rowcount:
        raise NotFound("no site of this name takes part")


async def told_of(connection: AsyncConnection, numbers: Sequence[int] | None) -> dict[str, int]:
    """The published datasets of these numbers, all where None, and how many studies each has."""
    values = {"numbers": None if numbers is None else list(numbers)}
    return dict(await (await _execute(connection, "told", values)).fetchall())


async def _execute(connection: AsyncConnection, name: str, values: Mapping[str, Any]) -> Any:
    return await connection.execute(queries("questions.sql")[name], values)
