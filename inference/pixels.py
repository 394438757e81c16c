"""The pixels of greyscale instances, as a model takes them."""

from collections.abc import Iterator

from pydicom.dataset import FileDataset

from archive.pixels.dataset import decode_frames
from archive.pixels.layout import Cells, Layout, Undecodable, layout_of_dataset, raised_values
from inference.errors import ReadingFailed
from inference.instance import Instance, read_dataset, readable
from inference.picture import Picture, View
from inference.voi import read_voi

MAX_PIXELS = 120_000_000
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def decode(dataset: FileDataset) -> Cells:
    """The stored values of a single-frame greyscale image in MONOCHROME2 sense: (rows, columns), unsigned.

    Signed values are raised by half of their range, MONOCHROME1 is inverted; no modality or VOI LUT is
    applied. Raises ReadingFailed.
    """
    with readable():
        layout = _layout(dataset)
        if layout.frames != 1:
            raise ReadingFailed("an image has several frames: NumberOfFrames")
        return next(_frames(dataset, layout))


def read_pictures(instance: Instance, view: View) -> Iterator[Picture]:
    """Every frame of an instance in turn, decoded as by `decode`, with its header's VOI. Raises ReadingFailed."""
    with readable():
        dataset = read_dataset(instance.part, pixels=True)
        layout = _layout(dataset)
        frames = _frames(dataset, layout)
    for frame in range(1, layout.frames + 1):
        with readable():
            cells, voi = next(frames), read_voi(dataset, layout, frame)
        yield Picture(instance, view, cells, instance.spacing, frame=frame, voi=voi)


def read_picture(instance: Instance, view: View) -> Picture:
    """The only frame of an instance. Raises ReadingFailed, also where it has several."""
    if instance.number_of_frames != 1:
        raise ReadingFailed("an image has several frames: NumberOfFrames")
    return next(read_pictures(instance, view))


def _frames(dataset: FileDataset, layout: Layout) -> Iterator[Cells]:
    try:
        for cells, decoded in decode_frames(dataset, layout):
            values = raised_values(cells, decoded)
            highest = values.dtype.type((1 << decoded.stored) - 1)
            yield highest - values if layout.photometric == "MONOCHROME1" else values
    except Undecodable as error:
        raise ReadingFailed(f"an image can't be decoded: {error}") from error


def _layout(dataset: FileDataset) -> Layout:
    """Raises ReadingFailed for what is not greyscale of 8 or 16 bits with pixels of a bearable size."""
    try:
        layout = layout_of_dataset(dataset)
    except Undecodable as error:
        raise ReadingFailed(f"an image can't be decoded: {error}") from error
    if layout.samples != 1 or layout.photometric not in MONOCHROME:
        raise ReadingFailed("an image is not greyscale: PhotometricInterpretation or SamplesPerPixel")
    if layout.rows * layout.columns > MAX_PIXELS:
        raise ReadingFailed("an image is too large: Rows, Columns")
    if layout.allocated not in (8, 16):
        raise ReadingFailed("an image has an unknown layout: BitsAllocated")
    if "PixelData" not in dataset:
        raise ReadingFailed("an instance has no PixelData")
    return layout
