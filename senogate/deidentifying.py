"""`senogate deidentify`: files and folders, without a site that runs, by the very engine that the site uses.

What is written lies in a tree of pseudonymous UIDs, each file whole or absent. Of what is refused nothing is
written. The report names refused files by where they lie, so it belongs with the originals.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from archive import secrets
from archive.errors import BadRequest, ConfigurationError
from archive.settings import Settings
from deidentification import stored
from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile, ProfileError
from deidentification.pseudonym import Keys, WeakSecret
from deidentification.seal import Kind

_UNREADABLE = "unreadable", "The file can't be read."
_IN_THE_WAY = "in-the-way", "Another instance lies where this one belongs; write to an empty folder."
_NO_PROOF = "no-proof", "The file carries no proof that it was de-identified with this key, or was altered."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not written, or that carries no proof, and why."""

    path: str
    code: str
    reason: str
    tag: str = ""  # the attribute at fault, where one is


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all files."""

    profile: str
    options: tuple[str, ...]
    accepted_risk: str
    written: list[str] = field(default_factory=list)  # relative to the output folder
    refused: list[Refusal] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not self.refused

    def to_json(self) -> str:
        """The report as a file: keys sorted, the same for the same input."""
        fields = {name: getattr(self, name) for name in ("profile", "options", "written")}
        refused = [
            {"path": each.path, "code": each.code, "tag": each.tag, "reason": each.reason}
            for each in sorted(self.refused, key=lambda each: each.path)
        ]
        whole = fields | {"accepted_risk": self.accepted_risk, "refused": refused}
        return json.dumps(whole | {"written": sorted(self.written)}, indent=2, sort_keys=True)

    def to_text(self) -> str:
        """The same for people."""
        lines = [f"{len(self.written)} instances written by {self.profile}, {len(self.refused)} refused"]
        return "\n".join(lines + [_say(each) for each in self.refused])


@dataclass(frozen=True, slots=True)
class Verification:
    """Which files carry a proof of this site that holds: of the header, or of the whole file."""

    proven: dict[str, str]  # the kind of proof, by path
    unproven: list[Refusal]

    @property
    def is_complete(self) -> bool:
        return not self.unproven

    def to_json(self) -> str:
        """As a file: keys sorted, the same for the same input."""
        unproven = [{"path": each.path, "code": each.code} for each in self.unproven]
        return json.dumps({"proven": self.proven, "unproven": unproven}, indent=2, sort_keys=True)

    def to_text(self) -> str:
        """The same for people."""
        lines = [f"{len(self.proven)} proofs hold, {len(self.unproven)} files have none"]
        lines += [f"  {kind:6} {path}" for path, kind in self.proven.items()]
        return "\n".join(lines + [_say(each) for each in self.unproven])


def _say(refusal: Refusal) -> str:
    return f"  refused {refusal.path}: {f'{refusal.code} {refusal.tag}'.rstrip()}: {refusal.reason}"


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker needs to know. Its repr shows no key."""

    secret: bytes = field(repr=False)
    profile: str
    max_instance_bytes: int
    max_inflated_bytes: int

    def keys(self) -> Keys:
        """The keys derived from the secret. Raises ConfigurationError for one that is none."""
        try:
            return Keys.derive(self.secret)
        except WeakSecret as error:
            raise ConfigurationError(str(error)) from None

    def make(self) -> Deidentifier:
        """The engine. Raises ConfigurationError for a key or a profile that can't be used."""
        try:
            return Deidentifier(
                self.keys(),
                Profile.load(self.profile),
                max_instance_bytes=self.max_instance_bytes,
                max_inflated_bytes=self.max_inflated_bytes,
            )
        except ProfileError as error:
            raise ConfigurationError(str(error)) from None


def read_order(settings: Settings, profile: str | None, key: Path | None) -> Order:
    """The site's key and profile, or those given. Raises ConfigurationError."""
    given = (str(key.parent), key.name) if key else (settings.secrets, secrets.SITE_KEY)
    secret = secrets.read_key(*given)
    limits = settings.max_instance_bytes, settings.max_inflated_bytes
    return Order(secret, profile or settings.profile, *limits)


def find_files(folder: Path) -> list[Path]:
    """The regular files of a folder at any depth, or the one file. Links are not followed."""
    if folder.is_file():
        return [folder]
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def run(order: Order, source: Path, target: Path, begin: Callable[[int], Callable[[], object]]) -> Report:
    """De-identify a file or a folder into `target`.

    `begin` is told how many files there are, and gives what is called after each. Raises BadRequest where one
    folder lies within the other, ConfigurationError where key or profile can't be used.
    """
    _require_apart(source, target)
    profile = order.make().profile
    report = Report(profile.label, profile.options, profile.accepted_risk)
    files = find_files(source)
    advance = begin(len(files))
    for outcome in _share_out(order, _deidentify, [(path, target) for path in files]):
        if isinstance(outcome, Refusal):
            report.refused.append(outcome)
        else:
            report.written.append(outcome)
        advance()
    return report


def verify(order: Order, paths: Sequence[Path], begin: Callable[[int], Callable[[], object]]) -> Verification:
    """Check the proofs of files and of all files in folders. Raises ConfigurationError for a key that is none."""
    key = order.keys().proof
    files = list(dict.fromkeys(file for path in paths for file in find_files(path)))
    advance = begin(len(files))
    outcome = Verification({}, [])
    for path in files:
        found = _prove(key, path)
        if isinstance(found, Refusal):
            outcome.unproven.append(found)
        else:
            outcome.proven[str(path)] = found.name.lower()
        advance()
    return outcome


def _require_apart(source: Path, target: Path) -> None:
    one, other = source.resolve(), target.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise BadRequest("input and output must lie apart, or originals would be among what is handed on")


Task = Callable[[tuple[Path, Path]], str | Refusal]
_engine: list[Deidentifier] = []  # of a worker process, made once


def _share_out(order: Order, task: Task, work: list[tuple[Path, Path]]) -> Iterator[str | Refusal]:
    """Do the work on all cores this process may use, and give what came of each in its order."""
    workers = min(len(os.sched_getaffinity(0)), len(work))
    if workers < 2:
        _prepare(order)
        yield from map(task, work)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _prepare, (order,)) as pool:
        yield from pool.map(task, work, chunksize=max(1, min(8, len(work) // (4 * workers))))


def _prepare(order: Order) -> None:
    _engine[:] = [order.make()]


def _deidentify(work: tuple[Path, Path]) -> str | Refusal:
    path, target = work
    try:
        made = _engine[0].deidentify(path.read_bytes())
    except Refused as refused:
        return Refusal(str(path), refused.reason.code, refused.reason.advice, refused.tag or "")
    except OSError:
        return Refusal(str(path), *_UNREADABLE)
    place = Path(made.study_instance_uid, made.series_instance_uid, f"{made.sop_instance_uid}.dcm")
    if not _write(target / place, made.instance):
        return Refusal(str(path), *_IN_THE_WAY)
    return str(place)


def _write(place: Path, instance: bytes) -> bool:
    """Write a file whole; False where another one lies there already."""
    if place.exists():
        return place.read_bytes() == instance
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    part.write_bytes(instance)
    part.replace(place)
    return True


def _prove(key: bytes, path: Path) -> Kind | Refusal:
    try:
        with path.open("rb") as file:
            proven = stored.check(key, file.fileno())
    except OSError:
        return Refusal(str(path), *_UNREADABLE)
    return proven.kind if proven else Refusal(str(path), *_NO_PROOF)
