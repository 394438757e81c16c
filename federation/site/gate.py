"""A site's gate: what it knows when it decides on a run, and what it puts on record before an answer leaves it."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import AsyncConnection

from archive import approvals, datasets, federation_keys, permits, tracing
from archive.approvals import Offered, Part, Spent
from archive.audit import WORKER, Detail, Event, Outcome, write_async
from archive.errors import BadRequest, NotFound, SenogateError
from archive.federation_roles import read_site
from archive.settings import Settings
from federation.code import code_hash
from federation.manifest import Kind, Manifest
from federation.provenance import statement as statements
from federation.provenance.statement import FIRST, Statement
from federation.provenance.verification import TRAIN
from federation.site.approval import Allowed, Answered, Refusal, Standing, decide
from federation.site.work import Figures
from federation.training.task import Privacy


class Declined(SenogateError):
    """The site takes no part, for this reason."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Outdated(SenogateError):
    """What was learnt from may not be learnt from any more: a patient has opted out meanwhile."""


@dataclass(frozen=True, slots=True)
class Said:
    """What leaves the site with the weights: the text of its statement and the signature over it, in base64."""

    text: bytes
    signature: str


def subject_of(hub: str) -> str:
    """Whom permits for a hub's runs name."""
    return f"federation:{hub}"


async def look(
    connection: AsyncConnection,
    settings: Settings,
    offered: Offered,
    manifest: Manifest,
    coming: Sequence[Spent] = (),
    number: int | None = None,
) -> Standing:
    """What counts at the site now for a run, where `coming` is what would be taken from the dataset beside.

    `number` is the round that is decided on, None for the run as a whole.
    """
    joined = read_site(settings)
    granted = await permits.grants_of(connection, subject_of(manifest.hub))
    answered = None
    if offered.decision is not None:
        by = offered.decided_by or ""
        answered = Answered(offered.sha256, offered.decision, by, offered.most_epsilon)
    taken = await approvals.spent(connection, _name_of(manifest.dataset)) if manifest.privacy.is_on else []
    return Standing(
        hub=joined.hub_name if joined else "",
        code=code_hash(),
        answered=answered,
        policies=await approvals.policies(connection, valid=True),
        permits=granted.permits,
        dataset=await _number_of(connection, manifest.dataset),
        epsilon=epsilon_of([*taken, *coming]),
        answers=0 if number is None else await approvals.answers(connection, manifest.run, number),
    )


async def ask(
    connection: AsyncConnection,
    settings: Settings,
    offered: Offered,
    manifest: Manifest,
    number: int | None = None,
) -> Allowed | Refusal:
    """Whether the site takes part in a run now, or in one of its rounds.

    A private round is taken to cost what the round before it did.
    """
    taken = [one for one in await approvals.spent(connection) if one.run == manifest.run]
    again = [taken[-1]] if taken and taken[-1].round < (1 if number is None else number) else []
    standing = await look(connection, settings, offered, manifest, again, number)
    return decide(manifest, standing, datetime.now(UTC), 1 if number is None else number)


def epsilon_of(taken: Sequence[Spent]) -> float:
    """What is spent in all runs together: the sum of each run's ε, each for its own δ."""
    by_run: dict[tuple[str, float, float], list[tuple[int, float]]] = defaultdict(list)
    for one in {one.part: one for one in taken}.values():
        by_run[one.run, one.noise_multiplier, one.delta].append((one.steps, one.sample_rate))
    if not by_run:
        return 0.0
    from federation.training.privacy import epsilon  # loads torch, which private runs alone need here

    return sum(
        epsilon(rounds, Privacy(noise_multiplier=noise, delta=delta))
        for (_, noise, delta), rounds in by_run.items()
    )


async def let_go(
    connection: AsyncConnection,
    settings: Settings,
    manifest: Manifest,
    kind: str,
    number: int,
    figures: Figures,
) -> Said:
    """Decide once more, and put on record what leaves the site from now on. Raises Declined, Outdated."""
    taken = _spent(manifest, number, figures) if kind == TRAIN and manifest.privacy.is_on else None
    async with connection.transaction():
        offered = await approvals.find(connection, manifest.run)
        standing = await look(connection, settings, offered, manifest, [taken] if taken else [], number)
        decided = decide(manifest, standing, datetime.now(UTC), number)
        if isinstance(decided, Refusal):
            raise Declined(decided)
        if await approvals.is_opted_out(connection, figures.patients):
            raise Outdated("what was learnt from has changed meanwhile")
        of_run = [one for one in await approvals.spent(connection) if one.run == manifest.run]
        said = statement_of(
            settings,
            manifest,
            figures,
            kind=kind,
            number=number,
            permit=decided.permit,
            previous=await approvals.last_statement(connection, manifest.run, number),
            epsilon=epsilon_of([*of_run, *([taken] if taken else [])]),
        )
        part = Part(
            manifest.run,
            number,
            said.text,
            said.signature,
            manifest.model,
            manifest.version,
            figures.patients,
            taken,
        )
        await approvals.keep_part(connection, part)
        await _tell_use(connection, manifest)
        await _record(connection, manifest, kind, number, Outcome.SUCCESS, {"by": decided.by}, decided.permit)
    return said


async def _tell_use(connection: AsyncConnection, manifest: Manifest) -> None:
    """That a dataset was used, for the tracing service: once a run."""
    is_training = manifest.kind == Kind.TRAINING
    tool = (manifest.model, manifest.version) if is_training else ("senogate-evaluation", manifest.run)
    by = f"federation:{manifest.hub}"
    await tracing.used(connection, [manifest.dataset], *tool, by=by, key=f"run {manifest.run}")


async def note(
    connection: AsyncConnection,
    manifest: Manifest,
    kind: str,
    number: int,
    outcome: Outcome,
    reason: str,
) -> None:
    """Put on record that the site gave no answer, and why."""
    async with connection.transaction():
        await _record(connection, manifest, kind, number, outcome, {"reason": reason})


def statement_of(
    settings: Settings,
    manifest: Manifest,
    figures: Figures,
    *,
    kind: str,
    number: int,
    permit: str,
    previous: bytes | None,
    epsilon: float,
) -> Said:
    """What the site says of its part, signed by its key."""
    joined = read_site(settings)
    made = Statement(
        run=manifest.run,
        round=number,
        kind=kind,
        site=joined.name if joined else "",
        manifest=manifest.sha256,
        permit=permit,
        dataset=manifest.dataset,
        dataset_version=figures.dataset_version,
        cohort=figures.cohort,
        opt_outs=figures.opt_outs,
        studies=figures.studies,
        patients=figures.number_of_patients,
        code=code_hash(),
        weights_in=figures.weights_in,
        weights_out=figures.weights_out,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        previous=hashlib.sha256(previous).hexdigest() if previous else FIRST,
        metrics=figures.metrics,
        epsilon=epsilon,
    )
    return Said(made.to_bytes(), statements.sign(made, federation_keys.federation_key(settings)))


def _spent(manifest: Manifest, number: int, figures: Figures) -> Spent:
    came_from = (manifest.sha256, number, figures.weights_in, figures.weights_out, figures.cohort)
    return Spent(
        hashlib.sha256(" ".join(map(str, came_from)).encode()).hexdigest(),
        _name_of(manifest.dataset),
        manifest.run,
        number,
        manifest.privacy.noise_multiplier,
        figures.sample_rate,
        figures.steps,
        manifest.privacy.delta,
    )


async def _record(
    connection: AsyncConnection,
    manifest: Manifest,
    kind: str,
    number: int,
    outcome: Outcome,
    more: Detail,
    permit: str = "",
) -> None:
    detail: dict[str, str | int] = {"run": manifest.run, "kind": kind, "round": number, "hub": manifest.hub}
    await write_async(
        connection,
        Event.TRAINING_ROUND,
        subject=WORKER,
        outcome=outcome,
        permits=[permit] if permit else [],
        detail=detail | {"model": manifest.model} | dict(more),
    )


async def _number_of(connection: AsyncConnection, dataset: str) -> int | None:
    try:
        return (await datasets.show(connection, dataset)).number
    except (NotFound, BadRequest):
        return None


def _name_of(dataset: str) -> str:
    """A dataset's versions are of the same patients: what they spend counts for all."""
    return dataset.partition("@")[0]
