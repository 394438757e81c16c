"""Image quality of an exam: what is told of its views, of each breast, and of all of it together."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from archive.findings import EXAM, Evaluation, Level, Measurement, Target
from inference.answers.answer import Answer
from inference.passport import Passport
from inference.picture import Picture, View
from inference.preprocess.breast import NoBreast
from inference.quality import codes
from inference.quality.grading import Grade, Limits, worst
from inference.quality.position import outline_overlap
from inference.quality.verdict import Verdict, judge
from inference.quality.view import Measured, measure_view
from inference.quality.view_criteria import judge_view
from inference.views import STANDARD_VIEWS

Views = Mapping[View, Measured]

_ASSESSMENTS = {
    Grade.PERFECT: codes.MEETS,
    Grade.GOOD: codes.MEETS,
    Grade.MODERATE: codes.FALLS_SHORT,
    Grade.INADEQUATE: codes.UNUSABLE,
}
"""PGMI's G is acceptable, M is a shortcoming that screening tolerates, I is to be repeated."""


def answer(pictures: Sequence[Picture], passport: Passport) -> Answer:
    """Measure and grade the standard views of an exam: pictures of stored values, at most one of each view.

    Which of them are missing is a criterion too, and a view without a breast is Inadequate. Raises ReadingFailed
    where a header does not tell the spacing.
    """
    limits = Limits(passport.outputs.parameters)
    views: dict[View, Measured] = {}
    verdicts: list[Verdict] = []
    evaluations: list[Evaluation] = []
    for picture in pictures:
        told = _judge(picture, views, limits)
        verdicts += told
        evaluations += [each.evaluation for each in told] + _categories(_target(picture), told)
    present = {one.view for one in pictures}
    across = [*_judge_breasts(views, limits), *_judge_symmetry(views, limits), _judge_completeness(present)]
    verdicts += across
    evaluations += [each.evaluation for each in across] + _categories(EXAM, verdicts)
    return Answer(tuple(evaluations), tuple(one for each in verdicts for one in each.measurements))


def _judge(picture: Picture, views: dict[View, Measured], limits: Limits) -> list[Verdict]:
    """The verdicts on one view, whose measures go into `views`."""
    try:
        measured = measure_view(picture)
    except NoBreast:
        return [judge(_target(picture), codes.SHOWN, codes.NO_IMAGE, Grade.INADEQUATE)]
    views[picture.view] = measured
    return list(judge_view(measured, limits))


def _target(picture: Picture) -> Target:
    return Target(Level.VIEW, picture.view[0], picture.instance.sop_instance_uid)


def _categories(target: Target, verdicts: Sequence[Verdict]) -> list[Evaluation]:
    """The PGMI category, no better than the worst criterion, and what it means for use (PS3.16 CID 6044)."""
    grade = worst(one.grade for one in verdicts)
    return [
        Evaluation(target, codes.PGMI, grade.code),
        Evaluation(target, codes.QUALITY_ASSESSMENT, _ASSESSMENTS[grade]),
    ]


def _judge_breasts(views: Views, limits: Limits) -> Iterator[Verdict]:
    """The posterior nipple lines of a breast's CC and MLO."""
    for side in "LR":
        lines = [views[side, one].nipple_line for one in ("CC", "MLO") if (side, one) in views]
        if len(lines) == 2 and lines[0] is not None and lines[1] is not None:
            target, difference = Target(Level.BREAST, side), lines[1] - lines[0]
            grade = limits.most("nipple_lines_mm", abs(difference))
            measurement = Measurement(target, codes.NIPPLE_LINE_DIFFERENCE, round(difference, 3), codes.MM)
            yield judge(target, codes.NIPPLE_LINES_AGREE, codes.NIPPLE_LINES_DIFFER, grade, (measurement,))


def _judge_symmetry(views: Views, limits: Limits) -> Iterator[Verdict]:
    """Left against right, of the projections of which both are there."""
    measurements, grades = [], []
    for projection, concept in codes.OVERLAPS.items():
        left, right = views.get(("L", projection)), views.get(("R", projection))
        if left and right and left.nipple and right.nipple:
            overlap = outline_overlap(left.chart, right.chart, (left.nipple, right.nipple))
            measurements.append(Measurement(EXAM, concept, round(overlap, 3), codes.RATIO))
            grades.append(limits.least("symmetry", overlap))
    if grades:
        yield judge(EXAM, codes.SYMMETRICAL, codes.NOT_SYMMETRICAL, worst(grades), tuple(measurements))


def _judge_completeness(present: Collection[View]) -> Verdict:
    count = sum(view in present for view in STANDARD_VIEWS)
    grade = Grade.PERFECT if count == len(STANDARD_VIEWS) else Grade.INADEQUATE
    measurement = Measurement(EXAM, codes.VIEWS_PRESENT, count, codes.RATIO)
    return judge(EXAM, codes.COMPLETE, codes.NO_IMAGE, grade, (measurement,))
