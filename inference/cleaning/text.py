"""Finds text in a frame, and tells view markers from other text.

A frame is looked at twice, wherever it is not flat: as it is, and reversed with its contrast evened out, where faint
letters over bright tissue stand out. A large one is looked at as a whole at a smaller scale, and evened out in
stripes at its own, so that neither letters of 12 pixels nor those of 100 are missed. As many looks are taken at a
time as there are cores.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from inference.cleaning.areas import Areas, Grey, areas_of, blocks_of, uneven
from inference.cleaning.detection import Detector, evened, open_network
from inference.cleaning.marker import is_view_marker
from inference.cleaning.mask import Box, Mask, Shape

_RECOGNITION = "PP-OCRv6_rec_small.onnx"
_WHOLE, _SMALLER = (
    1_300_000,
    650_000,
)  # pixels that are looked at at their own scale as they are; else reduced to
_COARSE = 0.5  # scale of a look at what was masked
_STRIPE, _OVERLAP = 1_300_000, 128  # pixels of a stripe, and rows
_HEIGHT, _NARROWEST, _MULTIPLE = 48, 96, 32  # pixels, of what recognition is given
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


class _Look(NamedTuple):
    """An image to detect text in, at a scale; the row of the laid out areas at which it begins."""

    image: Grey
    scale: float
    top: int = 0


class Finder:
    """The two networks in memory, asked by `threads` threads; 0 for as many as there are cores.

    Raises ConfigurationError, when first used, where they are not installed.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = ThreadPoolExecutor(threads or os.cpu_count(), "text")

    def find(self, light: Grey, dark: Grey, around: Mask | None = None) -> list[Text]:
        """The texts of one frame. `light` is the frame as rows × columns, `dark` in reversed polarity.

        With `around` only what is true there and its surroundings are looked at, and smaller: enough for what was
        masked before.
        """
        shape: Shape = (light.shape[0], light.shape[1])
        areas = areas_of(uneven(light, dark) if around is None else blocks_of(around), shape)
        if not areas.boxes:
            return []
        looks = _looks(light, dark, areas, coarse=around is not None)
        detector, _ = self._detector, self._recognition  # made here once, not by each thread
        found = self._threads.map(lambda look: detector.find(look.image, look.scale), looks)
        boxes = [
            box
            for look, answer in zip(looks, found, strict=True)
            for each in answer
            for box in areas.find_back(each.moved(0, look.top))
        ]
        return self._tell_markers(light, boxes)

    def _tell_markers(self, image: Grey, boxes: Sequence[Box]) -> list[Text]:
        """The boxes as they are, and, instead of boxes that meet, one around them where that reads as a marker."""
        candidates = [group for group in _groups(boxes) if _may_be_marker(group)]
        if len(candidates) > _MOST_READ:
            candidates = []
        answers = self._threads.map(partial(self._is_marker, image), candidates)
        markers = [box for box, is_marker in zip(candidates, answers, strict=True) if is_marker]
        others = [box for box in boxes if not any(box.meets(marker) for marker in markers)]
        shape = (image.shape[0], image.shape[1])
        return [Text(box, True) for box in markers] + [Text(_lengthened(box, shape), False) for box in others]

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
    def _detector(self) -> Detector:
        return Detector()

    @cached_property
    def _recognition(self) -> Any:
        return open_network(_RECOGNITION)

    @cached_property
    def _alphabet(self) -> list[str]:
        characters = self._recognition.get_modelmeta().custom_metadata_map["character"].splitlines()
        return ["", *characters, " "]


def _looks(light: Grey, dark: Grey, areas: Areas, *, coarse: bool) -> list[_Look]:
    """What is looked at of the areas of a frame: as they are, and evened out."""
    as_it_is, even = areas.lay(light), areas.lay(dark, evened)
    if coarse:
        return [_Look(as_it_is, _COARSE), _Look(even, _COARSE)]
    whole = _Look(as_it_is, 1.0 if as_it_is.size <= _WHOLE else (_SMALLER / as_it_is.size) ** 0.5)
    return [whole, *_stripes(even)]


def _stripes(image: Grey) -> Iterator[_Look]:
    """An image at its own scale, in as many stripes as it needs, which overlap."""
    rows = image.shape[0]
    step = -(-rows // -(-image.size // _STRIPE))
    for top in range(0, rows, step):
        yield _Look(image[top : top + step + _OVERLAP], 1.0, top)


def _lengthened(box: Box, shape: Shape) -> Box:
    """A box of text made longer on both ends, by a letter that may stand there alone."""
    width, height = box.right - box.left, box.bottom - box.top
    more = round(0.6 * min(width, height))
    across, down = (more, 0) if width >= height else (0, more)
    return Box(box.left - across, box.top - down, box.right + across, box.bottom + down).within(shape)


def _groups(boxes: Iterable[Box]) -> list[Box]:
    """The bounding boxes of boxes that meet one another."""
    groups: list[Box] = []
    for box in boxes:
        while met := [group for group in groups if group.meets(box)]:
            groups = [group for group in groups if group not in met]
            box = Box.around([box, *met])
        groups.append(box)
    return groups


def _may_be_marker(box: Box) -> bool:
    width, height = box.right - box.left, box.bottom - box.top
    return min(height, width) >= _SMALLEST and height <= 2 * width and width <= _LONGEST * height
