"""The course of a run that evaluates packages: a round for each, whose sites tell what may be told of it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flwr.app import RecordDict

from archive.errors import BadRequest
from federation.evaluation.packages import check_release
from federation.hub.course import Ledger, patience, recorded
from federation.hub.rounds import Held, Rounds
from federation.manifest import Manifest
from federation.message import EVALUATE, Question, question_record, read_reply
from federation.provenance.passport import Standing
from federation.provenance.record import Reason, Refused, Signed


@dataclass(frozen=True, slots=True)
class Told:
    """What a site told of a package, and its statement."""

    signed: Signed
    release: bytes


Package = tuple[bytes, bytes]
Keep = Callable[[Standing, int, str, Held[Told]], None]


@dataclass(frozen=True, slots=True)
class Assessment:
    """The evaluation of a manifest's packages. `package` gives passport and network of one, `keep` takes what came."""

    manifest: Manifest
    rounds: Rounds
    ledger: Ledger
    package: Callable[[str], Package]
    keep: Keep

    def run(self, done: int) -> None:
        """Evaluate all packages but the first `done`. Raises NoQuorum."""
        for number, sha256 in enumerate(self.manifest.packages, start=1):
            if number > done:
                standing = self.ledger.standing(number, sha256)
                self.keep(standing, number, sha256, self._ask(standing, number, sha256))

    def _ask(self, standing: Standing, number: int, sha256: str) -> Held[Told]:
        question = Question(self.manifest.run, self.manifest.sha256, number, package=self.package(sha256))

        def accept(site: str, record: RecordDict) -> Told:
            reply = read_reply(record, None)
            told = hashlib.sha256(reply.release).hexdigest()
            signed = self.ledger.check(standing, site, reply, told, EVALUATE)
            self._check_release(reply.release, sha256)
            return Told(signed, reply.release)

        return self.rounds.hold(
            number,
            EVALUATE,
            question_record(question),
            recorded(self.ledger, number, accept),
            patience(self.manifest),
        )

    def _check_release(self, text: bytes, sha256: str) -> None:
        """Raises Refused for what could not be joined with what others tell."""
        try:
            check_release(text, task=self.manifest.task, package=sha256)
        except BadRequest as error:
            raise Refused(Reason.STATEMENT, "this is no release of the package") from error


def releases(held: Held[Told]) -> Mapping[str, bytes]:
    """What the sites told, by their names."""
    return {name: told.release for name, told in held.answers.items()}
