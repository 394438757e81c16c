"""Whether a statement is what its site had to state, and whether the record of a run is whole: nothing else is needed.

Of what is verified the hub's key is the root, and whoever asks knows it: from joining, or from a package's passport.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archive.errors import BadRequest
from federation import manifest as manifests
from federation.manifest import SHA256, Kind, Manifest, parse_manifest
from federation.provenance import statement as statements
from federation.provenance.record import (
    End,
    Line,
    Reason,
    Refused,
    Round,
    Signed,
    Start,
    canonical,
    from_base64,
    is_signed,
    parse_entry,
    parse_lines,
)
from federation.provenance.statement import FIRST, Statement

TRAIN, EVALUATE = "train", "evaluate"
_TYPES = {"str": str, "int": int, "float": float}
_HASHES = (
    "manifest",
    "dataset_version",
    "cohort",
    "opt_outs",
    "code",
    "weights_in",
    "weights_out",
    "previous",
)
_LONGEST = 256  # characters of a text in a statement
MOST_EXAMPLES = 10_000_000
"""Of one site: more than it can have, and few enough that figures which are weighted by them can be computed."""
_COUNTS = ("examples", "held_out")  # of a statement's metrics: these are whole numbers
_LARGEST = 1e100  # of a metric: what is made of its square is finite
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,63}")
_VERSION = re.compile(r"(@[1-9][0-9]{0,8})?")


@dataclass(frozen=True, slots=True)
class Duty:
    """What the statements of a round have to say. `weights_out` is None where it is not known.

    Of a package that was evaluated, `weights_in` is its passport's hash, and `weights_out` that of what a site told.
    """

    manifest: Manifest
    round: int
    stage: str
    weights_in: str
    weights_out: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """A record that was verified from its first to its last line. `end` is None for a run that has not ended."""

    start: Start
    manifest: Manifest
    rounds: tuple[Round, ...]
    end: End | None
    hub_key: bytes

    @property
    def learnt(self) -> tuple[Round, ...]:
        """The rounds that trained the weights which came of the run: those after the best one left no trace in it."""
        last = self.end.best if self.end else self.manifest.rounds
        return tuple(one for one in self.rounds if one.stage == TRAIN and one.round <= last)


def check_statement(signed: Signed, duty: Duty, previous: str | None) -> None:
    """Raises Refused where the site has not signed the statement, or it says another thing than it had to.

    `previous` is what it has to hang on, None where that is not known.
    """
    statement = signed.statement
    try:
        key = Ed25519PublicKey.from_public_bytes(signed.key)
        statements.verify(statement.to_bytes(), signed.signature, key)
    except (BadRequest, ValueError):
        raise Refused(Reason.SIGNATURE, "the site has not signed its statement") from None
    if not _is_well_formed(statement):
        raise Refused(Reason.STATEMENT, "the statement's values are not of their kinds")
    wrong = [name for name, same in _compare(statement, duty, previous) if not same]
    if wrong:
        raise Refused(Reason.STATEMENT, f"the statement has another {wrong[0]} than the round")


def _compare(statement: Statement, duty: Duty, previous: str | None) -> Iterable[tuple[str, bool]]:
    manifest = duty.manifest
    is_same = duty.stage == EVALUATE and manifest.kind == Kind.TRAINING
    weights_out = duty.weights_in if is_same else duty.weights_out
    yield "run", statement.run == manifest.run
    yield "manifest", statement.manifest == manifest.sha256
    yield "code", statement.code == manifest.code
    yield "dataset", _is_dataset(statement.dataset, manifest.dataset)
    yield "round", statement.round == duty.round
    yield "kind", statement.kind == duty.stage
    yield "weights_in", statement.weights_in == duty.weights_in
    yield "weights_out", weights_out in (None, statement.weights_out)
    yield "previous", previous in (None, statement.previous)
    yield "epsilon", not manifest.privacy.is_on or duty.stage != TRAIN or statement.epsilon > 0


def _is_dataset(stated: str, asked: str) -> bool:
    return stated.startswith(asked) and bool(_VERSION.fullmatch(stated[len(asked) :]))


def _is_well_formed(statement: Statement) -> bool:
    """Whether values are of their types, hashes are hashes and counts not negative; JSON promises none of it."""
    for one in fields(Statement):
        kind, value = _TYPES.get(str(getattr(one.type, "__name__", one.type))), getattr(statement, one.name)
        if kind is not None and type(value) not in ((int, float) if kind is float else (kind,)):
            return False
        if kind is str and not (0 < len(value) <= _LONGEST and value.isprintable()):
            return False
    if not all(SHA256.fullmatch(getattr(statement, name)) for name in _HASHES):
        return False
    try:
        datetime.fromisoformat(statement.at)
        told = all(_is_metric(name, value) for name, value in statement.metrics.items())
    except (ValueError, AttributeError):
        return False
    counts = (statement.studies, statement.patients)
    return told and all(0 <= one <= MOST_EXAMPLES for one in counts) and 0 <= statement.epsilon <= _LARGEST


def _is_metric(name: str, value: object) -> bool:
    """Whether the hub can compute with a figure, show its name, and keep both."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not _METRIC.fullmatch(name):
        return False
    if name in _COUNTS:
        return 0 <= value <= MOST_EXAMPLES and value == int(value)
    return -_LARGEST <= value <= _LARGEST


def verify(content: bytes, hub_key: bytes | None = None) -> Provenance:
    """Verify a record, as it lies in a package, from its own bytes. Raises BadRequest, which names the line.

    `hub_key` are the 32 bytes of the key that has to have signed it; where None, the key that the first line names.
    """
    lines = parse_lines(content)
    start, manifest = _start(lines[0], hub_key)
    walk = _Walk(start, manifest)
    for number, line in enumerate(lines):
        try:
            walk.step(number, line)
        except BadRequest as error:
            raise BadRequest(f"line {number + 1} of the record: {error}") from error
    return walk.done()


def _start(line: Line, hub_key: bytes | None) -> tuple[Start, Manifest]:
    start = parse_entry(line)
    if not isinstance(start, Start):
        raise BadRequest("the record does not begin with the run")
    named = from_base64(start.hub_key)
    if len(named) != 32 or named != (hub_key or named):
        raise BadRequest("the record is of another hub")
    text = canonical(start.manifest).encode()
    key = Ed25519PublicKey.from_public_bytes(named)
    manifests.verify(text, from_base64(start.manifest_signature), key)
    return start, parse_manifest(text)


class _Walk:
    """One passage along a record."""

    def __init__(self, start: Start, manifest: Manifest) -> None:
        self._start, self._manifest = start, manifest
        self._key = Ed25519PublicKey.from_public_bytes(from_base64(start.hub_key))
        self._rounds: list[Round] = []
        self._end: End | None = None
        self._previous = FIRST
        self._keys: dict[str, bytes] = {}
        self._weights = {0: manifest.initial}

    def step(self, number: int, line: Line) -> None:
        entry = parse_entry(line)
        if not is_signed(line, self._key):
            raise BadRequest("the hub has not signed it")
        if (entry.number, entry.previous, entry.run) != (number, self._previous, self._manifest.run):
            raise BadRequest("it does not follow what stands before it")
        if self._end:
            raise BadRequest("something follows the end")
        match entry:
            case Round():
                self._take(entry)
            case End():
                self._close(entry)
            case Start() if number:
                raise BadRequest("the run begins a second time")
        self._previous = line.sha256

    def _take(self, entry: Round) -> None:
        check_place(entry, self._manifest, self._rounds[-1] if self._rounds else None)
        names = [one.statement.site for one in entry.statements]
        if names != sorted(set(names)) or set(names) & entry.absent.keys():
            raise BadRequest("its sites are not each there once, in the order of their names")
        if entry.stage == TRAIN and len(names) < self._manifest.min_sites:
            raise BadRequest("there are fewer sites than the run asks for")
        before = hashes_of(self._rounds[-1]) if self._rounds else {}
        duty = Duty(self._manifest, entry.round, entry.stage, entry.weights_in)
        for one in entry.statements:
            self._know(one)
            check_statement(one, duty, hangs_on(before, entry.round, one.statement.site))
        if entry.stage == TRAIN:
            self._weights[entry.round] = entry.weights_out
        self._rounds.append(entry)

    def _know(self, one: Signed) -> None:
        """A site has one key in a run, and no other site has it."""
        known = self._keys.setdefault(one.statement.site, one.key)
        if known != one.key or list(self._keys.values()).count(one.key) > 1:
            raise BadRequest("a site has not signed with its own key")

    def _close(self, entry: End) -> None:
        if not self._rounds or self._weights.get(entry.best) != entry.weights:
            raise BadRequest("what came of the run is not what its round ended with")
        if (entry.model, entry.version) != (self._manifest.model, self._manifest.version):
            raise BadRequest("the model is not the one of this run")
        self._end = entry

    def done(self) -> Provenance:
        key = from_base64(self._start.hub_key)
        return Provenance(self._start, self._manifest, tuple(self._rounds), self._end, key)


def check_place(entry: Round, manifest: Manifest, before: Round | None) -> None:
    """Raises BadRequest for a round that can't follow the one before it: no round is left out or done twice."""
    trains = manifest.kind == Kind.TRAINING
    weights = before.weights_out if before else manifest.initial
    if entry.round != (before.round if before else 0) + 1 or entry.stage not in (TRAIN, EVALUATE):
        raise BadRequest("it is not the next round")
    if entry.stage == EVALUATE and entry.weights_out != entry.weights_in:
        raise BadRequest("it trained where it was to evaluate")
    if trains and entry.weights_in != weights:
        raise BadRequest("it does not begin with the weights that the round before ended with")
    if not trains and (entry.stage == TRAIN or entry.weights_in not in manifest.packages):
        raise BadRequest("it is no evaluation of a package of this run")
    if (entry.aggregation, entry.strategy) != (manifest.aggregation, manifest.strategy):
        raise BadRequest("it was aggregated in another way than the run says")


def hashes_of(entry: Round) -> Mapping[str, str]:
    """Of each site in a round the hash of its statement."""
    return {one.statement.site: one.statement.sha256 for one in entry.statements}


def hangs_on(before: Mapping[str, str], round: int, site: str) -> str | None:
    """What a site's statement has to hang on: that of the round before; `FIRST` in the first round.

    None where the site is not in the round before: what it said last may never have come.
    """
    return FIRST if round == 1 else before.get(site)
