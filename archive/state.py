"""The state of a node: each thing that somebody who keeps it looks after, how it is, and what it calls for.

What can't be asked is unknown, and hinders nothing else from being told.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from archive.errors import Unavailable
from archive.pool import queries
from archive.settings import Settings
from archive.state_files import look_at_files
from archive.state_item import Item, Level, marked, unknown

PATIENCE = 1.0  # seconds for PostgreSQL to answer one question
TOGETHER = 3.0  # seconds for it to answer all of them
SILENT = 180.0
"""Seconds without a sign of life after which the keeper is not alive."""
GIB = 1024**3
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = timedelta(days=7)
Row = Sequence[Any]
Judge = Callable[[str, str, Row], Item | None]
Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
BACKUP, VERIFIED, KEEPER = "backup", "audit-verified", "keeper"
"""Milestones: a backup was made, the audit trail was verified (its detail: {"faults": how many}), the keeper lives."""


async def look(
    settings: Settings,
    connect: Connect,
    parts: Mapping[str, str] | None = None,
    versions: Mapping[str, str] | None = None,
) -> list[Item]:
    """The state of the site now. `parts`: of Orthanc, the plugin and so on what is wrong, empty where nothing is.

    `versions` are those of parts that say theirs. Within a few milliseconds where all answers; it raises nothing of
    what may be wrong with the site.
    """
    told = versions or {}
    asked = {
        name: problem for name, problem in (parts or {}).items() if name != KEEPER
    }  # a question tells of it
    items = [_part(name, problem, told.get(name, "")) for name, problem in asked.items()]
    items += await _look_at_database(connect)
    items += list(await asyncio.to_thread(lambda: list(look_at_files(settings))))
    return items


def note(connection: psycopg.Connection, milestone: str, **detail: object) -> None:
    """Keep that something was done now: BACKUP, VERIFIED or KEEPER."""
    row = {"name": milestone, "detail": Jsonb(detail)}
    connection.execute(queries("state.sql")["note"], row)


def is_keeper_alive(connection: psycopg.Connection) -> bool:
    """Whether the keeper left a sign of life lately."""
    row = connection.execute(queries("state.sql")["alive"], {"name": KEEPER, "age": SILENT}).fetchone()
    return row is not None


async def _look_at_database(connect: Connect) -> list[Item]:
    """The answers that came within TOGETHER; what has none then is unknown, and nobody waits for it."""
    told: dict[str, Item | None] = {}
    asking = asyncio.create_task(_ask_all(connect, told))
    await asyncio.wait([asking], timeout=TOGETHER)
    asking.cancel()
    items = [told[name] if name in told else unknown(name, title) for name, (title, _) in QUESTIONS.items()]
    return [item for item in items if item]


async def _ask_all(connect: Connect, told: dict[str, Item | None]) -> None:
    with suppress(Unavailable, psycopg.Error):
        async with connect() as connection:
            for name, asked in QUESTIONS.items():
                told[name] = await _ask(connection, name, *asked)


async def _ask(connection: AsyncConnection, name: str, title: str, judge: Judge) -> Item | None:
    try:
        async with asyncio.timeout(PATIENCE):
            row = await (await connection.execute(queries("state.sql")[name])).fetchone()
    except psycopg.OperationalError:
        raise
    except (psycopg.Error, TimeoutError):
        return unknown(name, title)
    return judge(name, title, row or ())


def _keeper(name: str, title: str, row: Row) -> Item:
    if row and timedelta(minutes=-1) < _age(row[0]) < timedelta(seconds=SILENT):
        return Item(name, title, said=marked("counts datasets and looks at exams"))
    todo = marked("See whether it runs, and its log: datasets are not counted and exams not looked at.")
    said = marked("has given no sign of life for minutes")
    return Item(name, title, Level.LOOK, said, {}, todo, command="senogate status")


_PARTS = {
    "orthanc": marked("Orthanc"),
    "plugin": marked("De-identifying plugin"),
    "postgresql": marked("PostgreSQL"),
    "index": marked("Worker"),
}


def _part(part: str, problem: str, version: str) -> Item:
    title = _PARTS.get(part, part)
    name = "worker" if part == "index" else part  # what the index holds is another thing to look at
    if not problem and version:
        return Item(name, title, said=marked("answers, version %(version)s"), values={"version": version})
    if not problem:
        return Item(name, title, said=marked("answers"))
    todo = marked(
        "See its log in the site's home; nothing is stored or shown while the plugin is not in place."
    )
    return Item(name, title, Level.ACT, "%(problem)s", {"problem": problem}, todo, command="senogate status")


def _exams(name: str, title: str, row: Row) -> Item:
    today, week = row
    said, values = marked("%(today)s today, %(week)s in the last 7 days"), {"today": today, "week": week}
    if week:
        return Item(name, title, said=said, values=values, link="/worklist/")
    todo = marked("Have the PACS send here, or try it with an exam.")
    return Item(name, title, Level.LOOK, said, values, todo, command="senogate send PATH")


def _held(name: str, title: str, row: Row) -> Item:
    waiting, oldest, quarantined, since = row
    values = {"waiting": waiting, "quarantined": quarantined}
    said = marked("%(waiting)s wait to be cleaned, %(quarantined)s for a person")
    if quarantined:
        level = Level.ACT if _age(since) > WEEK else Level.LOOK
        todo = marked("Decide on what is quarantined: release or discard it.")
        return Item(name, title, level, said, values, todo, command="senogate spool list --state quarantined")
    if _age(oldest) > HOUR:
        todo = marked("See why the worker does not clean it.")
        return Item(
            name, title, Level.LOOK, said, values, todo, command="senogate spool list --state waiting"
        )
    return Item(name, title, said=said, values=values)


def _index(name: str, title: str, row: Row) -> Item:
    followed_at, unindexed = row or (None, 0)
    if unindexed:
        todo = marked("See which, in the worker's log; then build the index anew.")
        said = marked("%(unindexed)s instances are stored that it can't read")
        return Item(name, title, Level.LOOK, said, {"unindexed": unindexed}, todo, command="senogate reindex")
    if followed_at is None or followed_at.year < 2000 or _age(followed_at) > timedelta(minutes=2):
        todo = marked("See whether a worker runs, and its log.")
        return Item(
            name,
            title,
            Level.ACT,
            marked("nobody follows what Orthanc stores"),
            {},
            todo,
            command="senogate status",
        )
    return Item(name, title, said=marked("follows what Orthanc stores"))


def _readings(name: str, title: str, row: Row) -> Item:
    due, since, failed = row
    said, values = marked("%(due)s are due, %(failed)s failed"), {"due": due, "failed": failed}
    if failed:
        todo = marked("See which exams, and have them read again.")
        return Item(
            name, title, Level.LOOK, said, values, todo, "/worklist/?status=failed", "senogate infer STUDY"
        )
    if _age(since) > HOUR:
        todo = marked("See whether the worker keeps up: add another, or a GPU.")
        return Item(name, title, Level.LOOK, said, values, todo, "/worklist/?status=due")
    return Item(name, title, said=said, values=values)


def _deliveries(name: str, title: str, row: Row) -> Item:
    waiting, since, refused = row
    said = marked("%(waiting)s wait, %(refused)s were refused")
    values = {"waiting": waiting, "refused": refused}
    if refused:
        todo = marked("See why, then try again or give up.")
        return Item(
            name, title, Level.ACT, said, values, todo, command="senogate delivery list --state refused"
        )
    if _age(since) > HOUR:
        todo = marked("See whether the destination answers.")
        return Item(
            name, title, Level.LOOK, said, values, todo, command="senogate delivery list --state waiting"
        )
    return Item(name, title, said=said, values=values)


def _webhooks(name: str, title: str, row: Row) -> Item:
    number, failing = row
    if not failing:
        return Item(name, title, said=marked("%(number)s, none fails"), values={"number": number})
    todo = marked("Send each a test and see what it answers.")
    said, values = marked("failing: %(names)s"), {"names": ", ".join(failing)}
    return Item(name, title, Level.LOOK, said, values, todo, command=f"senogate webhook test {failing[0]}")


def _requests(name: str, title: str, row: Row) -> Item:
    asked, erasures = row
    said = marked("%(asked)s requests for access and %(erasures)s erasures are open")
    values = {"asked": asked, "erasures": erasures}
    if asked:
        return Item(name, title, Level.LOOK, said, values, marked("Decide on the requests."), "/access")
    return Item(name, title, said=said, values=values)


def _audit(name: str, title: str, row: Row) -> Item:
    number, signed_at, verified_at, faults = row
    values = {"number": number, "signed": signed_at, "verified": verified_at}
    command = "senogate audit verify"
    if not number:
        return Item(name, title, said=marked("no record yet"))
    if faults:
        todo = marked("Keep everything as it is and find out who changed the trail.")
        return Item(
            name,
            title,
            Level.ACT,
            marked("it was changed: verified on %(verified)s"),
            values,
            todo,
            command=command,
        )
    if signed_at is None or _age(signed_at) > DAY:
        todo = marked("The worker signs every hour: see whether it runs and has its key.")
        said = marked("%(number)s records, none signed of the last day")
        return Item(name, title, Level.ACT, said, values, todo, command="senogate audit head")
    if verified_at is None:
        said, todo = marked("%(number)s records, never verified"), marked("Verify it now, and every month.")
        return Item(name, title, Level.LOOK, said, values, todo, command=command)
    said = marked("%(number)s records, verified on %(verified)s")
    if _age(verified_at) > timedelta(days=31):
        todo = marked("Verify it now, and every month.")
        return Item(name, title, Level.LOOK, said, values, todo, command=command)
    return Item(name, title, said=said, values=values)


def _database(name: str, title: str, row: Row) -> Item:
    values = {"size": round(row[0] / GIB, 2), "bytes": row[0]}
    return Item(name, title, said=marked("%(size)s GiB"), values=values)


_BACK_UP = "senogate backup DESTINATION"


def _backup(name: str, title: str, row: Row) -> Item:
    if not row:
        todo = marked(
            "Copy secrets, database and images elsewhere: without the secrets nobody is found again."
        )
        return Item(name, title, Level.ACT, marked("never"), {}, todo, command=_BACK_UP)
    said, values = marked("on %(at)s"), {"at": row[0]}
    if _age(row[0]) > WEEK:
        return Item(name, title, Level.LOOK, said, values, marked("Make one now."), command=_BACK_UP)
    return Item(name, title, said=said, values=values)


def _jobs(name: str, title: str, row: Row) -> Item:
    waiting, checked, running = row
    said = marked("%(running)s run or are due, %(waiting)s wait for approval, %(checked)s to be let out")
    values = {"running": running, "waiting": waiting, "checked": checked}
    if waiting or checked:
        return Item(name, title, Level.LOOK, said, values, marked("Decide on them."), "/jobs")
    return Item(name, title, said=said, values=values)


def _catalogue(name: str, title: str, row: Row) -> Item:
    number, faulty = row
    said, values = marked("%(number)s published, %(faulty)s at fault"), {"number": number, "faulty": faulty}
    if faulty:
        todo = marked("Correct what is wrong with them, and publish them anew.")
        return Item(name, title, Level.LOOK, said, values, todo, "/admin/catalogue")
    return Item(name, title, said=said, values=values, link="/admin/catalogue")


def _members(name: str, title: str, row: Row) -> Item | None:
    active, asking = row
    if not active and not asking:
        return None
    said, values = (
        marked("%(active)s sites take part, %(asking)s ask to"),
        {"active": active, "asking": asking},
    )
    if asking:
        todo = marked("Hear the fingerprint from its administrator, and let it take part.")
        return Item(name, title, Level.LOOK, said, values, todo, "/federation")
    return Item(name, title, said=said, values=values)


def _offered(name: str, title: str, row: Row) -> Item | None:
    number, undecided = row
    if not number:
        return None
    said = marked("%(number)s open, %(undecided)s not decided on")
    values = {"number": number, "undecided": undecided}
    if undecided:
        todo = marked("Approve or refuse them, or let a policy do it.")
        return Item(name, title, Level.LOOK, said, values, todo, "/federation")
    return Item(name, title, said=said, values=values)


def _age(moment: datetime | None) -> timedelta:
    """How long ago; nothing where it never was."""
    return datetime.now(UTC) - moment if moment else timedelta(0)


QUESTIONS: Mapping[str, tuple[str, Judge]] = {
    "keeper": (marked("Keeper"), _keeper),
    "exams": (marked("Exams that arrived"), _exams),
    "held": (marked("Spool and quarantine"), _held),
    "index": (marked("Index"), _index),
    "readings": (marked("Readings"), _readings),
    "deliveries": (marked("Deliveries to the PACS"), _deliveries),
    "webhooks": (marked("Webhooks"), _webhooks),
    "requests": (marked("Requests"), _requests),
    "jobs": (marked("Jobs"), _jobs),
    "catalogue": (marked("Records of the catalogue"), _catalogue),
    "members": (marked("Sites of the federation"), _members),
    "offered": (marked("Runs of the federation"), _offered),
    "audit": (marked("Audit trail"), _audit),
    "database": (marked("Database"), _database),
    "backup": (marked("Last backup"), _backup),
}
