"""What a site learns from: a dataset's exams with their labels, as far as a permit lets the federation see them.

The index tells whose exams there are and what is known of them; the pixels come from the site's own gateway, with a
token that is good for the permit alone. Nothing else of the site is read. docs/labels.md describes it for stewards.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import psycopg

from archive import accepted, cohorts, examples, labels, prepared
from archive.erasure import storing
from archive.errors import BadRequest, NotFound
from archive.examples import Address, Candidate
from archive.findings import Task
from archive.label_file import Known
from archive.pool import autocommitting
from archive.purpose import Purpose
from archive.reported import REPORTS
from archive.settings import Settings
from federation.code import code_hash
from federation.examples.exam import Exam, Why, look
from federation.examples.grounds import Grounds, check
from federation.examples.inputs import Entry, Examples, Inputs
from federation.examples.labelling import Sources
from federation.examples.retrieval import Retrieval
from federation.examples.split import is_held_out
from federation.provenance import cohort
from federation.site_key import derive
from federation.training.task import Example, TrainingTask
from inference.errors import ReadingFailed
from inference.instance import read_instance
from inference.picture import Picture, View
from inference.pixels import read_picture
from inference.preprocess import prepare

LEAST_PATIENTS = 5
"""Of fewer patients nothing is learnt and nothing told."""
THREADS = 2
_TOGETHER = 16  # exams that are in memory at once, at most


class TooFewPatients(BadRequest):
    """There are fewer than `LEAST_PATIENTS` patients, and how many is not said."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Examples in the order of their studies' UIDs, and what a statement (`federation.provenance`) says of them.

    `examples` are read from the disk as they are taken, so that any number of them takes little memory. Their
    `patient_id` is the same for all exams of a person; `patient_ids` are those in the exams, which stay at the site.
    `made_of` is a hash of all that is learnt from: images, labels, and whose they are.
    """

    examples: Sequence[Example]
    dataset_version: str
    cohort: str
    opt_outs: str
    studies: int
    patients: int
    patient_ids: tuple[str, ...] = ()
    made_of: str = ""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A study that may be learnt from: who says what of it, and a key of all that its preparation hangs on."""

    candidate: Candidate
    sources: Sources
    key: str


def load_examples(
    settings: Settings,
    task: TrainingTask,
    dataset: str,
    permit_id: str,
    *,
    purpose: Purpose,
    hub: str,
    held_out: bool,
) -> Loaded:
    """The labelled exams of a dataset, for a task: of the held-out patients, or of all others.

    The permit is one for `federation:{hub}` and `purpose`, on the dataset or on everything, with the actions
    `federation.train` and `dicomweb.read`. Studies of patients who opted out are left out, also where they do so
    meanwhile. Raises Forbidden where the permit does not allow it, NotFound for a dataset that is none, TooFewPatients,
    ConfigurationError where the disk has no room for them, and Unavailable where a part of the site does not answer.
    """
    grounds = Grounds(dataset, permit_id, purpose, hub)
    allowed = check(settings, grounds)
    with autocommitting(settings.database_url) as connection:
        prepared.forget_withheld(settings, connection)
        inputs = Inputs(settings)
        candidates = of_side(settings, examples.candidates(connection, allowed.number), held_out)
        wanted = _wanted(connection, candidates, task)
        with Retrieval(settings, grounds) as retrieval:
            entries = _prepare(connection, retrieval, inputs, task, wanted)
        return _loaded(connection, settings, grounds, inputs, entries)


def of_side(settings: Settings, candidates: Iterable[Candidate], held_out: bool) -> list[Candidate]:
    key = derive(settings, "split")
    return [one for one in candidates if is_held_out(key, one.person) is held_out]


def _wanted(
    connection: psycopg.Connection, candidates: Sequence[Candidate], task: TrainingTask
) -> list[_Wanted]:
    sources = sources_of(connection, [one.study_instance_uid for one in candidates], task.name)
    made = json.dumps([code_hash(), task.name, list(task.steps)], sort_keys=True, default=str)
    return [
        _Wanted(one, sources[one.study_instance_uid], _key(made, one, sources[one.study_instance_uid]))
        for one in candidates
    ]


def sources_of(connection: psycopg.Connection, studies: Sequence[str], task: str) -> dict[str, Sources]:
    """Who says what of each study, but for readers' reports, which are among its instances."""
    imported = labels.of_studies(connection, studies)
    said = accepted.said_of(connection, studies, Task(task))
    return {study: Sources(imported.get(study, Known()), (), said.get(study, ())) for study in studies}


def _key(made: str, candidate: Candidate, sources: Sources) -> str:
    said = [(one.fingerprint, one.lesion, one.decision) for one in sources.said]
    content = [made, candidate.fingerprint, asdict(sources.imported), said]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _prepare(
    connection: psycopg.Connection,
    retrieval: Retrieval,
    inputs: Inputs,
    task: TrainingTask,
    wanted: Sequence[_Wanted],
) -> dict[Candidate, Entry]:
    """The file of each exam; of what is not prepared yet, a few at a time. An exam that went meanwhile has none."""
    found: dict[Candidate, Entry] = {}
    missing: list[_Wanted] = []
    for one in wanted:
        if entry := inputs.find(one.candidate.study_instance_uid, task.name, one.key):
            found[one.candidate] = entry
        else:
            missing.append(one)
    for one, made in _made(connection, retrieval, task, missing):
        study = one.candidate.study_instance_uid
        with storing(connection, study) as allowed:
            if made is not None and allowed:
                found[one.candidate] = inputs.keep(study, task.name, one.key, *made)
    return found


_Made = tuple[Example | None, str] | None


def _made(
    connection: psycopg.Connection, retrieval: Retrieval, task: TrainingTask, wanted: Sequence[_Wanted]
) -> Iterator[tuple[_Wanted, _Made]]:
    """Each exam prepared, or why it can't be; None for one that is not here any more."""
    with ThreadPoolExecutor(THREADS, "examples") as pool:
        try:
            for start in range(0, len(wanted), _TOGETHER):
                some = wanted[start : start + _TOGETHER]
                sources = {one.candidate.study_instance_uid: one.sources for one in some}
                exams = [exam for _, _, exam in _looked_at(connection, sources, task.name)]
                yield from zip(some, pool.map(_make(retrieval, task), exams), strict=True)
        finally:
            retrieval.end()  # where an exam can't be had, nobody waits for the others


def looked_at(
    connection: psycopg.Connection, studies: Sequence[str], task: str
) -> Iterator[tuple[str, list[Address], Exam]]:
    """Each study, where its images are, and the exam that it is; a few are in memory at once."""
    sources = sources_of(connection, studies, task)
    for start in range(0, len(studies), _TOGETHER):
        some = studies[start : start + _TOGETHER]
        yield from _looked_at(connection, {study: sources[study] for study in some}, task)


def _looked_at(
    connection: psycopg.Connection, sources: Mapping[str, Sources], task: str
) -> Iterator[tuple[str, list[Address], Exam]]:
    for study, held in examples.instances(connection, list(sources), REPORTS).items():
        images = [one.address for one in held if one.is_image]
        yield study, images, look(held, sources[study], task)


def _make(retrieval: Retrieval, task: TrainingTask) -> Callable[[Exam], _Made]:
    def make(exam: Exam) -> _Made:
        if exam.why or exam.label is None:
            return None, exam.why or Why.NO_LABEL
        try:
            pictures = {view: _picture(retrieval, task, exam, view) for view in exam.views}
            example = task.prepare(pictures, exam.label)
        except NotFound:
            return None
        except ReadingFailed:
            return None, Why.DAMAGED
        if example is None:
            return None, Why.NO_VIEWS
        return replace(example, label=exam.label, manufacturer=exam.manufacturer, age=exam.age), ""

    return make


def _picture(retrieval: Retrieval, task: TrainingTask, exam: Exam, view: View) -> Picture:
    """A view of an exam, after the task's steps."""
    named = exam.views[view]
    part = retrieval.instance(named.study_instance_uid, named.series_instance_uid, named.sop_instance_uid)
    return prepare(read_picture(read_instance(part), view), task.steps)


def _loaded(
    connection: psycopg.Connection,
    settings: Settings,
    grounds: Grounds,
    inputs: Inputs,
    entries: Mapping[Candidate, Entry],
) -> Loaded:
    """What is here still, as a permit that is valid still allows it."""
    allowed = check(settings, grounds)
    with connection.transaction():
        here = {one.study_instance_uid for one in examples.candidates(connection, allowed.number)}
        opt_outs = opt_outs_of(settings, examples.left_out(connection, allowed.number))
    inputs.forget({one.study_instance_uid for one in entries} - here)
    used = [
        (one, entry)
        for one, entry in sorted(entries.items(), key=lambda pair: pair[0].study_instance_uid)
        if one.study_instance_uid in here and not entry.why
    ]
    patients = {one.person for one, _ in used}
    if len(patients) < LEAST_PATIENTS:
        raise TooFewPatients(f"the site has fewer than {LEAST_PATIENTS} patients with such exams")
    root = keep_cohort(connection, settings, [one.study_instance_uid for one, _ in used])
    return Loaded(
        Examples([(one.study_instance_uid, one.person, entry) for one, entry in used]),
        allowed.version,
        root,
        opt_outs,
        len(used),
        len(patients),
        tuple(sorted({one.patient_id for one, _ in used})),
        made_of([(one.study_instance_uid, one.person, entry) for one, entry in used]),
    )


def made_of(used: Sequence[tuple[str, str, Entry]]) -> str:
    """A hash of studies, persons and files: another as soon as an image, a label or a person changes."""
    told = [(study, person, entry.path.name) for study, person, entry in used]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def keep_cohort(connection: psycopg.Connection, settings: Settings, studies: Sequence[str]) -> str:
    leaves = cohort.leaves(derive(settings, "cohort"), studies)
    root = cohort.root(leaves)
    cohorts.keep(connection, root, leaves)
    return root


def opt_outs_of(settings: Settings, people: Sequence[str]) -> str:
    """A hash of who was left out, which the site alone can make: a pseudonym can't be tried against it."""
    content = "".join(f"{one}\n" for one in sorted(people))
    return hmac.digest(derive(settings, "opt-outs"), content.encode(), "sha256").hex()
