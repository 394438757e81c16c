"""The pixels of a single-frame greyscale instance, as a model takes them."""

from pydicom.dataset import FileDataset

from archive.pixels.dataset import decode_frames
from archive.pixels.layout import Cells, Layout, Undecodable, layout_of_dataset, raised_values
from inference.errors import ReadingFailed
from inference.instance import readable

MAX_PIXELS = 120_000_000
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")


def decode(dataset: FileDataset) -> Cells:
    """The stored values of a single-frame greyscale image in MONOCHROME2 sense: (rows, columns), unsigned.

    Signed values are raised by half of their range, MONOCHROME1 is inverted; no modality or VOI LUT is
    applied. Raises ReadingFailed.
    """
    try:
        with readable():
            layout = layout_of_dataset(dataset)
            _require_one_grey_frame(layout)
            if "PixelData" not in dataset:
                raise ReadingFailed("an instance has no PixelData")
            cells, decoded = next(decode_frames(dataset, layout))
    except Undecodable as error:
        raise ReadingFailed(f"an image can't be decoded: {error}") from error
    values = raised_values(cells, decoded)
    return (
        values.dtype.type((1 << decoded.stored) - 1) - values
        if layout.photometric == "MONOCHROME1"
        else values
    )


def _require_one_grey_frame(layout: Layout) -> None:
    if layout.samples != 1 or layout.photometric not in MONOCHROME:
        raise ReadingFailed("an image is not greyscale: PhotometricInterpretation or SamplesPerPixel")
    if layout.frames != 1:
        raise ReadingFailed("an image has several frames: NumberOfFrames")
    if layout.rows * layout.columns > MAX_PIXELS:
        raise ReadingFailed("an image is too large: Rows, Columns")
    if layout.allocated not in (8, 16):
        raise ReadingFailed("an image has an unknown layout: BitsAllocated")
