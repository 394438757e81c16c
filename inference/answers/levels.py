"""From views to breasts to the exam: what was told of each picture, averaged where several tell of the same."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archive.findings import Level, Target
from inference.picture import Picture

Rows = npt.NDArray[np.floating[Any]]
Row = npt.NDArray[np.floating[Any]]


def by_view(rows: Rows, pictures: Sequence[Picture]) -> dict[Target, Row]:
    """The mean row, (k,), of each instance: frames of one instance tell of one view. `rows` is (pictures, k)."""
    found: dict[Target, list[Row]] = {}
    for row, picture in zip(rows, pictures, strict=True):
        target = Target(Level.VIEW, picture.view[0], picture.instance.sop_instance_uid)
        found.setdefault(target, []).append(row)
    return {target: np.mean(several, axis=0) for target, several in found.items()}


def by_breast(views: Mapping[Target, Row]) -> dict[Target, Row]:
    """The mean row of each breast over its views. Views whose laterality is unknown stand together."""
    found: dict[Target, list[Row]] = {}
    for target, row in views.items():
        found.setdefault(Target(Level.BREAST, target.laterality), []).append(row)
    return {target: np.mean(several, axis=0) for target, several in sorted(found.items(), key=_laterality)}


def _laterality(item: tuple[Target, object]) -> str:
    return item[0].laterality
