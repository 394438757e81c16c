"""Answers of networks that tell boxes: the best of those that overlap, outlined, and joined across a breast's views.

`boxes` (k, 4) are left, top, right, bottom in pixels of the picture and `scores` (k, classes), one pair a picture; with
`mask`, (1, classes, rows', columns'), a lesion's outline is where that lies above one half in its box, else the box.
Below the threshold (the class's own, else the passport's, else 0.5) nothing is told. The passport's
`outputs.parameters`: `overlap`, the intersection over union above which the lesser of two boxes goes (0.3); `most`
lesions of a view (10); `join_mm`, how far the distances from the nipple may differ of what is one lesion in two views
(15).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from archive.findings import Lesion, Level, Measurement, Region, Shape, Target
from inference.answers.answer import Answer
from inference.answers.calibration import calibrated
from inference.answers.mask import AREA, LONG_AXIS, MM, MM2, stacked
from inference.errors import ReadingFailed
from inference.passport import Passport
from inference.picture import Picture

OVERLAP, MOST, JOIN_MM, THRESHOLD = 0.3, 10, 15.0, 0.5

Points = tuple[tuple[float, float], ...]
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """One box: its class's number, its score, and its sides in pixels of the picture."""

    kind: int
    score: float
    box: tuple[float, float, float, float]

    @property
    def middle(self) -> tuple[float, float]:
        """(column, row)."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True, slots=True)
class _Mark:
    """A lesion in one view; `distance` is that from the nipple in millimetres, None where it can't be told."""

    found: Found
    picture: Picture
    outline: Points
    distance: float | None


def answer(outputs: Mapping[str, Any], pictures: Sequence[Picture], passport: Passport) -> Answer:
    """The lesions, most likely ones first, with their sizes. Raises ReadingFailed for boxes that are none."""
    marks: list[_Mark] = []
    for number, picture in enumerate(pictures):
        told = {name: values[number] for name, values in outputs.items()}
        marks += _marks(told, picture, passport)
    groups = _joined(marks, float(passport.outputs.parameters.get("join_mm", JOIN_MM)))
    lesions: list[Lesion] = []
    measurements: list[Measurement] = []
    for number, group in enumerate(sorted(groups, key=lambda one: -_score(one)), 1):
        lesions.append(_lesion(str(number), group, passport))
        measurements += [size for mark in group for size in _sizes(str(number), mark)]
    return Answer(measurements=tuple(measurements), lesions=tuple(lesions))


def find(told: Mapping[str, Any], *, least: float | Sequence[float], overlap: float = OVERLAP) -> list[Found]:
    """The boxes of one picture whose score is at least `least` (one, or one a class), the best of those that overlap.

    Best first. Raises ReadingFailed for arrays of other shapes, or numbers that are not finite or no probabilities.
    """
    boxes, scores = np.asarray(told["boxes"], np.float64), np.asarray(told["scores"], np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.ndim != 2 or len(scores) != len(boxes):
        raise ReadingFailed("the network's boxes and scores do not fit together")
    if (
        not (np.isfinite(boxes).all() and np.isfinite(scores).all())
        or (scores < 0).any()
        or (scores > 1).any()
    ):
        raise ReadingFailed("the network's boxes are not finite, or its scores no probabilities")
    found: list[Found] = []
    for kind, bound in enumerate(np.broadcast_to(least, scores.shape[1])):
        (chosen,) = np.nonzero(scores[:, kind] >= bound)
        for index in _best(boxes[chosen], scores[chosen, kind], overlap):
            left, top, right, bottom = (float(one) for one in boxes[chosen[index]])
            found.append(Found(kind, float(scores[chosen[index], kind]), (left, top, right, bottom)))
    return sorted(found, key=lambda one: -one.score)


def _best(boxes: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], overlap: float) -> Iterator[int]:
    """Of boxes that overlap the one of the highest score (non-maximum suppression)."""
    order = np.argsort(-scores, kind="stable")
    while order.size:
        first, rest = order[0], order[1:]
        yield int(first)
        order = rest[_overlaps(boxes[first], boxes[rest]) <= overlap]


def _overlaps(one: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of a box with others, (n,)."""
    corner = np.maximum(one[:2], others[:, :2])
    sides = np.clip(np.minimum(one[2:], others[:, 2:]) - corner, 0, None)
    both = sides.prod(axis=1)
    areas = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    total = np.clip(one[2:] - one[:2], 0, None).prod() + areas - both
    return np.asarray(both / np.maximum(total, 1e-9))


def _marks(told: Mapping[str, Any], picture: Picture, passport: Passport) -> Iterator[_Mark]:
    outputs = passport.outputs
    scores = calibrated(np.asarray(told["scores"]), outputs.calibration)
    least = [
        next(one for one in (each.threshold, outputs.threshold, THRESHOLD) if one is not None)
        for each in outputs.classes
    ]
    if scores.ndim != 2 or scores.shape[1] != len(least):
        raise ReadingFailed("the network's scores are not of the passport's classes")
    overlap = float(outputs.parameters.get("overlap", OVERLAP))
    found = find({"boxes": told["boxes"], "scores": scores}, least=least, overlap=overlap)
    for one in found[: int(outputs.parameters.get("most", MOST))]:
        inside = _inside(one, picture)
        if inside is not None:
            outline = _outline(inside, told.get("mask"), stacked([picture], passport))
            yield _Mark(inside, picture, outline, _nipple_distance(inside, picture))


def _inside(found: Found, picture: Picture) -> Found | None:
    """The box as far as it lies in the picture; None where it does not."""
    rows, columns = picture.pixels.shape
    left, top, right, bottom = found.box
    left, right = max(left, 0.0), min(right, float(columns))
    top, bottom = max(top, 0.0), min(bottom, float(rows))
    return replace(found, box=(left, top, right, bottom)) if left < right and top < bottom else None


def _outline(found: Found, mask: Any, shape: tuple[int, int]) -> Points:
    """A closed polygon, in the picture's pixels: the mask's largest part in the box, or the box.

    The mask covers the tensor that the picture was stacked into, of this shape.
    """
    left, top, right, bottom = found.box
    sides = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    if mask is None:
        return sides
    plane = np.asarray(mask, np.float32)[0, found.kind]
    step = round(shape[0] / plane.shape[0]) or 1
    row, column = max(int(top) // step - 1, 0), max(int(left) // step - 1, 0)
    part = plane[row : int(bottom) // step + 2, column : int(right) // step + 2]
    if min(part.shape) < 2 or part.max() < 0.5:
        return sides
    fine = cv2.resize(part, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours((fine >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 0.7, closed=True).reshape(-1, 2)
    if len(largest) < 3:
        return sides
    points = tuple((float(x) + 0.5 + column * step, float(y) + 0.5 + row * step) for x, y in largest)
    return (*points, points[0])


def _nipple_distance(found: Found, picture: Picture) -> float | None:
    """How far behind the nipple the middle lies, along the normal of the chest wall, in millimetres.

    The nipple is taken to be the breast's farthest point from the chest wall, which lies on the picture's left. What is
    one lesion lies about as far behind it in CC as in MLO (Paquerault et al., Med. Phys. 29 (2002) 238).
    """
    if picture.mask is None or picture.spacing is None:
        return None
    columns = np.flatnonzero(picture.mask.sum(axis=0) > 2)
    return float(columns[-1] - found.middle[0]) * picture.spacing[1] if columns.size else None


def _joined(marks: Iterable[_Mark], most_apart: float) -> list[list[_Mark]]:
    """Marks of one breast and kind in CC and MLO whose distances from the nipple are alike, nearest pairs first."""
    groups = [[one] for one in marks]
    pairs = sorted(
        (abs((a.distance or 0) - (b.distance or 0)), first, second)
        for (first, a), (second, b) in product(((n, group[0]) for n, group in enumerate(groups)), repeat=2)
        if first < second and _may_be_one(a, b)
    )
    taken: set[int] = set()
    for apart, first, second in pairs:
        if apart <= most_apart and not {first, second} & taken:
            taken |= {first, second}
            groups[first].append(groups[second][0])
            groups[second] = []
    return [group for group in groups if group]


def _may_be_one(a: _Mark, b: _Mark) -> bool:
    return (
        a.found.kind == b.found.kind
        and a.picture.view[0] == b.picture.view[0]
        and a.picture.view[1] != b.picture.view[1]
        and None not in (a.distance, b.distance)
    )


def _score(group: Sequence[_Mark]) -> float:
    """A lesion is as likely as its most likely mark."""
    return max(mark.found.score for mark in group)


def _lesion(name: str, group: Sequence[_Mark], passport: Passport) -> Lesion:
    kind = passport.outputs.classes[group[0].found.kind].code
    regions = tuple(_region(mark) for mark in group)
    return Lesion(name, group[0].picture.view[0], kind, min(_score(group), 1.0), regions)


def _region(mark: _Mark) -> Region:
    picture = mark.picture
    points = picture.placement.stored(mark.outline)
    return Region(picture.instance.sop_instance_uid, Shape.POLYGON, points, picture.frame)


def _sizes(name: str, mark: _Mark) -> list[Measurement]:
    if mark.picture.spacing is None:
        return []
    down, across = mark.picture.spacing
    points = np.array(mark.outline) * (across, down)
    x, y = points.T
    area = abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2
    longest = max(float(np.hypot(*(points - point).T).max()) for point in points)
    picture = mark.picture
    target = Target(Level.LESION, picture.view[0], picture.instance.sop_instance_uid, name)
    return [
        Measurement(target, AREA, round(area, 3), MM2),
        Measurement(target, LONG_AXIS, round(longest, 3), MM),
    ]
