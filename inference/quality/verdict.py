"""What one criterion says: met or not and how badly, with the measurements that it rests on."""

from dataclasses import dataclass

from archive.findings import Code, Evaluation, Measurement, Target
from inference.quality import codes
from inference.quality.grading import Grade


@dataclass(frozen=True, slots=True)
class Verdict:
    """A criterion is met where its grade is Perfect."""

    evaluation: Evaluation
    grade: Grade
    measurements: tuple[Measurement, ...] = ()


def judge(
    target: Target,
    criterion: Code,
    failure: Code,
    grade: Grade,
    measurements: tuple[Measurement, ...] = (),
) -> Verdict:
    """The criterion answers Yes where it is met, else with what fails (PS3.16 CID 6041 where that knows it)."""
    value = codes.MET if grade is Grade.PERFECT else failure
    return Verdict(Evaluation(target, criterion, value), grade, measurements)
