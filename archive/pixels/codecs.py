"""Frames decoded and encoded, by kept libraries under permissive licences.

libjpeg-turbo (JPEG of 8 and 12 bits and lossless), OpenJPEG and OpenJPH by way of imagecodecs, CharLS by way of
imagecodecs and pyjpegls. A codestream's own size is compared with the header before it is decoded.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import numpy.typing as npt

from archive.pixels.codestream import has_adobe_marker, size_of_jpeg, size_of_jpeg_2000
from archive.pixels.layout import Cells, Layout, Undecodable, pack, unpack, values_of
from archive.pixels.syntaxes import (
    DCT,
    DEFLATED_FRAMES,
    ENCAPSULATED,
    HTJ2K_ALL,
    JPEG,
    JPEG_2000_BOTH,
    JPEG_LS_BOTH,
    NATIVE,
    RLE,
)

Values = npt.NDArray[np.integer[Any]]
_TRANSFORMED = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
_RLE_HEADER = 64
_ROOM_FOR_HEADERS = 4096  # cells; pyjpegls takes a codestream to be no longer than what it is of


def decode(frame: bytes, layout: Layout, transfer_syntax_uid: str) -> tuple[Cells, Layout]:
    """The frame's cells, and the layout that they are in: samples pixel by pixel, colour as it was decoded.

    Raises Undecodable.
    """
    if transfer_syntax_uid in NATIVE or transfer_syntax_uid == ENCAPSULATED:
        return unpack(frame, layout), layout.decoded
    try:
        if transfer_syntax_uid == DEFLATED_FRAMES:
            return unpack(_inflate(frame, layout), layout), layout.decoded
        if transfer_syntax_uid == RLE:
            return _decode_rle(frame, layout), layout.decoded
        values, photometric = _decode_codestream(frame, layout, transfer_syntax_uid)
    except (RuntimeError, ValueError, TypeError, MemoryError, OverflowError, LookupError, zlib.error):
        raise Undecodable("the codestream of a frame can't be decoded") from None
    if values.shape != layout.shape:
        raise Undecodable("the codestream of a frame has another size than its header says")
    decoded = replace(layout.decoded, photometric=photometric, high_bit=layout.stored - 1)
    return _to_cells(values, decoded), decoded


def _decode_codestream(frame: bytes, layout: Layout, syntax: str) -> tuple[Values, str]:
    """The values as the codestream holds them, and the photometric interpretation they are in."""
    jpeg_2000 = syntax in JPEG_2000_BOTH or syntax in HTJ2K_ALL
    size = (size_of_jpeg_2000 if jpeg_2000 else size_of_jpeg)(frame)
    if size != (layout.rows, layout.columns, layout.samples):
        raise Undecodable("the codestream of a frame has another size or other channels than its header says")
    if syntax in JPEG:
        return _decode_jpeg(frame, layout, syntax)
    if jpeg_2000:
        transformed = layout.photometric in ("YBR_ICT", "YBR_RCT")
        return imagecodecs.jpeg2k_decode(frame, numthreads=1), "RGB" if transformed else layout.photometric
    if syntax in JPEG_LS_BOTH:
        return imagecodecs.jpegls_decode(frame), layout.decoded.photometric
    raise Undecodable("the stored transfer syntax is not one that is decoded")


def _decode_jpeg(frame: bytes, layout: Layout, syntax: str) -> tuple[Values, str]:
    """Lossy colour comes as RGB; a lossless one has no transform that could be undone without loss."""
    if layout.samples == 1:
        return imagecodecs.jpeg8_decode(frame), layout.photometric
    plain = syntax not in DCT or (layout.photometric not in _TRANSFORMED and not has_adobe_marker(frame))
    if plain:
        values = imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")
        return values, layout.decoded.photometric
    return imagecodecs.jpeg8_decode(frame, outcolorspace="RGB"), "RGB"


def _to_cells(values: Values, layout: Layout) -> Cells:
    """Values of a codestream as cells of the header's width, signed ones with their sign drawn out.

    Whether they are signed the header says, and not the codestream. Raises Undecodable where they are too wide.
    """
    if values.dtype.itemsize > layout.dtype.itemsize:
        narrow = values.astype(layout.dtype)
        if not np.array_equal(narrow.astype(values.dtype), values) and values.dtype.kind == "u":
            raise Undecodable("the codestream of a frame has more bits than BitsAllocated")
        values = narrow
    width = values.dtype.itemsize
    cells = values.view(f"u{width}")
    if values.dtype.kind == "i" and width < layout.dtype.itemsize:
        return values.astype(f"i{layout.dtype.itemsize}").view(layout.dtype)
    cells = cells.astype(layout.dtype, copy=False)
    fits = layout.stored < layout.allocated and values.dtype.kind == "u"
    if layout.signed and fits and int(cells.max(initial=0)) < 1 << layout.stored:
        return values_of(cells, layout).view(layout.dtype)
    return cells


def _decode_rle(frame: bytes, layout: Layout) -> Cells:
    """PS3.5 annex G; samples come plane by plane."""
    length = layout.rows * layout.columns * layout.samples * layout.dtype.itemsize
    data = imagecodecs.dicomrle_decode(frame, layout.dtype, out=length)
    if len(data) < length:
        raise Undecodable("the run lengths of a frame end early")
    return unpack(bytes(data), replace(layout, planar=True, photometric=layout.decoded.photometric))


def _inflate(frame: bytes, layout: Layout) -> bytes:
    """PS3.5 section 8.2.16; no more is inflated than a frame takes."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, (layout.frame_bits + 7) // 8)


def encode(cells: Cells, layout: Layout, transfer_syntax_uid: str) -> tuple[bytes, Layout]:
    """A frame without loss, and the layout that it is in; cells as `decode` gives them.

    Raises Undecodable where the transfer syntax can't hold them.
    """
    if transfer_syntax_uid in NATIVE:
        return pack(cells, layout), layout
    if layout.allocated == 1 or (layout.allocated == 32 and transfer_syntax_uid != RLE):
        raise Undecodable("frames of this BitsAllocated can't be encoded in that transfer syntax")
    if transfer_syntax_uid == RLE:
        return _encode_rle(cells, layout), layout
    encoder = _ENCODERS.get(_family(transfer_syntax_uid))
    if encoder is None:
        raise Undecodable("the transfer syntax is not one that is encoded")
    whole = transfer_syntax_uid in HTJ2K_ALL or (
        transfer_syntax_uid in JPEG_LS_BOTH and cells.size < _ROOM_FOR_HEADERS
    )
    values, encoded = _right_justified(cells, layout, whole=whole)
    try:
        return bytes(encoder(np.ascontiguousarray(values), encoded)), encoded
    except (RuntimeError, ValueError, TypeError, MemoryError):
        raise Undecodable("a frame can't be encoded in that transfer syntax") from None


def _right_justified(cells: Cells, layout: Layout, *, whole: bool) -> tuple[Values, Layout]:
    """Stored values with HighBit at BitsStored - 1; what else lies in the cells is no pixel.

    They are of BitsAllocated bits where that is wanted: OpenJPH takes the depth of its array, pyjpegls has no room for
    a small frame, and header and codestream must agree.
    """
    stored = layout.allocated if whole else layout.stored
    return values_of(cells, layout), replace(layout, stored=stored, high_bit=stored - 1)


def _unsigned(values: Values, layout: Layout) -> Cells:
    """Signed values as the same bits, for codecs that know no sign."""
    cells = values.view(f"u{values.dtype.itemsize}")
    return cells & cells.dtype.type((1 << layout.stored) - 1) if layout.signed else cells


def _encode_jpeg(values: Values, layout: Layout) -> bytes | bytearray:
    colour: dict[str, Any] = {"colorspace": "RGB", "outcolorspace": "RGB"} if layout.samples > 1 else {}
    bits = max(layout.stored, 2)
    return imagecodecs.jpeg8_encode(
        _unsigned(values, layout), lossless=True, predictor=1, bitspersample=bits, **colour
    )


def _encode_jpeg_ls(values: Values, layout: Layout) -> bytes | bytearray:
    """By pyjpegls, which can tell how many bits there are; where they fill the cells, by imagecodecs."""
    if layout.stored == layout.allocated:
        cells = _unsigned(values, layout)
        return imagecodecs.jpegls_encode(cells, level=0, out=2 * cells.nbytes + 4096)
    planar = {"planar_configuration": 0} if layout.samples > 1 else {}
    return jpeg_ls.encode_pixel_data(
        _unsigned(values, layout).tobytes(),
        rows=layout.rows,
        columns=layout.columns,
        samples_per_pixel=layout.samples,
        bits_stored=max(layout.stored, 2),
        **planar,
    )


def _encode_jpeg_2000(values: Values, layout: Layout) -> bytes | bytearray:
    return imagecodecs.jpeg2k_encode(
        values,
        level=0,
        codecformat="j2k",
        reversible=True,
        bitspersample=layout.stored,
        mct=False,
        numthreads=1,
    )


def _encode_htj2k(values: Values, layout: Layout) -> bytes | bytearray:
    return imagecodecs.htj2k_encode(values, reversible=True, rgb=False, tlm=True)


def _encode_rle(cells: Cells, layout: Layout) -> bytes:
    """A segment for each byte of each sample, the most significant first; every row by itself (PS3.5 annex G)."""
    width = layout.dtype.itemsize
    planes = cells.reshape(layout.rows, layout.columns, layout.samples).view(np.uint8)
    segments = []
    for sample in range(layout.samples):
        for byte in reversed(range(width)):
            plane = planes[:, :, sample * width + byte].tobytes()
            rows = np.frombuffer(plane, np.uint8).reshape(layout.rows, layout.columns)
            segment = bytes(imagecodecs.packbits_encode(rows))
            segments.append(segment + b"\0" * (len(segment) % 2))
    starts = np.cumsum([_RLE_HEADER, *map(len, segments[:-1])])
    header = np.zeros(16, "<u4")
    header[0], header[1 : len(segments) + 1] = len(segments), starts
    return b"".join([header.tobytes(), *segments])


def _family(transfer_syntax_uid: str) -> str:
    families = {"jpeg": JPEG - DCT, "jls": JPEG_LS_BOTH, "j2k": JPEG_2000_BOTH, "htj2k": HTJ2K_ALL}
    return next((name for name, uids in families.items() if transfer_syntax_uid in uids), "")


_ENCODERS: dict[str, Callable[[Values, Layout], bytes | bytearray]] = {
    "jpeg": _encode_jpeg,
    "jls": _encode_jpeg_ls,
    "j2k": _encode_jpeg_2000,
    "htj2k": _encode_htj2k,
}
