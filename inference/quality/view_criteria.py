"""The criteria that are judged in one view. docs/image-quality.md names their sources."""

from collections.abc import Iterator

import numpy as np

from archive.findings import Code, Level, Measurement, Region, Shape, Target
from inference.quality import codes
from inference.quality.chart import CELL, Points
from inference.quality.grading import Grade, Limits, worst
from inference.quality.outline import outline_of
from inference.quality.pectoral import Pectoral
from inference.quality.position import is_medial_down, is_mirrored, is_wall_left, nipple_line
from inference.quality.verdict import Verdict, judge
from inference.quality.view import Measured


def judge_view(one: Measured, limits: Limits) -> Iterator[Verdict]:
    """Every criterion of a CC or MLO view."""
    yield _judge_side(one)
    yield _judge_label(one, limits)
    yield _judge_cut_off(one, limits)
    yield _judge_nipple(one, limits)
    if one.view[1] == "MLO":
        yield _judge_pectoral(one, limits)
    yield _judge_sharpness(one, limits)
    yield _judge_exposure(one, limits)
    yield _judge_artefacts(one, limits)


def target_of(one: Measured) -> Target:
    """The view as what an answer is about."""
    return Target(Level.VIEW, one.view[0], one.chart.picture.instance.sop_instance_uid)


def _measure(
    one: Measured, concept: Code, value: float, unit: Code, *regions: tuple[Shape, Points]
) -> Measurement:
    drawn: tuple[Region, ...] = tuple(
        one.chart.region(shape, points) for shape, points in regions if len(points)
    )
    return Measurement(target_of(one), concept, round(value, 3), unit, drawn)


def _judge_side(one: Measured) -> Verdict:
    """The chest wall of the pixels against Patient Orientation, and that against the laterality."""
    instance = one.chart.picture.instance
    told = is_wall_left(instance)
    wrong = (told is not None and told != one.chart.is_left) or is_mirrored(instance, one.view[1])
    outline = outline_of(one.chart)
    area = float(one.chart.mask.sum()) * CELL**2
    measurement = _measure(one, codes.BREAST_OUTLINE, area, codes.MM2, (Shape.POLYGON, outline))
    grade = Grade.INADEQUATE if wrong else Grade.PERFECT
    return judge(target_of(one), codes.SIDE_AGREES, codes.MARKER_INCORRECT, grade, (measurement,))


def _judge_label(one: Measured, limits: Limits) -> Verdict:
    """A CC does not show a muscle as an MLO does: wide at the upper border, long, and at an angle."""
    muscle = one.pectoral
    shown = (
        one.view[1] == "CC"
        and muscle is not None
        and limits.most("cc_pectoral_width_mm", muscle.width) is not Grade.PERFECT
        and limits.most("cc_pectoral_length_mm", muscle.length) is not Grade.PERFECT
        and limits.most("cc_pectoral_contrast_percent", 100 * muscle.contrast) is not Grade.PERFECT
    )
    measurements = _muscle_measurements(one, muscle) if shown and muscle else ()
    grade = Grade.INADEQUATE if shown else Grade.PERFECT
    return judge(target_of(one), codes.LABELLED, codes.MARKER_INCORRECT, grade, measurements)


def _judge_cut_off(one: Measured, limits: Limits) -> Verdict:
    cut = one.cut_off
    grade = limits.most(f"cut_off_{one.view[1].lower()}_mm", cut.length)
    measurement = _measure(one, codes.CUT_OFF_LENGTH, cut.length, codes.MM, (Shape.POLYLINE, cut.points))
    medial_down = is_medial_down(one.chart.picture.instance)
    medial = "bottom" if medial_down else "top"
    lost_medially = one.view[1] == "CC" and medial_down is not None and cut.border == medial
    failure = codes.MEDIAL_TISSUE_MISSING if lost_medially else codes.POSITIONING
    return judge(target_of(one), codes.WHOLE_BREAST, failure, grade, (measurement,))


def _judge_nipple(one: Measured, limits: Limits) -> Verdict:
    nipple = one.nipple
    if nipple is None:
        return judge(target_of(one), codes.NIPPLE_IN_PROFILE, codes.NIPPLE_NOT_IN_PROFILE, Grade.MODERATE)
    line = nipple_line(nipple, one.pectoral if one.view[1] == "MLO" else None)
    measurements = (
        _measure(
            one, codes.NIPPLE_PROMINENCE, nipple.prominence, codes.MM, (Shape.POINT, np.array([nipple.point]))
        ),
        _measure(one, codes.NIPPLE_LINE, one.nipple_line or 0.0, codes.MM, (Shape.POLYLINE, line)),
    )
    grade = limits.least("nipple_height_mm", nipple.prominence)
    return judge(target_of(one), codes.NIPPLE_IN_PROFILE, codes.NIPPLE_NOT_IN_PROFILE, grade, measurements)


def _judge_pectoral(one: Measured, limits: Limits) -> Verdict:
    """Length to the nipple level, width and angle of the muscle; without one the view is Inadequate."""
    muscle, gap = one.pectoral, one.shortfall
    if muscle is None:
        return judge(target_of(one), codes.PECTORAL_TO_NIPPLE, codes.INSUFFICIENT_PECTORAL, Grade.INADEQUATE)
    grades = [
        limits.least("pectoral_width_mm", muscle.width),
        limits.least("pectoral_angle_deg", muscle.angle),
    ]
    measurements = _muscle_measurements(one, muscle)
    if gap is not None:
        grades.append(limits.most("pectoral_gap_mm", gap))
        line = np.array([muscle.bottom, muscle.foot(one.nipple.point)] if one.nipple else [])
        measurements += (_measure(one, codes.PECTORAL_SHORTFALL, gap, codes.MM, (Shape.POLYLINE, line)),)
    return judge(
        target_of(one),
        codes.PECTORAL_TO_NIPPLE,
        codes.INSUFFICIENT_PECTORAL,
        worst(grades),
        measurements,
    )


def _muscle_measurements(one: Measured, muscle: Pectoral) -> tuple[Measurement, ...]:
    border = np.array([[0.0, 0.0], muscle.top])
    return (
        _measure(one, codes.PECTORAL_LENGTH, muscle.length, codes.MM, (Shape.POLYLINE, muscle.points)),
        _measure(one, codes.PECTORAL_WIDTH, muscle.width, codes.MM, (Shape.POLYLINE, border)),
        _measure(one, codes.PECTORAL_ANGLE, muscle.angle, codes.DEGREE),
    )


def _judge_sharpness(one: Measured, limits: Limits) -> Verdict:
    """A view with too little breast for the measure is not judged Inadequate for that: nothing is told of it."""
    blur = one.blur
    if blur is None:
        return judge(target_of(one), codes.SHARP, codes.MOTION_BLUR, Grade.PERFECT)
    grades = limits.most("blur_mm", blur.deviation), limits.most("directed_blur_db", blur.directed)
    measurements = (
        _measure(one, codes.BLUR, blur.deviation, codes.MM),
        _measure(one, codes.DIRECTED_BLUR, blur.directed, codes.DECIBEL),
    )
    return judge(target_of(one), codes.SHARP, codes.MOTION_BLUR, worst(grades), measurements)


def _judge_exposure(one: Measured, limits: Limits) -> Verdict:
    exposure = one.exposure
    white = limits.most("white_percent", exposure.white)
    dark = worst(
        [limits.most("black_percent", exposure.black), limits.least("contrast_percent", exposure.contrast)]
    )
    measurements = (
        _measure(one, codes.WHITE_SHARE, exposure.white, codes.PERCENT),
        _measure(one, codes.BLACK_SHARE, exposure.black, codes.PERCENT),
        _measure(one, codes.CONTRAST, exposure.contrast, codes.PERCENT),
    )
    failure = codes.OVER_EXPOSED if white > dark else codes.UNDER_EXPOSED
    return judge(target_of(one), codes.EXPOSED, failure, worst([white, dark]), measurements)


def _judge_artefacts(one: Measured, limits: Limits) -> Verdict:
    found = one.artefacts
    regions = [(Shape.POLYGON, outline) for outline in found.outlines]
    measurements = (
        _measure(one, codes.ARTEFACT_AREA, found.inside, codes.MM2, *regions),
        _measure(one, codes.OUTSIDE_AREA, found.outside, codes.MM2),
    )
    grade = limits.most("artefact_mm2", found.inside)
    return judge(target_of(one), codes.NO_ARTEFACTS, codes.ARTEFACTS, grade, measurements)
