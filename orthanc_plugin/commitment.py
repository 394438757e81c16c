"""What the crosswalk is still to hold: committed in groups by one thread, and waited for before an instance is stored.

So that a commit to disk is under way while Orthanc takes in the de-identified instance, and several of them are one.
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from archive.crosswalk import Crosswalk, Kind, SealedIdentity
from archive.errors import Unavailable

_PATIENCE = 30.0  # seconds that an instance waits for its commit
_MOST = 4096  # commits that are remembered; far more than Orthanc takes in at a time


_REMEMBERED = 4096  # pseudonyms of studies and series known to be in the crosswalk


class Meaning(NamedTuple):
    """A pseudonymous UID and what it stands for."""

    pseudonym: str
    kind: Kind
    original: object
    study_instance_uid: str
    patient_id: str


class Begun(NamedTuple):
    """Meanings of one patient that are to be committed; her pseudonym without an issuer, where there is one."""

    meanings: Sequence[Meaning]
    alias: str
    done: "Future[None]"


class Commitments:
    """The commits that were begun, by the pseudonymous SOP Instance UID. Safe for use from several threads."""

    def __init__(self, crosswalk: Crosswalk, seal: Callable[[Meaning], SealedIdentity]) -> None:
        self._crosswalk = crosswalk
        self._seal = seal
        self._lock = threading.Lock()  # of what is begun, and of the thread
        self._using = threading.Lock()  # of the crosswalk's connection
        self._begun: OrderedDict[str, Future[None]] = OrderedDict()
        self._waiting: queue.SimpleQueue[Begun] = queue.SimpleQueue()
        self._known: OrderedDict[str, None] = OrderedDict()  # of the thread alone
        self._thread: threading.Thread | None = None

    def begin(self, sop_instance_uid: str, meanings: Sequence[Meaning], alias: str = "") -> "Future[None]":
        """Have meanings, all of one patient, sealed and committed; done when they are durable."""
        done: Future[None] = Future()
        with self._lock:
            self._begun[sop_instance_uid] = done  # what was begun for the same instance says the same
            self._begun.move_to_end(sop_instance_uid)
            while len(self._begun) > _MOST:
                self._begun.popitem(last=False)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="crosswalk", daemon=True)
                self._thread.start()
        self._waiting.put(Begun(meanings, alias, done))
        return done

    def require(self, sop_instance_uid: str) -> None:
        """Wait until it is durable whom the instance is about. Raises Unavailable, or what the commit raised."""
        with self._lock:
            done = self._begun.get(sop_instance_uid)
        if done is None:
            self._require_held(sop_instance_uid)
            return
        try:
            done.result(_PATIENCE)
        except TimeoutError:
            raise Unavailable("the crosswalk was not committed in time") from None
        with self._lock:
            if self._begun.get(sop_instance_uid) is done:
                del self._begun[sop_instance_uid]

    def holds(self, pseudonym: str) -> bool:
        """Whether it is durable what a pseudonym stands for. Raises Unavailable."""
        with self._using:
            return self._crosswalk.holds(pseudonym)

    def answers(self) -> bool:
        """Whether the crosswalk's database answers."""
        with self._using:
            return self._crosswalk.answers()

    def _require_held(self, sop_instance_uid: str) -> None:
        if not self.holds(sop_instance_uid):
            raise Unavailable("the crosswalk does not hold whom the instance is about")

    def _work(self) -> None:
        while True:
            group = [self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get())
            self._commit(group)

    def _commit(self, group: Sequence[Begun]) -> None:
        """Commit what was begun together. Where that fails, none of it is durable, and nothing of it is stored."""
        try:
            meanings = {each.pseudonym: each for begun in group for each in begun.meanings}
            known = [pseudonym for pseudonym in meanings if pseudonym in self._known]
            rows = [self._seal(each) for each in meanings.values() if each.pseudonym not in self._known]
            aliases = sorted({(each.alias, each.meanings[0].patient_id) for each in group if each.alias})
            with self._using:
                if not self._crosswalk.commit(rows, known, aliases):  # an erasure took what was known
                    self._crosswalk.commit([self._seal(each) for each in meanings.values()], (), aliases)
            self._remember(each.pseudonym for each in meanings.values() if each.kind != "instance")
        except BaseException as error:  # also a panic of cryptography's: who waits is to learn of it
            for begun in group:
                begun.done.set_exception(error)
        else:
            for begun in group:
                begun.done.set_result(None)

    def _remember(self, pseudonyms: Iterable[str]) -> None:
        for pseudonym in pseudonyms:
            self._known[pseudonym] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
