"""Replies to a hub's messages, fetched from the SuperLink beside one another.

An upload that has stopped half way holds nobody else up: Flower waits two hours for it, but no more than `STUCK` of a
site are waited for at a time.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import UnexpectedObjectContentError
from google.protobuf.message import DecodeError

T = TypeVar("T")

STUCK = 3
"""Uploads of a site that have stopped half way, as where it is killed amid one: beyond them it is not heard."""
THREADS = 128
_LATE = 10.0  # seconds until a reply is asked for again that counts for nothing
_MALFORMED = (
    *(UnexpectedObjectContentError, DecodeError, ValueError, TypeError, AttributeError, LookupError),
    RecursionError,
)
"""What Flower raises for a reply whose objects are none of its own, by the time that it has taken it."""


class Unreadable:
    """A reply that Flower can't read."""


class Executor(Protocol):
    """What runs a call beside others."""

    def submit(self, fn: Callable[[str], list[T]], message_id: str, /) -> Future[list[T]]: ...


def threads() -> Executor:
    """An executor of as many threads as uploads may be under way."""
    return ThreadPoolExecutor(THREADS, "pull")


@dataclass(slots=True)
class Asked:
    """A message that is under way to a site, and back.

    `activation` tells of which start of its SuperNode it is, `polls` how often that had asked for messages by then.
    """

    message_id: str
    activation: str
    node: int
    polls: int = 0
    idle_since: float | None = None
    pull: Future[list[Message | Unreadable]] | None = None
    not_before: float = 0.0


@dataclass(slots=True)
class Replies:
    """What has come of the messages of a run. Moments and waits are in seconds of one clock."""

    grid: Grid
    executor: Executor
    _late: list[Asked] = field(default_factory=list)

    def fetch(self, asked: Asked, now: float, wait: float) -> Message | Unreadable | None:
        """The reply to a message, once it is here; where it is not, it is looked for again after `wait`."""
        if asked.pull is None:
            if now < asked.not_before or self._is_stuck(asked):
                return None
            asked.pull = self.executor.submit(self._pull, asked.message_id)
        if not asked.pull.done():
            return None
        found, asked.pull = asked.pull.result(), None
        asked.not_before = now + wait
        return found[0] if found else None

    def give_up(self, asked: Asked) -> None:
        """Wait no more for a reply: it is dropped when it comes."""
        self._late.append(asked)

    def drop_late(self, now: float) -> None:
        """Fetch what has come of those that were given up, so that the SuperLink keeps it no longer."""
        self._late = [one for one in self._late if self.fetch(one, now, _LATE) is None]

    def _is_stuck(self, asked: Asked) -> bool:
        """Whether so many of the site's earlier replies are being fetched and do not come."""
        others = [one for one in self._late if one.node == asked.node and one is not asked]
        return sum(one.pull is not None and not one.pull.done() for one in others) >= STUCK

    def _pull(self, message_id: str) -> list[Message | Unreadable]:
        try:
            found = list(self.grid.pull_messages([message_id]))
            return [one if one.has_error() or one.content is not None else Unreadable() for one in found]
        except _MALFORMED:
            return [Unreadable()]
