"""What readers accepted of what a model found in mammograms, where they leave no doubt (`archive.reviews`).

A reading that is accepted is right as a whole but for lesions that are rejected by name. Without that, each of its
lesions must be accepted or rejected. Whom another reader contradicts has accepted nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from archive.findings import EXAM, Code, Findings, Lesion, Task, from_json
from archive.pool import queries
from archive.reviews import Decision


@dataclass(frozen=True, slots=True)
class Said:
    """A reader's last decision on findings as they were seen, or on one of their lesions by name."""

    findings: Findings
    fingerprint: str
    lesion: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Accepted:
    """`values` are the accepted answers about the exam by concept; `lesions` are None where not all are decided on."""

    values: tuple[tuple[Code, Code], ...] = ()
    lesions: tuple[Lesion, ...] | None = None


def said_of(connection: psycopg.Connection, studies: Sequence[str], task: Task) -> dict[str, list[Said]]:
    """The decisions on these studies' mammograms that stand, by study, the first first."""
    values = {"studies": list(studies), "task": str(task)}
    rows = connection.execute(queries("labels.sql")["said"], values)
    found: dict[str, list[Said]] = {}
    for study, text, fingerprint, lesion, decision in rows:
        findings = from_json(text)
        assert isinstance(findings, Findings)
        found.setdefault(study, []).append(Said(findings, fingerprint, lesion, Decision(decision)))
    return found


def accepted(said: Sequence[Said]) -> Accepted:
    """What follows from decisions on one study: on the findings, of several, that were decided on last."""
    if not said:
        return Accepted()
    last = [one for one in said if one.fingerprint == said[-1].fingerprint]
    findings, whole = last[0].findings, _decisions(last, "")
    if Decision.REJECT in whole:
        return Accepted()
    values = tuple((one.concept, one.value) for one in findings.evaluations if one.target == EXAM)
    return Accepted(values if whole else (), _lesions(findings, last, bool(whole)))


def _lesions(findings: Findings, said: Sequence[Said], is_whole: bool) -> tuple[Lesion, ...] | None:
    kept: list[Lesion] = []
    for lesion in findings.lesions:
        decisions = _decisions(said, lesion.name)
        if len(decisions) > 1 or not (decisions or is_whole):
            return None
        if Decision.REJECT not in decisions:
            kept.append(lesion)
    return tuple(kept) if is_whole or findings.lesions else None


def _decisions(said: Iterable[Said], lesion: str) -> set[Decision]:
    return {one.decision for one in said if one.lesion == lesion}
