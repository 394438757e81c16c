"""What is written over an image: that it is a model's answer, what it says, and what a lesion is called."""

from collections.abc import Iterator

from archive.findings import Evaluation, Findings, Lesion, Level, Measurement, Source, Target
from inference.results.content import place_of
from inference.results.document import RESEARCH_USE_ONLY


def headline(findings: Findings) -> str:
    """The line that stands above all others."""
    return f"AI, {RESEARCH_USE_ONLY}" if findings.model.research_use_only else "AI"


def statements(findings: Findings, source: Source) -> Iterator[str]:
    """A line for the model, and for each answer about the exam, the image's breast, or the image."""
    view = place_of(Target(Level.VIEW, source.laterality, source.sop_instance_uid), findings)
    yield f"{view}{': ' if view else ''}{findings.model.title} {findings.model.version}"
    answers: list[Evaluation | Measurement] = [*findings.evaluations, *findings.measurements]
    for one in answers:
        if _concerns(one.target, source):
            place = place_of(one.target, findings)
            yield f"{one.concept.meaning}{f' ({place})' if place else ''}: {_said(one)}"


def label_of(lesion: Lesion) -> str:
    """What stands beside a lesion's outline."""
    return f"{lesion.name} {lesion.kind.meaning} {100 * lesion.score:.0f} %"


def _concerns(target: Target, source: Source) -> bool:
    match target.level:
        case Level.EXAM:
            return True
        case Level.BREAST:
            return target.laterality == source.laterality
        case Level.VIEW:
            return target.sop_instance_uid == source.sop_instance_uid
    return False


def _said(answer: Evaluation | Measurement) -> str:
    if isinstance(answer, Measurement):
        return f"{answer.value:.4g} {answer.unit.value}"
    chances = [one.probability for one in answer.likelihoods if one.code == answer.value]
    return answer.value.meaning + "".join(f", {100 * one:.0f} %" for one in chances)
