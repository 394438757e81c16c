"""The bytes of an instance whose pixels may name somebody → the same instance with the text masked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from inference.cleaning.detection import Scatter
from inference.cleaning.frames import Frames, decode, encode, fill_of, looks
from inference.cleaning.mask import Box, Mask, boxes_of, covered, outside_of_regions
from inference.cleaning.text import Finder
from inference.cleaning.unsure import Doubt, Unsure
from inference.errors import ReadingFailed
from inference.instance import read_dataset, readable

_MOST = 0.5  # of the picture; where more would be masked, it is a page of text and no picture
_CHECKS = 3  # looks at what was masked; the last must find nothing
_CHECKED = 5  # frames of a multi-frame image that are looked at again
_BLUR = 8  # pixels around a view marker in which a second look may see a part of it


class Cleaned(NamedTuple):
    """An instance whose text is masked, and where; `cover` makes the same bytes of the boxes."""

    instance: bytes
    boxes: list[Box]


def clean(instance: bytes, finder: Finder) -> Cleaned:
    """Mask what `finder` finds in a Part 10 instance, but view markers; what is masked is looked at again.

    What lies outside of stated ultrasound regions is masked without looking. A text in one frame is masked in all.
    Raises Unsure where a person has to look.
    """
    with _understood():
        dataset = read_dataset(instance, pixels=True)
        frames = decode(dataset)
        beside = outside_of_regions(dataset, frames.shape)
    fill(frames, beside)
    texts = _find_all(frames, finder, beside)
    looked_at = beside.size - np.count_nonzero(beside)
    if np.count_nonzero(texts > beside) > _MOST * looked_at:
        raise Unsure(Doubt.TOO_MUCH_TEXT)
    fill(frames, texts)
    with _understood():
        return Cleaned(encode(dataset, frames), boxes_of(beside | texts))


def cover(instance: bytes, boxes: Sequence[Box]) -> bytes:
    """Mask boxes in every frame. Raises Unsure where the pixels are not understood."""
    with _understood():
        dataset = read_dataset(instance, pixels=True)
        frames = decode(dataset)
        fill(frames, covered([box.within(frames.shape) for box in boxes], frames.shape))
        return encode(dataset, frames)


def fill(frames: Frames, mask: Mask) -> None:
    """Set the masked pixels of every frame to the darkest of that frame."""
    for number in range(len(frames.values) if mask.any() else 0):
        np.copyto(frames.values[number], fill_of(frames, number), where=mask[..., None])


def _find_all(frames: Frames, finder: Finder, beside: Mask) -> Mask:
    """Where text is, looked for until none is found any more. Raises Unsure where that comes to no end."""
    texts = np.zeros(frames.shape, np.bool_)
    markers: list[Box] = []
    for number in range(len(frames.values)):
        found = finder.find(*looks(frames, number))
        kept = [text.box for text in found if text.is_marker]
        texts |= covered((text.box for text in found if not text.is_marker), frames.shape, kept)
        markers += kept
    spared = covered([box.grown(_BLUR, frames.shape) for box in markers], frames.shape)
    for _ in range(_CHECKS):
        more = _find_again(frames, finder, texts, beside) > (texts | spared)
        if not more.any():
            return texts
        texts |= more
    raise Unsure(Doubt.TEXT_REMAINS)


def _find_again(frames: Frames, finder: Finder, texts: Mask, beside: Mask) -> Mask:
    """Where text is in some of the frames near what is masked, which is made to look like its surroundings."""
    found = np.zeros(frames.shape, np.bool_)
    if not texts.any():
        return found
    last, unseen = len(frames.values) - 1, Scatter(texts | beside)
    for number in sorted({round(step * last / (_CHECKED - 1)) for step in range(_CHECKED)}):
        light, dark = map(unseen.over, looks(frames, number))
        remains = finder.find(light, dark, texts)
        found |= covered((text.box for text in remains if not text.is_marker), frames.shape)
    return found


@contextmanager
def _understood() -> Iterator[None]:
    """Leave to a person what a damaged dataset makes its readers raise."""
    try:
        with readable():
            yield
    except ReadingFailed as error:
        raise Unsure(Doubt.PIXELS_UNREADABLE) from error
