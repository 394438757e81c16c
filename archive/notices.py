"""What webhooks are still to be told: written by the transaction that ends a reading, delivered by a worker.

A notice is told at least once, under an identifier that stays the same. Whether its principal may see the study is
decided at each attempt, and each is on record before anything is sent.
"""

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection

from archive.audit import WORKER, Outcome, instant, write_async
from archive.audit import Event as Audited
from archive.conditions import Parameters
from archive.errors import Forbidden, Unauthenticated
from archive.listing import restrict
from archive.permits import grants_of
from archive.policy import Action, Principal, Role, Scope, decide, parse_actions
from archive.pool import queries
from archive.subjects import ADMINISTRATOR
from archive.webhooks import Event

MOST_ATTEMPTS = 24  # of one notice
OLDEST = 3 * 86_400.0  # seconds; a notice that is older is given up
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0  # seconds after an attempt that failed; each is twice the one before
TELLER_LOCK = 0x5E0A_0019  # key of the advisory lock that one process has that delivers
_EVENTS = {"done": Event.COMPLETED, "not-applicable": Event.NOT_APPLICABLE, "failed": Event.FAILED}


def want(connection: psycopg.Connection, reading: Mapping[str, Any], state: str) -> None:
    """Have webhooks told that a reading has ended.

    `reading` is its key in the table, with its fingerprint. Belongs to the transaction that ends it. A shadow's
    reading is told nobody.
    """
    connection.execute(queries("webhook.sql")["want"], {**reading, "event": str(_EVENTS[state])})


@dataclass(frozen=True, slots=True)
class Lane:
    """A webhook to which something is to be delivered. `scope` is that of its client, where it is one's."""

    number: int
    name: str
    url: str
    subject: str
    permit: str | None
    dataset: int  # 0: all studies
    algorithm: str
    salt: bytes = field(repr=False)
    previous_salt: bytes | None = field(repr=False)
    scope: str | None

    @property
    def principal(self) -> Principal:
        """Who is told, as if it asked."""
        is_client = self.subject.startswith("client:")
        actions = parse_actions(self.scope or "") if is_client else frozenset(Action)
        roles = frozenset({Role.ADMINISTRATOR} if self.subject == ADMINISTRATOR else ())
        return Principal(self.subject, actions, roles, self.permit)


@dataclass(frozen=True, slots=True)
class Notice:
    """That a reading has ended, or what it is `about`, of which `hearers` hear as stewards do.

    `attempts` were made before.
    """

    number: int
    id: uuid.UUID
    event: str
    study_instance_uid: str | None
    task: str | None
    modality: str | None
    state: str | None
    model: str | None
    result_sop_instance_uid: str | None
    series_instance_uid: str | None
    research_use_only: bool
    attempts: int
    created_at: datetime
    about: Mapping[str, Any] | None = None
    hearers: Sequence[str] = ()

    @property
    def identifier(self) -> str:
        """As the header `webhook-id` has it; the same at each attempt."""
        return f"msg_{self.id.hex}"

    def payload(self, dicomweb_url: str) -> bytes:
        """The message: pseudonyms, what was read and by what, and nothing of what was found."""
        told = {"type": self.event, "timestamp": instant(self.created_at)}
        data = dict(self.about) if self.about is not None else self._of_reading(dicomweb_url)
        return json.dumps(told | {"data": data}, separators=(",", ":")).encode()

    def _of_reading(self, dicomweb_url: str) -> dict[str, Any]:
        data = {
            "study_instance_uid": self.study_instance_uid,
            "task": self.task,
            "modality": self.modality,
            "state": self.state,
            "model": self.model,
            "research_use_only": self.research_use_only,
        }
        if self.result_sop_instance_uid:
            path = f"studies/{self.study_instance_uid}/series/{self.series_instance_uid}"
            data["result_sop_instance_uid"] = self.result_sop_instance_uid
            data["result_url"] = f"{dicomweb_url}/{path}/instances/{self.result_sop_instance_uid}"
        return data


async def is_alone(connection: AsyncConnection) -> bool:
    """Whether this connection's process is the one that delivers; true until the connection ends."""
    row = await (await _execute(connection, "tell_alone", key=TELLER_LOCK)).fetchone()
    return bool(row and row[0])


async def waiting(connection: AsyncConnection, webhook: int | None = None) -> list[Lane]:
    """The webhooks, or that webhook, to which something may be delivered now."""
    rows = await (await _execute(connection, "waiting", webhook=webhook)).fetchall()
    return [Lane(*row) for row in rows]


async def take(connection: AsyncConnection, lane: Lane) -> Notice | None:
    """The next notice of a webhook, on record as sent; None without one.

    Those of studies that its principal does not see, or that are withheld, are forgotten; so is what is about a thing
    that it does not manage.
    """
    while True:
        row = await (await _execute(connection, "next", webhook=lane.number)).fetchone()
        if row is None:
            return None
        notice = Notice(*row)
        if (permits := await _permits(connection, lane, notice)) is not None:
            await _begin(connection, lane, notice, permits)
            return notice
        await _execute(connection, "forget", notice=notice.number)


async def _permits(connection: AsyncConnection, lane: Lane, notice: Notice) -> Sequence[str] | None:
    """By which permits the principal is told; None where it is not."""
    if notice.about is not None:
        named = notice.about.get("permit")
        return ([named] if named else []) if await _hears(connection, lane, notice) else None
    scope = await _scope(connection, lane)
    return scope.permits if scope and await _is_seen(connection, scope, lane, notice) else None


async def _hears(connection: AsyncConnection, lane: Lane, notice: Notice) -> bool:
    """Whether the principal manages permits and datasets, or is one whom the notice is about."""
    try:
        grants = await grants_of(connection, lane.subject)
    except Unauthenticated:
        return False
    manages = (grants.roles | lane.principal.roles) & {Role.ADMINISTRATOR, Role.STEWARD}
    return bool(manages) or lane.subject in notice.hearers


async def _scope(connection: AsyncConnection, lane: Lane) -> Scope | None:
    """The studies that the principal sees now; None where it may not act at all."""
    principal = lane.principal
    try:
        grants = await grants_of(connection, lane.subject)
        whole = replace(grants, roles=grants.roles | principal.roles)
        return decide(principal, whole, Action.READ, Action.WORKLIST)
    except (Unauthenticated, Forbidden):
        return None


async def _is_seen(connection: AsyncConnection, scope: Scope, lane: Lane, notice: Notice) -> bool:
    parameters = Parameters()
    statement = queries("webhook.sql")["is_seen"].format(matches=restrict(scope, parameters))
    values = parameters.values | {"study": notice.study_instance_uid, "dataset": lane.dataset}
    row = await (await connection.execute(statement.encode(), values)).fetchone()
    return bool(row and row[0])


async def _begin(connection: AsyncConnection, lane: Lane, notice: Notice, permits: Sequence[str]) -> None:
    async with connection.transaction():
        await connection.execute("set local synchronous_commit = on")
        await _execute(connection, "attempt", notice=notice.number)
        await write_async(
            connection,
            Audited.NOTICE_SENT,
            subject=WORKER,
            permits=permits,
            study_instance_uid=notice.study_instance_uid,
            detail=_detail(lane.name, lane.subject, notice.event, notice.identifier)
            | {"attempt": notice.attempts + 1},
        )


def _detail(name: str, subject: str, event: str, identifier: str) -> dict[str, str | int]:
    return {"webhook": name, "for": subject, "told": event, "id": identifier}


async def told(connection: AsyncConnection, lane: Lane, notice: Notice) -> None:
    """Its receiver took it."""
    async with connection.transaction():
        await _execute(connection, "forget", notice=notice.number)
        await _execute(connection, "told", webhook=lane.number)


async def failed(
    connection: AsyncConnection, lane: Lane, notice: Notice, failure: str, least: float = 0.0
) -> None:
    """Its receiver did not take it: nothing is sent to it for a while, `least` seconds at least."""
    gives_up = notice.attempts + 1 >= MOST_ATTEMPTS
    async with connection.transaction():
        if gives_up:
            await _execute(connection, "forget", notice=notice.number)
            detail = _detail(lane.name, lane.subject, notice.event, notice.identifier)
            await _give_up(connection, notice.study_instance_uid, detail, notice.attempts + 1)
        values = {"least": least, "first": FIRST_PAUSE * random.uniform(0.9, 1.1), "longest": LONGEST_PAUSE}
        row = {"webhook": lane.number, "failure": failure, "given_up": int(gives_up)}
        await _execute(connection, "failed", **values, **row)


async def stop(connection: AsyncConnection, lane: Lane, failure: str) -> None:
    """Its receiver wants nothing any more (410): it is told nothing until the webhook is added anew."""
    async with connection.transaction():
        await _execute(connection, "forget_all", webhook=lane.number)
        await _execute(connection, "stop", webhook=lane.number, failure=failure)
        detail = {"webhook": lane.name, "change": "stopped"}
        await write_async(connection, Audited.WEBHOOK_CHANGED, subject=WORKER, detail=detail)


async def expire(connection: AsyncConnection) -> int:
    """Give up the notices that are too old, some at a time; how many."""
    async with connection.transaction():
        rows = await (await _execute(connection, "expired", age=OLDEST)).fetchall()
        for webhook, name, subject, identifier, event, study, attempts in rows:
            await _execute(connection, "given_up", webhook=webhook)
            detail = _detail(name, subject, event, f"msg_{uuid.UUID(identifier).hex}")
            await _give_up(connection, study, detail, attempts)
    return len(rows)


async def _give_up(
    connection: AsyncConnection, study: str | None, detail: Mapping[str, str | int], attempts: int
) -> None:
    await write_async(
        connection,
        Audited.NOTICE_SENT,
        subject=WORKER,
        outcome=Outcome.FAILED,
        study_instance_uid=study,
        detail={**detail, "attempts": attempts},
    )


async def _execute(connection: AsyncConnection, name: str, **values: Any) -> psycopg.AsyncCursor:
    return await connection.execute(queries("webhook.sql")[name], values)
