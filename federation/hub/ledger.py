"""What the hub's server of a run reads and writes in PostgreSQL, which may be away for a while.

Everything is safe to do again: what was written before a connection broke is written anew.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection, OperationalError

from archive import answer, audit, members, runs
from archive.answer import Decision
from archive.audit import Event, Outcome
from archive.errors import BadRequest, Unavailable
from archive.federation_keys import federation_key
from archive.members import Member
from archive.pool import connect, queries
from archive.runs import Run, State
from archive.settings import Settings
from federation.hub import registration
from federation.hub.course import Kept
from federation.message import Reply
from federation.provenance import passport
from federation.provenance.passport import Standing
from federation.provenance.record import Reason, Signed
from federation.training.task import Weights

T = TypeVar("T")
SUBJECT = "site:federation"
"""Who the trail says does what the hub's server and conductor do by themselves."""
PATIENCE = 600.0  # seconds for PostgreSQL to come back


class Ended(Exception):
    """The run was stopped, or another process has it now."""


@dataclass(slots=True)
class PostgresLedger:
    """The hub's database, for the run that Flower has under `number`."""

    settings: Settings
    run: str
    number: int
    patience: float = PATIENCE
    _members: dict[str, Member] = field(default_factory=dict)
    _said: str = ""
    _keys: dict[str, bytes] | None = None

    def find(self) -> Run:
        """The run, as it stands. Raises Ended, Unavailable."""
        return self.do(lambda _, run: run)

    def members(self) -> Mapping[str, bytes]:
        """The node keys of those who take part in the run now, by their names. Raises Ended, Unavailable."""
        self._members = {one.name: one for one in self.do(lambda connection, run: approved(connection, run))}
        return {name: member.node_key for name, member in self._members.items()}

    def polls(self) -> Mapping[str, int]:
        """How often the members' SuperNodes have asked for messages. Raises Ended, Unavailable."""
        return self.do(
            lambda connection, _: dict(connection.execute(queries("fleet.sql")["polls"]).fetchall())
        )

    def tell(self, message: str) -> None:
        """Note what the run waits for."""
        if message != self._said:
            self.do(lambda connection, run: runs.say(connection, run.run, message))
            self._said = message

    def standing(self, number: int, weights_in: str) -> Standing:
        """Where the run's record is as a round begins, which is opened where it is not yet."""

        def work(connection: Connection, run: Run) -> Standing:
            passport.begin(connection, run, self.key())
            found = passport.standing(connection, run.run, number, weights_in)
            if self._keys is None:
                self._keys = passport.keys(passport.lines(connection, found.head))
            return replace(found, keys=dict(self._keys))

        return self.do(work)

    def check(self, standing: Standing, site: str, reply: Reply, weights_out: str, kind: str) -> Signed:
        """A site's statement. Raises Refused."""
        member = self._members[site]
        return passport.check(reply.statement, reply.signature, member, standing, weights_out, stage=kind)

    def refuse(self, site: str, number: int, reason: Reason) -> None:
        """Put on record that a site's answer was not taken."""
        detail: dict[str, str | int] = {
            "run": self.run,
            "action": "answer refused",
            "round": number,
            "reason": str(reason),
        }

        def work(connection: Connection, _: Run) -> None:
            audit.write(
                connection,
                Event.FEDERATION_RUN,
                subject=f"member:{site}",
                outcome=Outcome.REFUSED,
                detail=detail,
            )

        self.do(work)

    def keep(self, standing: Standing, kept: Kept) -> None:
        """Put a round on record, with its figures."""

        def work(connection: Connection, run: Run) -> None:
            passport.record_round(
                *(connection, self.key(), standing, kept.signed, kept.absent),
                *(kept.weights_out, kept.figures),
                stage=kept.stage,
            )
            for number, row in kept.rows.items():
                runs.complete_round(connection, run.run, number, row.figures, row.sites)

        self.do(work)
        self._keys = {**(self._keys or {}), **{one.statement.site: one.key for one in kept.signed}}

    def finish(self, weights: Weights | None, message: str = "") -> None:
        """End the run, with the model that came of it where it trained one. Raises PackageError."""

        def work(connection: Connection, run: Run) -> None:
            if weights is not None:
                registration.register(self.settings, connection, run, weights, self.key())
            runs.end(connection, run.run, State.DONE, message, by=SUBJECT)

        self.do(work)

    def fail(self, message: str) -> None:
        """End the run, which can't go on."""
        self.do(lambda connection, run: runs.end(connection, run.run, State.FAILED, message, by=SUBJECT))

    def key(self) -> Ed25519PrivateKey:
        """What the hub signs with. Raises ConfigurationError."""
        return federation_key(self.settings)

    def do(self, work: Callable[[Connection, Run], T]) -> T:
        """Do the work in one transaction, again where PostgreSQL was away. Raises Ended, Unavailable."""
        deadline, pause = time.monotonic() + self.patience, threading.Event()
        while True:
            try:
                with connect(self.settings.database_url) as connection:
                    return work(connection, self._own(connection))
            except (Unavailable, OperationalError) as error:
                if time.monotonic() > deadline:
                    raise Unavailable("PostgreSQL does not answer") from error
            pause.wait(0.5)

    def _own(self, connection: Connection) -> Run:
        run = runs.find(connection, self.run)
        if run.state != State.RUNNING or run.flower_run != self.number:
            raise Ended
        return run


def approved(connection: Connection, run: Run) -> list[Member]:
    """The active members who approved the run, by a signature of the key that they have now."""
    found = {member.name: member for member in members.active_members(connection)}
    said = [one for one in runs.answers(connection, run.run) if one.decision == Decision.APPROVED]
    return [found[one.member] for one in said if one.member in found and _is_own(one, found[one.member], run)]


def _is_own(said: runs.Said, member: Member, run: Run) -> bool:
    try:
        answer.verify(said.answer, said.signature, member.public_key)
        parsed = answer.parse_answer(said.answer)
    except BadRequest:
        return False
    return (parsed.run, parsed.manifest, parsed.site) == (run.run, run.sha256, member.name)
