"""One round over Flower's grid: who is asked, whose answer is waited for, and when the round is over.

A site that goes is asked again when it comes back while the round is open, so that a part of it that was killed costs
time and not an answer. What comes after the round is over is fetched, and dropped.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from archive.errors import BadRequest
from federation.hub.replies import Asked, Executor, Replies, Unreadable, threads
from federation.provenance.record import Reason, Refused

T = TypeVar("T")

NODE_UNAVAILABLE = 5
"""Flower's error of a node whose heartbeats stopped: twice their interval of 30 s after the last."""
PRECONDITION = 6
"""Flower's error with which a site says no: it is not asked again soon."""
TRIES = 3
"""Times that a site is asked in a round, where it fails."""
IDLE = 3
"""Questions for messages by which a SuperNode shows that it works on none: one may have been under way when the message
came, and one took it; it asks for no other before it has sent its reply."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds. `quorum`: answers that a round needs; with 0 it is
    over as soon as all who are there have said something.

    `grace`: after the quorum for those who still work; `rejoin`: for those who were in the last round and are away;
    `again`: until a site that said no is asked anew, where the quorum can't be had without it; `lost`: until a site
    that is idle and has not answered is asked anew; `timeout`: at all.
    """

    quorum: int
    grace: float = 900.0
    timeout: float = 21_600.0
    rejoin: float = 60.0
    again: float = 60.0
    lost: float = 15.0
    look: float = 2.0
    poll: float = 0.25


class NoQuorum(Exception):
    """Too few sites answered in time."""


@dataclass(slots=True)
class _Site(Generic[T]):
    """A site in a round: it is away, works, has answered, or is out of it for a reason."""

    asked: Asked | None = None
    answer: T | None = None
    out: Reason | None = None
    out_at: float = 0.0
    away_since: float = 0.0
    tries: int = 0

    @property
    def works(self) -> bool:
        return self.asked is not None

    @property
    def is_away(self) -> bool:
        return self.asked is None and self.answer is None and self.out is None


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """What came of a round: the answers that count, and why the others have none."""

    answers: Mapping[str, T]
    absent: Mapping[str, Reason]


@dataclass(slots=True)
class Rounds:
    """Holds the rounds of a run.

    `members` gives whom a round may ask, now: the keys of their nodes by their names. `tell` takes what is waited for,
    in words. `polls` tells by the members' names how often their SuperNodes have asked for messages.
    """

    grid: Grid
    members: Callable[[], Mapping[str, bytes]]
    tell: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)
    executor: Executor = field(default_factory=threads)
    polls: Callable[[], Mapping[str, int]] = dict
    replies: Replies = field(init=False)

    def __post_init__(self) -> None:
        self.replies = Replies(self.grid, self.executor)

    def hold(
        self,
        number: int,
        kind: str,
        question: RecordDict,
        accept: Callable[[str, RecordDict], T],
        patience: Patience,
        expected: Collection[str] | None = None,
    ) -> Held[T]:
        """Ask all who are there, and take their answers; `accept` raises BadRequest for one that counts for nothing.

        `expected` are the sites of the last round, None for everyone. Raises NoQuorum.
        """
        return _Round(self, number, kind, question, accept, patience, expected).hold()


class _Round(Generic[T]):
    def __init__(
        self,
        rounds: Rounds,
        number: int,
        kind: str,
        question: RecordDict,
        accept: Callable[[str, RecordDict], T],
        patience: Patience,
        expected: Collection[str] | None,
    ) -> None:
        self._rounds, self._grid = rounds, rounds.grid
        self._number, self._kind, self._question = number, kind, question
        self._accept, self._patience, self._expected = accept, patience, expected
        self._sites: dict[str, _Site[T]] = {}
        self._began = self._now = rounds.clock()
        self._quorum_at: float | None = None if patience.quorum else self._began
        self._looked = float("-inf")

    def hold(self) -> Held[T]:
        """Until the round is over. Raises NoQuorum."""
        while True:
            self._now = self._rounds.clock()
            if self._now - self._looked >= self._patience.look:
                self._look()
            self._fetch()
            self._forgive()
            if self._is_over():
                return self._close()
            if self._now - self._began > self._patience.timeout and self._quorum_at is None:
                self._close()
                raise NoQuorum(f"round {self._number} had too few answers in time")
            self._rounds.pause(self._patience.poll)

    def _answered(self) -> int:
        return sum(site.answer is not None for site in self._sites.values())

    def _look(self) -> None:
        """See who is a member and who is there; ask those who have not been asked, or forgot it."""
        self._looked = self._now
        members = self._rounds.members()
        nodes = {bytes(node.public_key): node for node in self._grid.get_nodes()}
        for name in self._sites.keys() - members.keys():
            self._leave(name, Reason.REVOKED)
        polls = self._rounds.polls()
        due: dict[str, tuple[int, str]] = {}
        for name in sorted(members):
            site = self._sites.setdefault(name, _Site(away_since=self._now))
            node = nodes.get(bytes(members[name]))
            if node is None or site.answer is not None or site.out is not None:
                continue
            if site.asked is not None and site.asked.activation != node.last_activated_at:
                self._lose(site)  # its SuperNode is another process, that knows nothing of the message
            if site.asked is not None and self._has_lost(site.asked, polls.get(name, 0)):
                self._lose(site)
                site.tries += 1
                if site.tries >= TRIES:
                    self._out(site, Reason.FAILED)
                    continue
            if site.asked is None:
                due[name] = node.node_id, node.last_activated_at
        self._ask(due)
        self._say()

    def _has_lost(self, asked: Asked, polls: int) -> bool:
        """Whether a SuperNode goes on asking for messages while it was given one, and there is no reply to that.

        It works on one at a time. One is lost where the connection breaks on which it is handed over.
        """
        if polls - asked.polls < IDLE or asked.pull is not None:
            asked.idle_since = None
        elif asked.idle_since is None:
            asked.idle_since = self._now
        return asked.idle_since is not None and self._now - asked.idle_since >= self._patience.lost

    def _ask(self, due: Mapping[str, tuple[int, str]]) -> None:
        """Send all at once, so that what they have in common is sent once to the SuperLink."""
        if not due:
            return
        ttl = max(self._patience.timeout, 60.0)
        messages = [
            Message(self._question, node, self._kind, ttl=ttl, group_id=str(self._number))
            for node, _ in due.values()
        ]
        sent = list(self._grid.push_messages(messages))
        polls = self._rounds.polls()
        for (name, (node, activation)), message_id in zip(due.items(), sent, strict=False):
            if message_id:
                self._sites[name].asked = Asked(message_id, activation, node, polls.get(name, 0))

    def _fetch(self) -> None:
        """Take what has come, of this round and of those before."""
        # The longer a round takes, the less often it is asked for what has not come.
        wait = min(2.0, max(self._patience.poll, (self._now - self._began) / 50))
        for name, site in sorted(self._sites.items()):
            came = site.asked and self._rounds.replies.fetch(site.asked, self._now, wait)
            if came is None:
                continue
            site.asked = None
            if isinstance(came, Unreadable):
                self._out(site, Reason.STATEMENT)
            else:
                self._take(name, site, came)
        self._rounds.replies.drop_late(self._now)

    def _take(self, name: str, site: _Site[T], message: Message) -> None:
        if message.has_error():
            self._fail(site, message.error)
            return
        try:
            site.answer = self._accept(name, message.content)
        except Refused as refused:
            self._out(site, refused.reason)
        except BadRequest:
            self._out(site, Reason.STATEMENT)
        if self._quorum_at is None and self._answered() >= self._patience.quorum:
            self._quorum_at = self._now

    def _fail(self, site: _Site[T], error: Error) -> None:
        site.away_since = self._now
        if error.code == NODE_UNAVAILABLE:
            return
        site.tries += 1
        if error.code == PRECONDITION:
            self._out(site, Reason.DECLINED)
        elif site.tries >= TRIES:
            self._out(site, Reason.FAILED)

    def _out(self, site: _Site[T], reason: Reason) -> None:
        site.out, site.out_at = reason, self._now

    def _lose(self, site: _Site[T]) -> None:
        """Wait no more for the answer to what a site was asked."""
        if site.asked is not None:
            self._rounds.replies.give_up(site.asked)
        site.asked, site.away_since = None, self._now

    def _leave(self, name: str, reason: Reason) -> None:
        """What a site that is no member any more has answered counts for nothing."""
        site = self._sites[name]
        self._lose(site)
        site.answer = None
        self._out(site, reason)
        if self._answered() < self._patience.quorum:
            self._quorum_at = None

    def _forgive(self) -> None:
        """Ask those anew who said no a while ago, where it is not done without them."""
        if self._quorum_at is not None:
            return
        for site in self._sites.values():
            if site.out is not None and self._now - site.out_at >= self._patience.again:
                site.out, site.tries, site.away_since = None, 0, self._now

    def _is_over(self) -> bool:
        if self._quorum_at is None:
            return False
        if any(site.works for site in self._sites.values()):
            return self._now - self._quorum_at >= self._patience.grace
        return not any(self._may_rejoin(name, site) for name, site in self._sites.items())

    def _may_rejoin(self, name: str, site: _Site[T]) -> bool:
        is_expected = self._expected is None or name in self._expected
        return is_expected and site.is_away and self._now - site.away_since < self._patience.rejoin

    def _close(self) -> Held[T]:
        absent: dict[str, Reason] = {}
        for name, site in sorted(self._sites.items()):
            if site.answer is None:
                absent[name] = site.out or (Reason.NO_ANSWER if site.works else Reason.UNREACHABLE)
            self._lose(site)
        answers = {name: site.answer for name, site in sorted(self._sites.items()) if site.answer is not None}
        return Held(answers, absent)

    def _say(self) -> None:
        """What the round waits for, as a person reads it."""
        waits = [name for name, site in sorted(self._sites.items()) if site.answer is None and not site.out]
        out = [f"{name} ({site.out})" for name, site in sorted(self._sites.items()) if site.out]
        needed = f" of {self._patience.quorum} needed" if self._patience.quorum else " answered"
        parts = [f"round {self._number}: {self._answered()}{needed}"]
        parts += [f"waits for {', '.join(waits)}"] if waits else []
        parts += [f"without {', '.join(out)}"] if out else []
        self._rounds.tell("; ".join(parts))
