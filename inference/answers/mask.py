"""Answers of networks that tell each pixel's probability of belonging to a lesion.

`mask` holds for each picture (classes, rows', columns'), as a leading axis or, where sizes differ, as a tuple. It
covers the tensor that the picture was stacked into, from its top left corner: as large as the picture, or the largest
of an exam's that is read at once, raised to the multiple that the passport's step `stack` names. Probabilities are
spread over the picture's own pixels, cut at the threshold (the class's own, else the passport's, else 0.5), and each of
the largest connected parts becomes a lesion: its outline in the stored image, its mean probability as the score, its
area and long axis where the spacing is known. The passport's `outputs.parameters`: `most` lesions of a class and image
(3), of at least `least_pixels` of the picture (16). Each image's lesions are its own; none are joined across images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from archive.findings import Code, Lesion, Level, Measurement, Region, Shape, Target
from inference.answers.answer import Answer
from inference.answers.calibration import Array as Probabilities
from inference.answers.calibration import calibrated
from inference.passport import OutputClass, Passport, Per
from inference.picture import Picture

MOST, LEAST_PIXELS, THRESHOLD = 3, 16, 0.5
FINER = 4  # points of an outline along a pixel
AREA = Code("42798000", "SCT", "Area")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
MM, MM2 = Code("mm", "UCUM", "millimeter"), Code("mm2", "UCUM", "square millimeter")

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Part:
    """A connected part: outline, (column, row) in the picture's points, area in pixels, mean probability."""

    outline: tuple[tuple[float, float], ...]
    area: int
    score: float


def answer(outputs: Mapping[str, Any], pictures: Sequence[Picture], passport: Passport) -> Answer:
    """The lesions that the network's `mask` outlines, with their measurements."""
    lesions: list[Lesion] = []
    measurements: list[Measurement] = []
    for planes, picture in zip(outputs["mask"], pictures, strict=True):
        shape = stacked(pictures if passport.inputs.per is Per.EXAM else [picture], passport)
        for plane, told in zip(planes, passport.outputs.classes, strict=True):
            probabilities = calibrated(plane.astype(np.float32), passport.outputs.calibration)
            for part in _parts(_spread(probabilities, shape, picture), told, passport):
                name = f"{told.label} {len(lesions) + 1}"
                lesions.append(_lesion(name, part, picture, told.code))
                measurements += _measurements(name, part, picture)
    return Answer(lesions=tuple(lesions), measurements=tuple(measurements))


def stacked(pictures: Sequence[Picture], passport: Passport) -> tuple[int, int]:
    """Rows and columns of the tensor that the pictures were stacked to."""
    steps = [one for one in passport.inputs.preprocessing if one.name == "stack"]
    multiple = int(steps[-1].parameters.get("multiple", 1)) if steps else 1
    rows, columns = (max(one.pixels.shape[axis] for one in pictures) for axis in (0, 1))
    return -(-rows // multiple) * multiple, -(-columns // multiple) * multiple


def _spread(plane: Probabilities, shape: tuple[int, int], picture: Picture) -> Plane:
    """The probabilities of a picture's own pixels, (rows, columns)."""
    full = cv2.resize(np.asarray(plane, np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[: picture.pixels.shape[0], : picture.pixels.shape[1]], np.float32)


def _parts(probabilities: Plane, told: OutputClass, passport: Passport) -> Iterator[_Part]:
    """The largest connected parts (pixels that touch by a corner are connected), the largest first."""
    parameters = passport.outputs.parameters
    most, least = int(parameters.get("most", MOST)), int(parameters.get("least_pixels", LEAST_PIXELS))
    threshold = _threshold(told, passport)
    cut = (probabilities >= threshold).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(cut, connectivity=8)
    largest = sorted(range(1, count), key=lambda one: -boxes[one][cv2.CC_STAT_AREA])[:most]
    for one in largest:
        left, top, width, height, area = (int(value) for value in boxes[one])
        if area >= least:
            corner = max(left - 1, 0), max(top - 1, 0)
            place = slice(corner[1], top + height + 1), slice(corner[0], left + width + 1)
            pixels, seen = labels[place] == one, probabilities[place]
            outline = _outline(pixels, seen, threshold)
            points = tuple((corner[0] + column, corner[1] + row) for column, row in outline)
            yield _Part(points, area, float(seen[pixels].mean()))


def _threshold(told: OutputClass, passport: Passport) -> float:
    chosen = (told.threshold, passport.outputs.threshold, THRESHOLD)
    return next(one for one in chosen if one is not None)


def _outline(
    pixels: npt.NDArray[np.bool_], probabilities: Plane, threshold: float
) -> list[tuple[float, float]]:
    """Where the probability falls to the threshold around the part, (column, row), to a quarter of a pixel; closed."""
    around = cv2.dilate(pixels.astype(np.uint8), np.ones((3, 3), np.uint8))
    fine = cv2.resize(probabilities * around, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
    border = _border(fine >= threshold)
    if len(border) < 3:  # a part of a pixel or two that hardly reaches the threshold
        border = _border(np.kron(pixels, np.ones((FINER, FINER), np.bool_)))
    points = [((float(x) + 0.5) / FINER, (float(y) + 0.5) / FINER) for x, y in border]
    return [*points, points[0]]


def _border(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """The corners of the largest part's outline, (n, 2); none where there is no part."""
    contours, _ = cv2.findContours(bits.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.empty((0, 2), np.int32)
    largest = max(contours, key=cv2.contourArea)
    return np.asarray(cv2.approxPolyDP(largest, 0.7, closed=True).reshape(-1, 2), np.int32)


def _lesion(name: str, part: _Part, picture: Picture, kind: Code) -> Lesion:
    points = picture.placement.stored(part.outline)
    region = Region(picture.instance.sop_instance_uid, Shape.POLYGON, points, picture.frame)
    return Lesion(name, picture.view[0], kind, min(part.score, 1.0), (region,))


def _measurements(name: str, part: _Part, picture: Picture) -> list[Measurement]:
    if picture.spacing is None:
        return []
    down, across = picture.spacing
    target = Target(Level.LESION, picture.view[0], picture.instance.sop_instance_uid, name)
    area = part.area * down * across
    points = np.array(part.outline) * (across, down)
    longest = max(float(np.hypot(*(points - point).T).max()) for point in points)
    return [
        Measurement(target, AREA, round(area, 3), MM2),
        Measurement(target, LONG_AXIS, round(longest, 3), MM),
    ]
