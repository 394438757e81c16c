"""A site's own process for runs: it asks the hub for them, answers them, and does the SuperNode's tasks.

It stands in the place of Flower's superexec. What is done in a round is the installed program (`client`), in
a process forked from one that has loaded it already; code that a hub sends along is compared by its hash, and nothing
of it is unpacked.
"""

import hashlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from flwr.app import RecordDict
from flwr.app.error import Error
from flwr.common.constant import ErrorCode
from psycopg import AsyncConnection

from archive import approvals, measures, secrets
from archive.approvals import Offered
from archive.audit import Outcome
from archive.errors import BadRequest, ConfigurationError, NotFound, Unavailable
from archive.federation_roles import read_site
from archive.settings import Settings
from federation.manifest import Manifest, parse_manifest
from federation.message import EVALUATE, TRAIN, Reply, reply_record
from federation.site import gate
from federation.site.approval import Refusal
from federation.site.following import HELD, Following, connected
from federation.site.gate import Declined, Outdated, Said
from federation.site.offers import Offers
from federation.site.runtime import HEARTBEAT, ContentGone, Runtime, Task, TaskGone, read_task
from federation.site.warm import Limits, Warm, Work, WorkEnded, WorkRefused
from federation.site.work import PRELOADED, Figures, Order, read_outcome
from gateway.fleet import flower, loopback
from gateway.fleet.identity import Identity

POLL = 0.2
"""Seconds between two looks for a task."""
_SOON = 0.1  # seconds until what is not there yet is asked for again
_RECONSIDER = 2.0  # seconds between two decisions on a round that is worked on
_PATIENCE = 60.0  # seconds that PostgreSQL or the SuperNode may be away
_MOST_TRIES = 2  # of a task, where the trainer itself was ended meanwhile
_LOG = logging.getLogger("senogate.federation")
_T = TypeVar("_T")


def main(settings: Settings) -> None:
    """Work until SIGTERM. Raises ConfigurationError."""
    joined = read_site(settings)
    if joined is None:
        raise ConfigurationError("this node has joined no federation")
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    following = Following(settings, Offers(settings, Identity.load(settings, joined)), stop)
    trainer = Trainer(settings, joined.name, following.follow, stop)
    threading.Thread(target=following.run, name="offers", daemon=True).start()
    trainer.run()


class Trainer:
    """Does one task after another. `follow` asks the hub for its runs at once; `work` is what is done in a round."""

    def __init__(
        self,
        settings: Settings,
        site: str,
        follow: Callable[[], None],
        stop: threading.Event,
        *,
        work: str = "federation.site.client:work",
        preloaded: Sequence[str] = PRELOADED,
    ) -> None:
        self._settings, self._site, self._follow, self._stop = settings, site, follow, stop
        self._work = work
        address = f"{flower.HOST}:{flower.read_ports(settings).supernode}"
        authority = loopback.ensure(settings).authority.read_bytes()
        self._runtime = Runtime(address, authority, flower.runtime_secret(settings).read_bytes())
        limits = Limits(settings.federation_training_seconds, settings.federation_training_memory)
        self._warm = Warm(preloaded, limits)
        self._held = Held(settings.federation / HELD)
        self._beat_at = 0.0

    def run(self) -> None:
        """Until it is told to stop. A task that was under way when the trainer was ended is done first."""
        measures.FEDERATION_CONTACT.labels("supernode").set_to_current_time()
        self._warm.prepare()
        task = self._held.find()
        while not self._stop.is_set():
            if task is not None:
                self._do(replace(task, tries=task.tries + 1))
            self._stop.wait(POLL)
            task = self._next()
        self._runtime.close()

    def _next(self) -> Task | None:
        try:
            task = self._runtime.acquire()
        except Unavailable:
            return None  # it starts, or starts again: it is asked again soon
        measures.FEDERATION_CONTACT.labels("supernode").set_to_current_time()
        return task

    def _do(self, task: Task) -> None:
        """Do a task and hand in what came of it; whatever goes wrong is this round's."""
        self._held.keep(task)
        try:
            self._beat(task, now=True)
            outcome = self._outcome(task)
            self._hand_in(task, outcome)
            measures.FEDERATION_ROUNDS.labels(_told(outcome)).inc()
        except TaskGone as error:
            measures.FEDERATION_ROUNDS.labels("given_up").inc()
            _LOG.warning("round %d of %s is given up: %s", task.round, task.run, error)
        except Unavailable as error:
            measures.FEDERATION_ROUNDS.labels("lost").inc()
            _LOG.error("round %d of %s is lost: %s", task.round, task.run, error)
        except _Stopped:
            return  # what is held is done when the trainer is back
        self._held.drop()

    def _outcome(self, task: Task) -> RecordDict | Error:
        """What the hub gets. Refusals are told with Flower's error 6, with any other it asks again soon."""
        if task.tries > _MOST_TRIES:
            return Error(ErrorCode.CLIENT_APP_CRASHED, "the site's trainer was ended each time")
        manifest = None
        try:
            contents = self._runtime.content(task, lambda: self._wait(task))
            offered, manifest = self._offer(task)
            return self._answer(task, offered, manifest, contents)
        except Outdated as outdated:
            self._note(task, manifest, Outcome.FAILED, str(outdated))
            return Error(ErrorCode.UNKNOWN, str(outdated))
        except ContentGone as gone:
            return Error(ErrorCode.CLIENT_APP_CRASHED, str(gone))
        except Declined as declined:
            self._note(task, manifest, Outcome.REFUSED, str(declined))
            return Error(ErrorCode.MOD_FAILED_PRECONDITION, str(declined))
        except WorkRefused as refused:
            _LOG.warning("round %d of %s: %s", task.round, task.run, refused)
            self._note(task, manifest, Outcome.FAILED, refused.kind)
            code = ErrorCode.UNKNOWN if refused.may_be_tried else ErrorCode.MOD_FAILED_PRECONDITION
            return Error(code, f"the site can't do its part ({refused.kind})")
        except WorkEnded as ended:
            _LOG.error("round %d of %s: the work's process has ended: %s", task.round, task.run, ended)
            self._note(task, manifest, Outcome.FAILED, str(ended))
            return Error(ErrorCode.CLIENT_APP_CRASHED, "the site's work has ended before its end")

    def _offer(self, task: Task) -> tuple[Offered, Manifest]:
        """The run as the hub has signed it. Raises Declined for one that it never offered."""
        offered = self._patiently(task, lambda: self._find(task.run))
        if offered is None or task.kind not in (TRAIN, EVALUATE):
            raise Declined(Refusal.UNDECIDED)
        return offered, parse_manifest(offered.manifest)

    def _find(self, run: str) -> Offered | None:
        for may_ask in (True, False):
            try:
                return connected(self._settings, lambda connection: approvals.find(connection, run))
            except NotFound:
                if may_ask:
                    self._follow()
        return None

    def _answer(
        self, task: Task, offered: Offered, manifest: Manifest, contents: Mapping[str, bytes]
    ) -> RecordDict:
        """Raises Declined, WorkRefused, WorkEnded; Unavailable where a part of the site is away for long."""
        began = time.monotonic()
        if task.bundle != bundle_hash():
            raise Declined(Refusal.CODE)
        permit = self._decide(task, offered, manifest)
        decided = time.monotonic()
        order = Order(
            self._settings,
            manifest,
            self._site,
            permit,
            task.kind,
            task.round,
            task.object_id,
            contents,
        )
        parts = self._watched(task, offered, manifest, self._warm.begin(self._work, order))
        outcome, worked = read_outcome(parts), time.monotonic()
        said = self._let_go(task, manifest, outcome.figures)
        _LOG.info(
            "round %d of %s: %s in %.2f s, decided in %.2f s before and %.2f s after it",
            task.round, task.run, task.kind, worked - decided, decided - began, time.monotonic() - worked,
        )  # fmt: skip
        return reply_record(
            Reply(outcome.figures.metrics, said.text, said.signature, outcome.weights, outcome.release)
        )

    def _let_go(self, task: Task, manifest: Manifest, figures: Figures) -> Said:
        """Put on record what leaves. Raises Declined, Outdated."""

        async def record(connection: AsyncConnection) -> Said:
            return await gate.let_go(connection, self._settings, manifest, task.kind, task.round, figures)

        return self._patiently(task, lambda: connected(self._settings, record))

    def _decide(self, task: Task, offered: Offered, manifest: Manifest) -> str:
        """The permit. Raises Declined."""

        async def ask(connection: AsyncConnection) -> str:
            now = await approvals.find(connection, offered.run)
            decided = await gate.ask(connection, self._settings, now, manifest, task.round)
            if isinstance(decided, Refusal):
                raise Declined(decided)
            return decided.permit

        return self._patiently(task, lambda: connected(self._settings, ask))

    def _watched(self, task: Task, offered: Offered, manifest: Manifest, work: Work) -> list[bytes]:
        """What the work answers. It is ended as soon as the site may not take part any more."""
        decide_at = time.monotonic() + _RECONSIDER
        try:
            while (parts := work.wait(POLL)) is None:
                self._beat(task)
                if time.monotonic() >= decide_at:
                    self._decide(task, offered, manifest)
                    decide_at = time.monotonic() + _RECONSIDER
            return parts
        finally:
            work.end()

    def _hand_in(self, task: Task, outcome: RecordDict | Error) -> None:
        self._patiently(task, lambda: self._runtime.answer(task, outcome))

    def _patiently(self, task: Task, work: Callable[[], _T]) -> _T:
        """Do what needs a part of the site that may be away for a while. Raises Unavailable, and what it raises."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return work()
            except TaskGone:
                raise
            except Unavailable:
                if time.monotonic() > until:
                    raise
            self._wait(task, 1.0)

    def _wait(self, task: Task, seconds: float = _SOON) -> None:
        self._stop.wait(seconds)
        self._beat(task)

    def _beat(self, task: Task, *, now: bool = False) -> None:
        """Say that the task is worked on, where it is time. Raises TaskGone, and where the trainer is to end."""
        if self._stop.is_set():
            raise _Stopped
        if not now and time.monotonic() < self._beat_at:
            return
        try:
            self._runtime.beat(task)
        except TaskGone:
            raise
        except Unavailable:
            self._beat_at = time.monotonic() + 1.0
        else:
            measures.FEDERATION_CONTACT.labels("supernode").set_to_current_time()
            self._beat_at = time.monotonic() + HEARTBEAT

    def _note(self, task: Task, manifest: Manifest | None, outcome: Outcome, reason: str) -> None:
        """Put on record that the site gives no answer."""
        _LOG.warning("round %d of %s: no answer: %s", task.round, task.run, reason)
        if manifest is None:
            return
        told = manifest

        async def record(connection: AsyncConnection) -> None:
            await gate.note(connection, told, task.kind, task.round, outcome, reason)

        self._patiently(task, lambda: connected(self._settings, record))


def _told(outcome: RecordDict | Error) -> str:
    """What became of a round whose outcome was handed in."""
    if not isinstance(outcome, Error):
        return "answered"
    return "refused" if outcome.code == ErrorCode.MOD_FAILED_PRECONDITION else "failed"


class _Stopped(Exception):
    """The trainer is to end."""


class Held:
    """The task that is under way, on disk: its token is a secret of the trainer and the SuperNode."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self) -> Task | None:
        try:
            return read_task(self._path.read_bytes())
        except (OSError, BadRequest):
            return None

    def keep(self, task: Task) -> None:
        secrets.write(self._path, task.to_text())

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)


@cache
def bundle_hash() -> str:
    """The SHA-256 of the only bundle that a hub may send along."""
    from federation.fab import build

    return hashlib.sha256(build()).hexdigest()
