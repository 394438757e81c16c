"""Asking a whole federation: the own node's rows at once, and those of each other node as they come.

A hub asks its members; a site has its hub ask all others. Whoever says nothing in time is late, and changes nothing
but its own row.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from archive import federation_keys, persons, questions
from archive.audit import Detail, Event, Record
from archive.errors import BadRequest, ConfigurationError, Unavailable
from archive.federation_roles import Hub, Joined, read_hub, read_site
from archive.members import Member, State, list_members
from archive.questions import Opened, heard_of
from archive.settings import Settings
from gateway.fleet import dialling
from gateway.search import messages
from gateway.search.answering import answer
from gateway.search.lines import read_lines
from gateway.search.messages import Asked, Said, asker_of
from gateway.search.question import Question, to_json
from gateway.search.sites import (
    LATE,
    NOT_ASKED,
    REST_LATE,
    SiteAnswer,
    SiteState,
    pages,
    read_rows,
    read_site_answer,
)
from gateway.services import Services

WITHIN = 1.7  # seconds after which whoever has not answered is late
HUBS_SHARE = 0.2  # seconds less that a hub takes for a site, which waits for it
LEAST = 0.5  # seconds that others are given at least
ALONE = "here"  # the name of a node of no federation
MOST_ANSWERS = 1000  # that a hub passes on
PATH = "/federation/v1/search"


async def ask(
    services: Services, question: Question, asker: str, *, within: float = WITHIN
) -> AsyncGenerator[SiteAnswer, None]:
    """The own node's answer first, then each other node's as it comes: of all, whatever became of it.

    `asker` is whose budget is taken from, "" for anonymous ones. Raises TooManyRequests before the first answer
    where the budget of this node is spent, or the asker has too many questions open; PayloadTooLarge for a question
    that other nodes would not read.
    """
    messages.check_size(question)
    settings = services.settings
    until = asyncio.get_running_loop().time() + within
    own = await answer_here(services, question, asker)
    hub, joined = read_hub(settings), read_site(settings)
    if hub:
        key = federation_keys.federation_key(settings)
        told = asker_of(key, hub.name, await _person(services, asker))
        opened = Opened(secrets.token_hex(16), to_json(question), asker, told)
        async with asked_members(services, hub, opened, until) as asking:
            yield own
            async with aclosing(asking.answers()) as others:
                async for each in others:
                    yield each
    else:
        yield own
        if joined:
            async with aclosing(_ask_hub(services, joined, question, asker, until)) as others:
                async for each in others:
                    yield each


async def answer_here(services: Services, question: Question, asker: str) -> SiteAnswer:
    """What this node itself answers. Raises TooManyRequests."""
    found = await answer(services, question, asker)
    own = pages(found.rows, services.settings.public_url)
    return SiteAnswer(own_name(services.settings), SiteState.ANSWERED, found.rows, addresses=own)


def own_name(settings: Settings) -> str:
    """What this node is called in its federation."""
    hub, joined = read_hub(settings), read_site(settings)
    return hub.name if hub else joined.name if joined else ALONE


@dataclass(slots=True)
class Asking:
    """A question that a hub has put to its members, who are awaited until a time of the loop's clock."""

    services: Services
    question: str
    until: float
    woken: asyncio.Event
    waiting: dict[str, Member]
    addresses: Mapping[str, str] = field(default_factory=dict)

    async def answers(self) -> AsyncGenerator[SiteAnswer, None]:
        """Each member's answer as it comes, and at the end who is late. Of one that is cut off nothing is told."""
        while self.waiting and (rest := self.until - asyncio.get_running_loop().time()) > 0:
            self.woken.clear()
            for found in await self._come():
                yield found
            if self.waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self.woken.wait()
        for name, member in sorted(self.waiting.items()):
            if await self._takes_part(member):
                yield SiteAnswer(name, SiteState.LATE, reason=LATE)

    async def _come(self) -> list[SiteAnswer]:
        async with self.services.connection() as connection:
            found = await questions.answers(connection, self.question, self.waiting)
        come = []
        for name, content in found:
            if await self._takes_part(self.waiting.pop(name)):
                come.append(self._read(name, content))
        return come

    async def _takes_part(self, member: Member) -> bool:
        return await self.services.memberships.find(member.name) == member

    def _read(self, name: str, content: Mapping[str, Any]) -> SiteAnswer:
        rows = read_rows(content["rows"])
        own = pages(rows, self.addresses.get(name, ""))
        return SiteAnswer(name, SiteState(content["state"]), rows, content["reason"], own)


@asynccontextmanager
async def asked_members(services: Services, hub: Hub, opened: Opened, until: float) -> AsyncIterator[Asking]:
    """Put a question to all members but the one that asks; it is open as long as the block lasts, and until then.

    Raises TooManyRequests, Conflict where it was asked before, Unavailable.
    """
    rest = max(until - asyncio.get_running_loop().time(), LEAST)
    async with services.connection() as connection:
        members = await list_members(connection)
        waiting = {m.name: m for m in members if m.state == State.ACTIVE and m.name != opened.origin}
        addresses = await questions.addresses(connection)
    with services.announcements.to(heard_of(opened.question)) as woken:
        async with services.connection() as connection:
            await questions.open_question(connection, opened, rest)
        detail: Detail = {"question": opened.question, "hub": hub.name, "members": len(waiting)}
        await services.trail.write(
            Record(Event.FEDERATION_SEARCH, opened.asker or "anonymous", detail=detail)
        )
        until = asyncio.get_running_loop().time() + rest
        try:
            yield Asking(services, opened.question, until, woken, waiting, addresses)
        finally:
            async with services.connection() as connection:
                await questions.close_question(connection, opened.question)


async def _ask_hub(
    services: Services, joined: Joined, question: Question, asker: str, until: float
) -> AsyncGenerator[SiteAnswer, None]:
    """What the hub passes on of all others; where it does not, it is late, or faulty."""
    late = LATE
    try:
        async with aclosing(_conversation(services, joined, question, asker)) as said:
            while True:
                async with asyncio.timeout_at(until):
                    each = await anext(said, None)
                if each is None:
                    return
                if each.site != joined.name:
                    late = REST_LATE
                    yield each
    except (httpx.HTTPError, OSError, TimeoutError, ConfigurationError):
        yield SiteAnswer(joined.hub_name, SiteState.LATE, reason=late)
    except Unavailable:
        yield SiteAnswer(joined.hub_name, SiteState.REFUSED, reason=NOT_ASKED)
    except BadRequest as error:
        yield SiteAnswer(joined.hub_name, SiteState.FAULTY, reason=str(error))


async def _person(services: Services, asker: str) -> str:
    """Whom others take for one asker: they see neither her nor that she has several identities."""
    async with services.connection() as connection:
        return await persons.person_of(connection, asker)


async def _conversation(
    services: Services, joined: Joined, question: Question, asker: str
) -> AsyncGenerator[SiteAnswer, None]:
    settings = services.settings
    key = federation_keys.federation_key(settings)
    asked = Asked(
        secrets.token_hex(16),
        joined.name,
        joined.hub_name,
        messages.now(),
        asker_of(key, joined.name, await _person(services, asker)),
        question,
    )
    detail = {"question": asked.question_id, "hub": joined.hub_name}
    await services.trail.write(Record(Event.FEDERATION_SEARCH, asker or "anonymous", detail=detail))
    client = await services.upstream.at(joined, lambda: dialling.async_client(settings, joined))
    sent = messages.sign(Said.SEARCH, asked.to_bytes(), key)
    async with client.stream("POST", PATH, json=sent) as answered:
        if answered.status_code != httpx.codes.OK:
            raise Unavailable(
                f"the hub does not ask the others for this site (status {answered.status_code})"
            )
        number = 0
        async for line in read_lines(answered.aiter_raw(), messages.LONGEST_ANSWER * 2):
            number += 1
            if number > MOST_ANSWERS:
                raise BadRequest("the hub passes on more than is read")
            yield read_site_answer(_json(line))


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequest("the hub passes on what is no answer") from None
