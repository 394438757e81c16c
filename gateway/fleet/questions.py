"""/federation/v1/questions, /federation/v1/search: a hub hands its members questions, and takes what they say.

A member keeps one answer open, on which a line comes for each question. What it says to one is taken when it is signed
by its key, in time, and can be true; else it is faulty, is not shown, and is on record. A member may also have its hub
ask all others.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from archive import federation_keys, questions
from archive.audit import Event, Outcome, Record
from archive.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    RequestTimeout,
    SenogateError,
)
from archive.federation_roles import Hub
from archive.members import Member
from archive.questions import Opened, Pending
from gateway.api.payload import read_payload
from gateway.auditing import UNRECORDED
from gateway.body import BrokenOff, until_disconnected
from gateway.fleet.identity import member_of, require_hub, subject_of
from gateway.search import messages
from gateway.search.asking import HUBS_SHARE, WITHIN, asked_members
from gateway.search.lines import MEDIA_TYPE, to_line
from gateway.search.messages import Asked, Said, Told, asker_of
from gateway.search.permitted import answer_permitted
from gateway.search.question import read_question, to_json
from gateway.search.sites import MOST_ROWS, REASONS, SiteAnswer, SiteState, pages, read_told, sendable
from gateway.services import Services, services_of

BEAT = 5.0  # seconds without a question after which a line says that the hub is there
LASTS = 300.0  # seconds after which a site begins anew
PATIENCE = 10.0  # seconds in which a site takes a line
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_LARGEST = messages.LONGEST_ANSWER * 3 // 2  # bytes: base64 takes four for three
_FAULTS = (BadRequest, Forbidden, PayloadTooLarge)


async def listen(request: Request) -> Response:
    """Questions as they are put to the asking member, each a line: signed, with lines that say nothing in between."""
    member = await member_of(request)
    hub = require_hub(services_of(request).settings)
    request.scope[UNRECORDED] = True  # each site does so every few minutes, and nothing of patients is told
    return QuestionStream(request, member, hub)


class Streaming(Response):
    """An answer of lines to a member: a membership that ends cuts it."""

    media_type = MEDIA_TYPE
    _has_begun = False

    def __init__(self, request: Request, member: Member, hub: Hub) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._services, self._member, self._hub = services_of(request), member, hub
        self._key = federation_keys.federation_key(self._services.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._services.memberships.watching(self._member) as watched:
            try:
                if await self._services.memberships.find(self._member.name) != self._member:
                    raise Forbidden("the membership has ended")
                await self._send_all(receive, send)
            except asyncio.CancelledError:
                if not watched.was_only_cut():
                    raise
                raise self._broken_off(Forbidden("the membership has ended")) from None
            except TimeoutError:
                raise self._broken_off(RequestTimeout("the site takes nothing")) from None
            except SenogateError as error:
                raise self._broken_off(error) from None

    def _broken_off(self, error: Exception) -> Exception:
        return BrokenOff(str(error)) if self._has_begun else error

    async def _send_all(self, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def _begin(self, send: Send) -> None:
        self._has_begun = True
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": self.raw_headers})

    async def _send(self, send: Send, line: bytes = b"", *, more: bool = True) -> None:
        """Raises TimeoutError where the site does not take it: nothing is kept for one that stands still."""
        async with asyncio.timeout(PATIENCE):
            await send({"type": "http.response.body", "body": line, "more_body": more})


class QuestionStream(Streaming):
    """Nothing waits here for a site: what is open is looked up when something has come, from PostgreSQL."""

    async def _send_all(self, receive: Receive, send: Send) -> None:
        name, announcements = self._member.name, self._services.announcements
        with self._services.streams.only(name) as replaced, announcements.to(questions.NEW) as woken:
            await self._begin(send)
            gone = asyncio.create_task(until_disconnected(receive))
            try:
                await self._follow(send, gone, woken, replaced)
            finally:
                gone.cancel()
            if not gone.done():
                await self._send(send, more=False)

    async def _follow(
        self, send: Send, gone: asyncio.Task[None], woken: asyncio.Event, replaced: asyncio.Event
    ) -> None:
        number, ends_at = -1, time.monotonic() + LASTS
        while not (gone.done() or replaced.is_set() or self._services.announcements.is_ending):
            woken.clear()
            async with self._services.connection() as connection:
                found = await questions.open_after(connection, self._member.name, number)
            for each in found:
                number = each.number
                await self._send(send, self._line(each))
            if not found:
                await self._send(send, to_line({}))
            rest = ends_at - time.monotonic()
            if rest <= 0:
                return
            await _any(min(BEAT, rest), gone, woken, replaced)

    def _line(self, pending: Pending) -> bytes:
        asked = Asked(
            pending.question,
            self._hub.name,
            self._member.name,
            messages.now(),
            pending.told_asker,
            read_question(pending.content),
        )
        return to_line(messages.sign(Said.QUESTION, asked.to_bytes(), self._key))


async def take_answer(request: Request) -> Response:
    """What the member says to a question, signed by its key; what can't be true is not shown to who asked."""
    member, services = await member_of(request), services_of(request)
    question = request.path_params["question"]
    async with services.connection() as connection:
        if not await questions.is_open(connection, question, member.name):
            raise NotFound("the question is closed, or answered already")
    try:
        found = await _read_answer(request, member, question)
    except _FAULTS as error:
        await _record_fault(services, member, question, str(error))
        await _keep(services, member, question, SiteAnswer(member.name, SiteState.FAULTY, reason=str(error)))
        raise
    if not await _keep(services, member, question, found):
        raise Conflict("the question is closed, or answered already")
    request.scope[UNRECORDED] = True  # nothing of patients is told, and each site has it in its own trail
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _read_answer(request: Request, member: Member, question: str) -> SiteAnswer:
    """Raises BadRequest, Implausible, Forbidden, PayloadTooLarge for what is not shown to anybody."""
    text = messages.verify(Said.ANSWER, await _read_body(request), member.public_key)
    told = messages.parse_told(text)
    if told.site != member.name:
        raise Forbidden("the answer is another site's")
    if told.question_id != question:
        raise BadRequest("the answer is to another question")
    if abs(messages.now() - told.at) > messages.FRESH:
        raise BadRequest("the answer is of another time")
    return await _read_told(services_of(request), member, told)


async def _read_told(services: Services, member: Member, told: Told) -> SiteAnswer:
    if told.state == SiteState.REFUSED and not told.rows and told.why in REASONS:
        return SiteAnswer(member.name, SiteState.REFUSED, reason=told.why)
    if told.state != SiteState.ANSWERED or told.why:
        raise BadRequest("the answer has a state that no site's has")
    async with services.connection() as connection:
        rows, holds = read_told(told.rows, await questions.held(connection, member.name))
        if holds:
            await questions.hold(connection, member.name, holds)
    return SiteAnswer(member.name, SiteState.ANSWERED, rows)


async def _keep(services: Services, member: Member, question: str, found: SiteAnswer) -> bool:
    async with services.connection() as connection:
        return await questions.keep_answer(connection, question, member.name, found.to_json())


async def _record_fault(services: Services, member: Member, question: str, fault: str) -> None:
    detail = {"question": question, "fault": fault}
    record = Record(Event.FEDERATION_SEARCH, subject_of(member.name), Outcome.REFUSED, detail=detail)
    await services.trail.write(record)


async def _read_body(request: Request) -> Mapping[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise PayloadTooLarge("the answer is larger than any is")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest("the answer is no object of JSON")
    return found


async def search(request: Request) -> Response:
    """What the hub and all other members say to a question of the asking member: a line each, as they come."""
    member, services = await member_of(request), services_of(request)
    hub = require_hub(services.settings)
    payload = await read_payload(request)
    asked = messages.parse_asked(messages.verify(Said.SEARCH, payload.members, member.public_key))
    if (asked.sender, asked.to) != (member.name, hub.name):
        raise Forbidden("the question is another site's, or for another hub")
    if not asked.is_fresh(messages.now()):
        raise BadRequest("the question is of another time")
    messages.check_size(asked.question)
    return SearchStream(request, member, hub, asked)


class SearchStream(Streaming):
    """The hub's own answer, and the other members'."""

    def __init__(self, request: Request, member: Member, hub: Hub, asked: Asked) -> None:
        super().__init__(request, member, hub)
        self._asked = asked
        self._asker = f"{subject_of(member.name)}#{asked.asker}"

    async def _send_all(self, receive: Receive, send: Send) -> None:
        until = asyncio.get_running_loop().time() + WITHIN - HUBS_SHARE
        told = asker_of(self._key, self._hub.name, self._asker)
        content = to_json(self._asked.question)
        opened = Opened(self._asked.question_id, content, self._asker, told, self._member.name)
        async with asked_members(self._services, self._hub, opened, until) as asking:
            await self._begin(send)
            await self._send(send, to_line((await self._own()).to_json()))
            async with aclosing(asking.answers()) as answers:
                async for each in answers:
                    await self._send(send, to_line(each.to_json()))
            await self._send(send, more=False)

    async def _own(self) -> SiteAnswer:
        """The hub's own answer: as that of any node, it takes a permit for who asks."""
        said = await answer_permitted(
            self._services,
            self._asked.question,
            subject=subject_of(self._member.name),
            asker=self._asked.asker,
            question_id=self._asked.question_id,
        )
        rows = tuple(map(sendable, said.rows[:MOST_ROWS]))
        own = pages(rows, self._services.settings.public_url)
        return SiteAnswer(self._hub.name, said.state, rows, said.why, own)


async def _any(seconds: float, gone: asyncio.Task[None], *events: asyncio.Event) -> None:
    """Wait until one of the events is set or who listens has gone, at most so long."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait([gone, *waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


ROUTES = [
    Route("/federation/v1/questions", listen, methods=["GET"]),
    Route("/federation/v1/questions/{question}/answer", take_answer, methods=["POST"]),
    Route("/federation/v1/search", search, methods=["POST"]),
]
