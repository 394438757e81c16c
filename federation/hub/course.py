"""The course of a run at the hub: round after round from where it was, until it has an end.

Nothing of it is kept in memory from round to round but what the checkpoint holds, so that a run that was cut off goes
on as if it had not been.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flwr.app import RecordDict

from archive.errors import BadRequest
from federation.hub import checkpoint
from federation.hub.aggregate import Contribution, check_contribution, combine, parameter, step
from federation.hub.checkpoint import Checkpoint
from federation.hub.rounds import Held, Patience, Rounds
from federation.manifest import Manifest
from federation.message import EVALUATE, TRAIN, Question, Reply, question_record, read_reply
from federation.provenance.passport import Standing
from federation.provenance.record import Reason, Refused, Signed
from federation.provenance.verification import MOST_EXAMPLES
from federation.training.task import Weights
from federation.training.weights import Vector, flatten, unflatten, weights_hash

T = TypeVar("T")
Figures = Mapping[str, float]
PRIMARY = "primary"
"""The figure by which weights are judged: larger is better."""
_COUNTS = ("examples", "held_out")


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of a round, of all sites together and of each: where a site has none, `absent` says why."""

    figures: Figures
    sites: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a round leaves behind, beside its weights: what the sites signed, who is missing, rows of figures."""

    signed: tuple[Signed, ...]
    absent: Mapping[str, Reason]
    weights_out: str
    figures: Figures
    rows: Mapping[int, Row]
    stage: str = TRAIN


class Ledger(Protocol):
    """What the hub writes down of a run. Each call may take as long as PostgreSQL is away."""

    def standing(self, number: int, weights_in: str) -> Standing:
        """Where the run's record is as a round begins. Raises what says that the run has ended meanwhile."""

    def check(self, standing: Standing, site: str, reply: Reply, weights_out: str, kind: str) -> Signed:
        """A site's statement. Raises Refused."""

    def refuse(self, site: str, number: int, reason: Reason) -> None:
        """Put on record that a site's answer was not taken."""

    def keep(self, standing: Standing, kept: Kept) -> None:
        """Put a round on record."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a site's answer came to."""

    signed: Signed
    metrics: Figures
    given: Contribution | None = None

    def count(self, name: str) -> int:
        """A number of examples; 0 where it is not told."""
        return int(min(max(0.0, self.metrics.get(name, 0.0)), MOST_EXAMPLES))


@dataclass(frozen=True, slots=True)
class Training:
    """The training of a manifest's model: `initial` are the weights that it begins with."""

    manifest: Manifest
    initial: Weights
    rounds: Rounds
    ledger: Ledger
    folder: Path

    def run(self) -> Checkpoint:
        """Train until the last round, or until it gets no better; how the last weights do is known at the end.

        Raises NoQuorum, and BadRequest for weights that can't go on.
        """
        state = self._start()
        while state.round < self.manifest.rounds and not is_stale(self.manifest, state):
            state = self._train(state)
            checkpoint.write(self.folder, state)
        return self._judge(state)

    def best(self, state: Checkpoint) -> Weights:
        """The weights with the best figure; the last ones where no site had one."""
        return unflatten(state.best if state.best_round >= 0 else state.weights, self.initial)

    def _start(self) -> Checkpoint:
        found = checkpoint.latest(self.folder, self.manifest.sha256)
        return found or Checkpoint(self.manifest.run, self.manifest.sha256, 0, flatten(self.initial))

    def _train(self, state: Checkpoint) -> Checkpoint:
        """One round: the weights are judged as they come to the sites, and trained there."""
        number = state.round + 1
        standing, held = self._ask(state, TRAIN)
        given = [answer.given for answer in held.answers.values() if answer.given is not None]
        trim = parameter(self.manifest, "trim")
        combined = combine(given, self.manifest.aggregation, trim)
        vector, optimiser = step(self.manifest, state.weights, combined, state.optimiser)
        judged = judge(state, held.answers)
        row = Row(
            joined(held.answers.values(), is_training=True),
            {name: _told(answer, is_training=True) for name, answer in held.answers.items()}
            | {name: {"absent": str(reason)} for name, reason in held.absent.items()},
        )
        kept = Kept(
            tuple(answer.signed for answer in held.answers.values()),
            held.absent,
            weights_hash(unflatten(vector, self.initial)),
            joined(held.answers.values()),
            {state.round: Row(judged.figures, judged.sites), number: row},
        )
        self.ledger.keep(standing, kept)
        return replace(
            judged,
            round=number,
            weights=vector,
            optimiser=optimiser,
            figures=row.figures,
            sites=row.sites,
        )

    def _judge(self, state: Checkpoint) -> Checkpoint:
        """How the last weights do."""
        standing, held = self._ask(state, EVALUATE)
        judged = judge(state, held.answers)
        signed = tuple(answer.signed for answer in held.answers.values())
        figures = joined(held.answers.values())
        rows = {state.round: Row(judged.figures, judged.sites)}
        self.ledger.keep(standing, Kept(signed, held.absent, standing.weights_in, figures, rows, EVALUATE))
        return judged

    def _ask(self, state: Checkpoint, kind: str) -> tuple[Standing, Held[Answer]]:
        number = state.round + 1
        weights = unflatten(state.weights, self.initial)
        weights_in = weights_hash(weights)
        standing = self.ledger.standing(number, weights_in)

        def accept(site: str, record: RecordDict) -> Answer:
            reply = read_reply(record, self.initial)
            if kind == TRAIN:
                return self._trained(standing, state.weights, site, reply)
            signed = self.ledger.check(standing, site, reply, weights_in, EVALUATE)
            return Answer(signed, signed.statement.metrics)

        question = question_record(Question(self.manifest.run, self.manifest.sha256, number, weights=weights))
        expected = [name for name, told in state.sites.items() if "absent" not in told] or None
        waits = patience(self.manifest)
        if kind == EVALUATE:  # a site with too few who are held out says no, and nothing hangs on it
            waits = replace(waits, quorum=0)
        taken = recorded(self.ledger, number, accept)
        return standing, self.rounds.hold(number, kind, question, taken, waits, expected)

    def _trained(self, standing: Standing, base: Vector, site: str, reply: Reply) -> Answer:
        """Weights of a site. Raises Refused."""
        if reply.weights is None:
            raise Refused(Reason.SHAPE, "there are no weights")
        signed = self.ledger.check(standing, site, reply, weights_hash(reply.weights), TRAIN)
        metrics = signed.statement.metrics
        given = Contribution(site, flatten(reply.weights), int(metrics.get("examples", 0)))
        check_contribution(base, given, self.manifest.norm_bound)
        return Answer(signed, metrics, given)


def recorded(
    ledger: Ledger, number: int, accept: Callable[[str, RecordDict], T]
) -> Callable[[str, RecordDict], T]:
    """What takes answers as `accept` does, and puts it on record where one is not taken."""

    def taken(site: str, record: RecordDict) -> T:
        try:
            return accept(site, record)
        except BadRequest as error:
            ledger.refuse(site, number, error.reason if isinstance(error, Refused) else Reason.STATEMENT)
            raise

    return taken


def patience(manifest: Manifest) -> Patience:
    """How long a run's rounds wait."""
    return Patience(
        manifest.min_sites, grace=parameter(manifest, "grace"), timeout=parameter(manifest, "timeout")
    )


def is_stale(manifest: Manifest, state: Checkpoint) -> bool:
    """Whether it got no better for as many rounds as the manifest allows; the last weights are not judged yet."""
    return 0 < manifest.patience <= state.round - 1 - state.best_round and state.best_round >= 0


def judge(state: Checkpoint, answers: Mapping[str, Answer]) -> Checkpoint:
    """With what the sites found of its weights in its figures, and its weights as the best where they are.

    The weights that a run begins with are judged as all others, for its curves, but have learnt nothing and are never
    what comes of it.
    """
    figures = joined(answers.values())
    sites = dict(state.sites)
    for name, answer in answers.items():
        found = _told(answer)
        if found:
            sites[name] = {**sites.get(name, {}), **found}
    state = replace(state, figures={**state.figures, **figures}, sites=sites)
    is_better = state.best_round < 0 or figures.get(PRIMARY, 0.0) > state.best_figure
    if state.round == 0 or PRIMARY not in figures or not is_better:
        return state
    return replace(state, best=state.weights, best_round=state.round, best_figure=figures[PRIMARY])


def joined(answers: Iterable[Answer], *, is_training: bool = False) -> dict[str, float]:
    """The figures of all sites as one, weighted by examples: those of the training, or of the weights that came."""
    ordered = sorted(answers, key=lambda answer: answer.signed.statement.site)
    weight = _COUNTS[0] if is_training else _COUNTS[1]
    names = sorted({name for answer in ordered for name in _own(answer, is_training)})
    figures: dict[str, float] = {}
    for name in names:
        told = [(answer.count(weight), answer.metrics[name]) for answer in ordered if name in answer.metrics]
        total = sum(count for count, _ in told)
        if total:
            figures[name] = sum(count / total * value for count, value in told)
    total = sum(answer.count(weight) for answer in ordered)
    return figures | ({weight: float(total)} if total else {})


def _told(answer: Answer, *, is_training: bool = False) -> dict[str, float]:
    weight = _COUNTS[0] if is_training else _COUNTS[1]
    names = [*_own(answer, is_training), weight]
    return {name: answer.metrics[name] for name in names if name in answer.metrics}


def _own(answer: Answer, is_training: bool) -> list[str]:
    """The names of the figures of the training, or of the weights that came."""
    return [
        name
        for name in sorted(answer.metrics)
        if name not in _COUNTS and name.startswith("train_") == is_training
    ]
