"""The frames of a data set that is in memory, decoded."""

from collections.abc import Iterator

from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames

from archive.pixels.codecs import decode
from archive.pixels.codestream import is_cut_short
from archive.pixels.layout import DAMAGED, Cells, Layout, Undecodable
from archive.pixels.source import native_spans
from archive.pixels.syntaxes import CODESTREAMS, NATIVE


def decode_frames(dataset: FileDataset, layout: Layout) -> Iterator[tuple[Cells, Layout]]:
    """Each frame's cells, and the layout that they are in; `layout` is what the header tells.

    Raises Undecodable, also for a codestream that is cut short.
    """
    syntax, count = str(dataset.file_meta.TransferSyntaxUID), 0
    for count, frame in enumerate(_split(dataset, layout, syntax), start=1):
        if syntax in CODESTREAMS and is_cut_short(frame):
            raise Undecodable("the codestream of a frame is cut short")
        yield decode(frame, layout, syntax)
        if count == layout.frames:
            return
    raise Undecodable("there are fewer frames than NumberOfFrames says")


def _split(dataset: FileDataset, layout: Layout, syntax: str) -> Iterator[bytes]:
    content = dataset.PixelData
    if syntax in NATIVE:
        spans = native_spans(0, len(content), layout)
        if len(spans) < layout.frames:
            raise Undecodable("Pixel Data is shorter than Rows, Columns and NumberOfFrames say")
        yield from (content[start : start + length] for ((start, length),) in spans)
        return
    try:
        yield from generate_frames(content, number_of_frames=layout.frames)
    except DAMAGED:
        raise Undecodable("the encapsulated Pixel Data can't be taken apart") from None
