"""Finds text in a frame by the detection and recognition networks that the wheel `rapidocr` carries, offline.

The networks are run by onnxruntime directly: of detection only the map of probabilities is wanted, at a resolution
that is chosen here. A frame is looked at twice: as it is, and reversed with its contrast evened out, where faint
letters over bright tissue stand out. A large one is looked at as a whole and in tiles, so that neither letters of
12 pixels nor those of 100 are missed. Each network runs on one thread, and as many looks at a time as there are cores.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from archive.errors import ConfigurationError
from inference.cleaning.marker import is_view_marker
from inference.cleaning.mask import Box, Mask, Shape, covered

Grey = npt.NDArray[np.uint8]

_DETECTION, _RECOGNITION = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_LIKELY = 0.3  # probability from which a pixel is taken for text
_PEAK = 0.5  # the least that the likeliest pixel of a text has; letters of 12 pixels come to 0.99
_LEAST = 2  # pixels of what detection is given: what is thinner is no core of a line
_HIGHEST = 64  # pixels of what detection is given: the core of a line is never as high
_WHOLE = 1_300_000  # pixels that a frame is looked at with as a whole; a larger one in tiles as well
_COARSE = 0.5  # scale of a look at what was masked
_TILE, _OVERLAP = 1024, 128  # pixels
_AROUND = 41  # pixels, odd: the neighbourhood over which contrast is evened out
_EVEN, _QUIET = 48.0, 16.0  # grey levels of one deviation afterwards; the least variance taken for contrast
_FLAT = 6  # grey levels; around a frame, where no two neighbours differ by more, nothing is looked for
_PLAIN = 24  # grey levels; a tile in which no two neighbouring areas differ by more holds no text
_MULTIPLE = 32  # the sides of what detection is given
_HEIGHT, _NARROWEST = 48, 96  # pixels, of what recognition is given
_MOST_READ = (
    16  # texts a frame; where there are more of them it is a console's screen, and no marker is looked for
)
_SURE = 0.55  # mean probability of the letters of a marker
_CLEAR = 0.9  # mean probability from which a text is what it reads as, and the reversed crop is not asked
_SMALLEST = 20  # pixels, of a marker's box, margin included
_LONGEST = 4.0  # width by height of a marker's box, margin included


@dataclass(frozen=True, slots=True)
class Text:
    """Where text was found, margin included, and whether it is a view marker."""

    box: Box
    is_marker: bool


class Finder:
    """The two networks in memory, asked by `threads` threads; 0 for as many as there are cores.

    Raises ConfigurationError when they are not installed.
    """

    def __init__(self, threads: int = 0) -> None:
        self._options = ort.SessionOptions()
        self._options.intra_op_num_threads = 1
        self._options.log_severity_level = 3
        self._threads = ThreadPoolExecutor(threads or os.cpu_count(), "text")

    def find(self, light: Grey, dark: Grey, *, once_more: bool = False) -> list[Text]:
        """The texts of one frame. `light` is the frame as rows × columns, `dark` in reversed polarity.

        `once_more` looks at it smaller: enough for what was masked before.
        """
        part = _content(light, dark)
        light, dark = (seen[part.top : part.bottom, part.left : part.right] for seen in (light, dark))
        found = self._find(light, dark, once_more) if light.size else []
        return [Text(text.box.moved(part.left, part.top), text.is_marker) for text in found]

    def _find(self, light: Grey, dark: Grey, once_more: bool) -> list[Text]:
        shape: Shape = (light.shape[0], light.shape[1])
        scale = min(1.0, (_WHOLE / light.size) ** 0.5)
        evened = _evened(dark)
        _ = self._detection, self._recognition  # made here once, not by each thread
        size = scale * _COARSE if once_more else scale
        looks: list[Callable[[], list[Box]]] = [
            lambda: self._detect(light, size),
            lambda: self._detect(evened, size),
        ]
        if scale < 1 and not once_more:
            looks += [partial(self._detect_in_tile, light, evened, corner) for corner in _tiles(shape)]
        boxes = [box for found in self._threads.map(lambda look: look(), looks) for box in found]
        return self._tell_markers(light, boxes, shape)

    def _detect_in_tile(self, light: Grey, evened: Grey, corner: tuple[int, int]) -> list[Box]:
        left, top = corner
        place = slice(top, top + _TILE), slice(left, left + _TILE)
        if _is_plain(light[place]):
            return []
        return [box.moved(left, top) for box in self._detect(evened[place], 1.0)]

    def _detect(self, image: Grey, scale: float) -> list[Box]:
        """The boxes of text. Where something too high for a line is found, it is looked for again on rougher ground,
        and smaller; what is too high every time is taken for text.
        """
        found: list[tuple[Box, bool]] = []
        for roughens, smaller in ((False, 1.0), (True, 1.0), (True, 0.7)):
            latest = self._regions(_roughen(image) if roughens else image, scale * smaller)
            found = [each for each in found if each[1]] + latest
            if all(is_line for _, is_line in latest):
                break
        return [box for box, _ in found]

    def _regions(self, image: Grey, scale: float) -> list[tuple[Box, bool]]:
        """The boxes of connected likely pixels, with a margin of most of a line, and whether each can be a line.

        Detection sees text in any texture where there is none: so it is always given some, below the image.
        """
        rows, columns = image.shape
        height, width = (max(1, -(-round(side * scale) // _MULTIPLE)) * _MULTIPLE for side in (rows, columns))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(image, (width, height), interpolation=method)
        given = np.vstack((resized, _example(width, light=bool(np.median(resized) < 128)))).astype(np.float32)
        (answer,) = self._detection.run(None, {"x": np.repeat(given[None, None] / 127.5 - 1, 3, axis=1)})
        by_x, by_y = columns / width, rows / height
        found = []
        for x, y, wide, high in _components(answer[0, 0, :height]):
            left, right, top, bottom = x * by_x, (x + wide) * by_x, y * by_y, (y + high) * by_y
            margin = round(0.7 * min(right - left, bottom - top) + 4 + max(by_x, by_y))
            box = Box(int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom)))
            found.append((box.grown(margin, (rows, columns)), min(wide, high) <= _HIGHEST))
        return found

    def _tell_markers(self, image: Grey, boxes: Sequence[Box], shape: Shape) -> list[Text]:
        """The boxes as they are, and, instead of boxes that meet, one around them where that reads as a marker."""
        groups = _groups(boxes, shape)
        candidates = [group for group in groups if _may_be_marker(group)]
        if len(candidates) > _MOST_READ:
            candidates = []
        answers = self._threads.map(partial(self._is_marker, image), candidates)
        markers = [box for box, is_marker in zip(candidates, answers, strict=True) if is_marker]
        others = [
            _lengthened(box, shape) for box in boxes if not any(box.meets(marker) for marker in markers)
        ]
        return [Text(box, True) for box in markers] + [Text(box, False) for box in others]

    def _is_marker(self, image: Grey, box: Box) -> bool:
        crop = image[box.top : box.bottom, box.left : box.right]
        for seen in (crop, 255 - crop):
            text, score = self.read(seen)
            if score >= _SURE and is_view_marker(text):
                return True
            if score >= _CLEAR:
                return False
        return False

    def read(self, crop: Grey) -> tuple[str, float]:
        """The text of one line and the mean probability of its letters (greedy decoding of CTC)."""
        rows, columns = crop.shape
        width = max(_MULTIPLE, round(_HEIGHT * columns / rows))
        line = np.zeros((_HEIGHT, max(width, _NARROWEST)), np.float32)
        line[:, :width] = cv2.resize(crop, (width, _HEIGHT)).astype(np.float32) / 127.5 - 1
        (answer,) = self._recognition.run(None, {"x": np.repeat(line[None, None], 3, axis=1)})
        best, scores = answer[0].argmax(1), answer[0].max(1)
        letters = (best != 0) & np.concatenate(([True], best[1:] != best[:-1]))
        text = "".join(self._alphabet[index] for index in best[letters])
        return text, float(scores[letters].mean()) if text else 0.0

    @cached_property
    def _detection(self) -> Any:
        return ort.InferenceSession(str(_models() / _DETECTION), self._options, ["CPUExecutionProvider"])

    @cached_property
    def _recognition(self) -> Any:
        return ort.InferenceSession(str(_models() / _RECOGNITION), self._options, ["CPUExecutionProvider"])

    @cached_property
    def _alphabet(self) -> list[str]:
        characters = self._recognition.get_modelmeta().custom_metadata_map["character"].splitlines()
        return ["", *characters, " "]


def _evened(image: Grey) -> Grey:
    """The image with its local brightness and contrast made the same everywhere."""
    values = image.astype(np.float32)
    around = (_AROUND, _AROUND)
    mean = cv2.blur(values, around)
    variance = cv2.sqrBoxFilter(values, cv2.CV_32F, around) - mean * mean
    even = 128 + _EVEN * (values - mean) / np.sqrt(np.maximum(variance, _QUIET))
    return np.clip(even, 0, 255).astype(np.uint8)


def _models() -> Path:
    """Where the wheel has its networks; it is not imported, for it would bring more than them."""
    found = importlib.util.find_spec("rapidocr")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("text in pixels can't be found: install Senogate with its extra `inference`")
    return Path(found.submodule_search_locations[0], "models")


def _components(probabilities: npt.NDArray[np.float32]) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of each connected area of likely pixels with a peak in it."""
    likely = probabilities > _LIKELY
    count, labels, stated, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8))
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels.astype(np.intp)[likely], probabilities[likely])
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


def _lengthened(box: Box, shape: Shape) -> Box:
    """A box of text made longer on both ends, by a letter that may stand there alone."""
    width, height = box.right - box.left, box.bottom - box.top
    more = round(0.6 * min(width, height))
    across, down = (more, 0) if width >= height else (0, more)
    return Box(box.left - across, box.top - down, box.right + across, box.bottom + down).within(shape)


def _roughen(image: Grey) -> Grey:
    """The image with grains of its own in place of flat areas, beside which detection takes texture for text."""
    flat = _ranges(image) == 0
    return scattered(image, flat)


def scattered(image: Grey, where: Mask) -> Grey:
    """The image with pixels of its other places, at random and the same ones each time, where the mask is true."""
    if not where.any() or where.all():
        return image
    others = image[~where]
    rough = image.copy()
    rough[where] = others[np.random.default_rng(0).integers(others.size, size=int(where.sum()))]
    return rough


def _tiles(shape: Shape) -> Iterator[tuple[int, int]]:
    """The left upper corners of tiles that overlap and cover a frame."""
    step = _TILE - _OVERLAP
    for top in range(0, max(1, shape[0] - _OVERLAP), step):
        for left in range(0, max(1, shape[1] - _OVERLAP), step):
            yield left, top


def _is_plain(tile: Grey) -> bool:
    return int(_ranges(tile).max()) < _PLAIN


def _ranges(image: Grey) -> Grey:
    """How far grey levels lie apart around each pixel."""
    kernel = np.ones((9, 9), np.uint8)
    ranges: Grey = np.subtract(cv2.dilate(image, kernel), cv2.erode(image, kernel), dtype=np.uint8)
    return ranges


def _content(light: Grey, dark: Grey) -> Box:
    """The part of a frame that is left when flat ground around it is cut off."""
    uneven = np.maximum(_ranges(light), _ranges(dark)) > _FLAT
    down, across = (np.flatnonzero(uneven.any(axis)) for axis in (1, 0))
    if not down.size:
        return Box(0, 0, 0, 0)
    box = Box(int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
    return box.grown(_MULTIPLE, (light.shape[0], light.shape[1]))


def _groups(boxes: Sequence[Box], shape: Shape) -> list[Box]:
    """The bounding boxes of boxes that meet one another."""
    _, _, components, _ = cv2.connectedComponentsWithStats(covered(boxes, shape).astype(np.uint8))
    return [Box(int(x), int(y), int(x + wide), int(y + high)) for x, y, wide, high, _ in components[1:]]


def _may_be_marker(box: Box) -> bool:
    width, height = box.right - box.left, box.bottom - box.top
    return min(height, width) >= _SMALLEST and height <= 2 * width and width <= _LONGEST * height
