"""Features of an exam that are measured on its images: the breast's area, and how bright it is as it is shown."""

from collections.abc import Callable, Collection, Iterable, Mapping

import cv2
import numpy as np
import numpy.typing as npt

from inference.instance import Part, read_instance
from inference.picture import Picture
from inference.pixels import read_picture
from inference.preprocess import prepare

_STEPS: tuple[tuple[str, Mapping[str, float]], ...] = (("breast_mask", {}), ("voi", {}))
_LEVELS = 256
Grey = npt.NDArray[np.float32]


def measure(parts: Iterable[Part], wanted: Collection[str]) -> dict[str, float]:
    """The wanted features of an exam, each the mean over its images; one that no image tells is left out.

    Greys are those of the breast by the header's VOI, 0 black to 1 white. Raises ReadingFailed.
    """
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for part in parts:
        picture = prepare(read_picture(read_instance(part), ("", "")), _STEPS)
        for name, value in _measured(picture, wanted).items():
            found[name].append(value)
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def _measured(picture: Picture, wanted: Collection[str]) -> dict[str, float]:
    assert picture.mask is not None
    told: dict[str, float] = {}
    if "breast_area" in wanted and picture.spacing:
        rows, columns = picture.spacing
        told["breast_area"] = float(picture.mask.sum()) * rows * columns / 100
    if _OF_GREY.keys() & set(wanted):
        grey = np.asarray(picture.pixels, np.float32)[picture.mask]
        told |= {name: function(grey) for name, function in _OF_GREY.items() if name in wanted}
    return told


def _quantile(share: float) -> Callable[[Grey], float]:
    return lambda grey: float(np.quantile(grey, share))


def bright_fraction(grey: Grey) -> float:
    """The share above the threshold that parts the greys best in two (Otsu, IEEE Trans. SMC 9 (1979) 62)."""
    levels = np.asarray(np.clip(grey * (_LEVELS - 1), 0, _LEVELS - 1), np.uint8).reshape(-1, 1)
    threshold, _ = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float((levels > threshold).mean())


_OF_GREY: Mapping[str, Callable[[Grey], float]] = {
    "brightness": lambda grey: float(grey.mean(dtype=np.float64)),
    "brightness_quartile_1": _quantile(0.25),
    "brightness_median": _quantile(0.5),
    "brightness_quartile_3": _quantile(0.75),
    "bright_fraction": bright_fraction,
}
