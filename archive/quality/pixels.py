"""What an image's stored file decodes to, as a hash: the same picture has the same, however it is compressed."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import dcmread

from archive.pixels.dataset import FROM_FILES, decode_frames, decode_stored, find_pixel_data
from archive.pixels.layout import DAMAGED, Cells, Layout, Undecodable, layout_of_dataset, values_of

UNDECODABLE, MISSING = "undecodable", "missing"


@dataclass(frozen=True, slots=True)
class Looked:
    """`pixels` is the SHA-256 of all frames; None for none, or for nothing but one grey. `problem`: '' for none."""

    pixels: bytes | None = None
    problem: str = ""


def look_at(path: Path) -> Looked:
    """Decode every frame of a Part 10 file, of which one frame at a time is in memory.

    Raises OSError of a disk that does not answer, which tells nothing of the image.
    """
    try:
        with open(path, "rb") as file:
            return _look_at(file)
    except (FileNotFoundError, NotADirectoryError):
        return Looked(problem=MISSING)
    except (Undecodable, MemoryError, OSError, *DAMAGED) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a decoder's own has no number
            raise
        return Looked(problem=UNDECODABLE)


def _look_at(file: BinaryIO) -> Looked:
    dataset = dcmread(file, stop_before_pixels=True)
    if dataset.file_meta.get("TransferSyntaxUID") in FROM_FILES:
        length = find_pixel_data(file, dataset)
        if length is None:
            return Looked()
        layout = layout_of_dataset(dataset)
        return _told(layout, decode_stored(file, dataset, layout, length))
    file.seek(0)
    dataset = dcmread(file)
    if "PixelData" not in dataset:
        return Looked()
    layout = layout_of_dataset(dataset)
    return _told(layout, decode_frames(dataset, layout))


def _told(layout: Layout, frames: Iterable[tuple[Cells, Layout]]) -> Looked:
    digest, is_plain = hashlib.sha256(), True
    digest.update(f"{layout.rows} {layout.columns} {layout.samples} {layout.frames}".encode())
    for cells, decoded in frames:
        values = np.ascontiguousarray(values_of(cells, decoded), "<i4")
        is_plain = is_plain and bool((values == values.flat[0]).all())
        digest.update(values.data)
    return Looked(None if is_plain else digest.digest())
