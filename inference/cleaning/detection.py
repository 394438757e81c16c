"""Detection: which parts of a grey image look like text, by the network that the wheel `rapidocr` carries, offline.

It is run by onnxruntime directly: only its map of probabilities is wanted, at a resolution that is chosen here.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from archive.errors import ConfigurationError
from inference.cleaning.areas import Grey, ranges_of
from inference.cleaning.mask import Box, Mask

_DETECTION = "PP-OCRv6_det_small.onnx"
_LIKELY = 0.3  # probability from which a pixel is taken for text
_PEAK = 0.5  # the least that the likeliest pixel of a text has; letters of 12 pixels come to 0.99
_LEAST = 2  # pixels of what detection is given: what is thinner is no core of a line
_HIGHEST = 64  # pixels of what detection is given: the core of a line is never as high
_MULTIPLE = 32  # the sides of what detection is given
_AROUND = 41  # pixels, odd: the neighbourhood over which contrast is evened out
_EVEN, _QUIET = 48.0, 16.0  # grey levels of one deviation afterwards; the least variance taken for contrast
_SCALED = np.arange(256, dtype=np.uint8).astype(np.float32) / 127.5 - 1
_POOL = 65536  # pixels that others are drawn from


class Detector:
    """The network in memory. Each run takes one thread. Raises ConfigurationError when it is not installed."""

    def __init__(self) -> None:
        self._network = open_network(_DETECTION)

    def find(self, image: Grey, scale: float = 1.0) -> list[Box]:
        """The boxes of text, with a margin of most of a line.

        Where something too high for a line is found, it is looked for again on rougher ground, and smaller; what is
        too high every time is taken for text.
        """
        found: list[tuple[Box, bool]] = []
        for roughens, smaller in ((False, 1.0), (True, 1.0), (True, 0.7)):
            latest = self._regions(_roughen(image) if roughens else image, scale * smaller)
            found = [each for each in found if each[1]] + latest
            if all(is_line for _, is_line in latest):
                break
        return [box for box, _ in found]

    def _regions(self, image: Grey, scale: float) -> list[tuple[Box, bool]]:
        """The boxes of connected likely pixels, and whether each can be a line.

        Detection sees text in any texture where there is none: so it is always given some, below the image.
        """
        rows, columns = image.shape
        height, width = (max(1, -(-round(side * scale) // _MULTIPLE)) * _MULTIPLE for side in (rows, columns))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)
        given = np.vstack((resized, _example(width, light=_median(resized) < 128)))
        (answer,) = self._network.run(None, {"x": _planes(given)})
        by_x, by_y = columns / width, rows / height
        found = []
        for x, y, wide, high in _components(answer[0, 0, :height]):
            left, right, top, bottom = x * by_x, (x + wide) * by_x, y * by_y, (y + high) * by_y
            margin = round(0.7 * min(right - left, bottom - top) + 4 + max(by_x, by_y))
            box = Box(int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom)))
            found.append((box.grown(margin, (rows, columns)), min(wide, high) <= _HIGHEST))
        return found


def _planes(image: Grey) -> npt.NDArray[np.float32]:
    """Grey as three equal planes of -1 to 1, as the network takes them."""
    planes = np.empty((1, 3, *image.shape), np.float32)
    planes[0] = cv2.LUT(image, _SCALED)
    return planes


def _median(image: Grey) -> float:
    """As numpy's, by counting."""
    reached = np.cumsum(cv2.calcHist([image], [0], None, [256], (0, 256)), dtype=np.int64)
    lower, upper = (
        int(np.searchsorted(reached, place, "right")) for place in ((image.size - 1) // 2, image.size // 2)
    )
    return (lower + upper) / 2


def open_network(name: str) -> Any:
    """A network of the wheel `rapidocr`, run on one thread.

    The wheel itself is not imported, for it would bring more than its networks. Raises ConfigurationError.
    """
    found = importlib.util.find_spec("rapidocr")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("text in pixels can't be found: install Senogate with its extra `inference`")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    path = Path(found.submodule_search_locations[0], "models", name)
    return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def evened(image: Grey) -> Grey:
    """The image with its local brightness and contrast made the same everywhere."""
    around = (_AROUND, _AROUND)
    mean = cv2.boxFilter(image, cv2.CV_32F, around)
    variance = cv2.sqrBoxFilter(image, cv2.CV_32F, around) - mean * mean
    steepness = _EVEN / np.sqrt(np.maximum(variance, _QUIET))
    return np.clip((image - mean) * steepness + 128, 0, 255).astype(np.uint8)


class Scatter:
    """Puts pixels of an image's other places, at random and the same ones each time, where a mask is true."""

    def __init__(self, where: Mask) -> None:
        self._filled = np.flatnonzero(where)
        self._is_all_or_none = self._filled.size in (0, where.size)
        if self._is_all_or_none:
            return
        random = np.random.default_rng(0)
        places = random.integers(where.size, size=_POOL)
        others = places[~where.reshape(-1)[places]]
        others = others if others.size else np.flatnonzero(~where)
        self._taken = others[random.integers(others.size, size=self._filled.size)]

    def over(self, image: Grey) -> Grey:
        """An image of the mask's shape, so filled; the image itself where there is nothing to fill or to fill with."""
        if self._is_all_or_none:
            return image
        rough = image.copy()
        rough.reshape(-1)[self._filled] = image.reshape(-1)[self._taken]
        return rough


def _roughen(image: Grey) -> Grey:
    """The image with grains of its own in place of flat areas, beside which detection takes texture for text."""
    return Scatter(ranges_of(image) == 0).over(image)


def _components(probabilities: npt.NDArray[np.float32]) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of each connected area of likely pixels with a peak in it."""
    likely = probabilities > _LIKELY
    count, labels, stated, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8))
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels[likely].astype(np.intp), probabilities[likely])
    found = [tuple(map(int, each[:4])) for each in stated[peaks >= _PEAK]]
    return [(x, y, wide, high) for x, y, wide, high in found if min(wide, high) >= _LEAST]


@cache
def _example(width: int, *, light: bool) -> Grey:
    """Two lines of text across a strip, light on dark or dark on light."""
    strip = np.full((2 * _MULTIPLE, width), 0 if light else 255, np.uint8)
    for left in range(8, max(9, width - 200), 260):
        for text, x, y in (("Sample Text 1234", left, 26), ("EXAMPLE LINE", left + 20, 52)):
            cv2.putText(
                strip, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 255 if light else 0, 1, cv2.LINE_AA
            )
    return strip
