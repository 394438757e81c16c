"""A site's ear: it keeps a request to its hub open, takes the questions that come on it, and sends what it says.

A question is answered once, and only where the hub has signed it for this site and this moment.
"""

import asyncio
import json
import logging
import random
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import httpx

from archive.errors import BadRequest, ConfigurationError, SenogateError
from archive.federation_keys import federation_key, load_public
from archive.federation_roles import Joined
from archive.settings import Settings
from gateway.search import messages
from gateway.search.lines import read_lines
from gateway.search.messages import Asked, Said, Told
from gateway.search.permitted import Permitted
from gateway.search.sites import SiteState, to_rows

PATH = "/federation/v1/questions"
SILENCE = httpx.Timeout(15.0, connect=10.0)  # the hub says every 5 s that it is there
AT_ONCE = 8  # questions that are answered at a time; what comes beside is answered with "busy"
PATIENCE = 5.0  # seconds for an answer; who asks has given up by then
MOST_UNDER_WAY = 64
REMEMBERED = 20_000  # questions that are known to have come, each for as long as it could come again
_SHORTEST, _LONGEST = 1.0, 60.0  # seconds between two tries
_LOG = logging.getLogger("senogate.federation")


class Answering(Protocol):
    """Says something to a question that has been verified."""

    async def __call__(self, asked: Asked) -> Permitted: ...


@dataclass(slots=True)
class Known:
    """The questions that came lately: none is taken a second time."""

    most: int = REMEMBERED
    _until: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def add(self, question_id: str) -> None:
        """Raises BadRequest for one that came already, or where more have come than can be remembered."""
        now = time.monotonic()
        while self._until and next(iter(self._until.values())) < now:
            self._until.popitem(last=False)
        if question_id in self._until:
            raise BadRequest("the question came already")
        if len(self._until) >= self.most:
            raise BadRequest("more questions come than are remembered")
        self._until[question_id] = now + 2 * messages.FRESH.total_seconds()


@dataclass(slots=True)
class Listener:
    """The site's side of questions. `client` proves to the hub which site it is."""

    settings: Settings
    joined: Joined
    client: httpx.AsyncClient
    answering: Answering
    _known: Known = field(default_factory=Known)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        """For ever: wait for questions, and try again where the hub is away, the longer the oftener it is."""
        pause = _SHORTEST
        while True:
            began = time.monotonic()
            try:
                status = await self._listen_once()
            except (httpx.HTTPError, OSError, BadRequest, ConfigurationError) as error:
                status = None
                _LOG.info("the hub's questions do not come (%s)", type(error).__name__)
            if status == HTTPStatus.OK and time.monotonic() - began > _SHORTEST:
                pause = _SHORTEST
                continue  # the hub ends a request now and then, so that it keeps none of who is gone
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that sites come at many times
            pause = min(2 * pause, _LONGEST)

    async def _listen_once(self) -> int:
        async with self.client.stream("GET", PATH, timeout=SILENCE) as answer:
            if answer.status_code == HTTPStatus.OK:
                async for line in read_lines(answer.aiter_raw(), 2 * messages.LONGEST):
                    self._take(line)
            return answer.status_code

    def _take(self, line: bytes) -> None:
        try:
            content = _object(line)
            if not content:
                return  # it says that the hub is there
            asked = self._verified(content)
        except BadRequest as error:
            _LOG.warning("a question is not answered: %s", error)
            return
        if len(self._under_way) >= MOST_UNDER_WAY:
            return  # who asks finds this site late
        task = asyncio.create_task(self._answer(asked))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _verified(self, content: dict[str, Any]) -> Asked:
        """Raises BadRequest for what the hub has not asked this site now."""
        text = messages.verify(Said.QUESTION, content, load_public(self.joined.hub_key_bytes))
        asked = messages.parse_asked(text)
        if (asked.sender, asked.to) != (self.joined.hub_name, self.joined.name):
            raise BadRequest("the question is another site's, or another hub's")
        if not asked.is_fresh(messages.now()):
            raise BadRequest("the question is of another time")
        self._known.add(asked.question_id)
        return asked

    async def _answer(self, asked: Asked) -> None:
        said = await self._say(asked)
        told = Told(
            asked.question_id,
            self.joined.name,
            messages.now(),
            str(said.state),
            to_rows(said.rows, said.held or {}),
            said.why,
        )
        try:
            sent = messages.sign(Said.ANSWER, told.to_bytes(), federation_key(self.settings))
            answer = await self.client.post(f"{PATH}/{asked.question_id}/answer", json=sent, timeout=PATIENCE)
            if answer.is_error:
                _LOG.info("the hub takes an answer with the status %d", answer.status_code)
        except (httpx.HTTPError, OSError, ConfigurationError) as error:
            _LOG.info("the hub takes no answer (%s)", type(error).__name__)

    async def _say(self, asked: Asked) -> Permitted:
        if len(self._under_way) > AT_ONCE:
            return Permitted(SiteState.REFUSED, why="busy")
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.answering(asked)
        except (SenogateError, TimeoutError) as error:
            _LOG.warning("a question can't be answered (%s)", type(error).__name__)
            return Permitted(SiteState.REFUSED, why="failed")


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest("what comes is no question")
    return found
