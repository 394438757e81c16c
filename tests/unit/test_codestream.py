"""Frames lose what carries no pixel, and not a pixel (T.81 Annex B, T.87 Annex C, ISO/IEC 15444-1 Annex A)."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deidentification import codestream
from deidentification.pieces import join
from deidentification.refusal import Refused
from tests.unit import frames

HIDDEN = b"CaNaRy^hidden"
MARKED = [syntax for syntax in frames.SYNTAXES if syntax != frames.JPEG_XL]


def clean(frame: bytes, syntax: str, size: int = 0) -> bytes:
    data = b"xyz" + frame
    return join(codestream.clean(data, 3, len(data), syntax, size), data)


def segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def hide(frame: bytes, syntax: str) -> bytes:
    """The frame with canaries wherever its standard allows them."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        size = 4 + struct.unpack(">H", frame[4:6])[0]
        return frame[:size] + segment(0x64, b"\0\1" + HIDDEN) + frame[size:] + HIDDEN
    hidden = [segment(code, HIDDEN) for code in (0xFE, *range(0xE0, 0xF0))]
    return frame[:2] + b"".join(hidden) + b"\xff" + frame[2:] + HIDDEN


@pytest.mark.parametrize("syntax", MARKED)
@pytest.mark.parametrize("image", [frames.IMAGE, frames.COLOURED], ids=["grey", "colour"])
class TestEveryCodec:
    def test_nothing_is_hidden_and_no_pixel_changes(self, syntax: str, image: object) -> None:
        frame = frames.encode(image, syntax)
        cleaned = clean(hide(frame, syntax), syntax)
        assert b"CaNaRy" not in cleaned
        assert (frames.decode(cleaned, syntax) == frames.decode(frame, syntax)).all()

    def test_once_cleaned_it_stays(self, syntax: str, image: object) -> None:
        cleaned = clean(hide(frames.encode(image, syntax), syntax), syntax)
        assert clean(cleaned, syntax) == cleaned

    def test_a_frame_without_end_gets_one(self, syntax: str, image: object) -> None:
        cleaned = clean(frames.encode(image, syntax), syntax)
        assert clean(cleaned[:-2], syntax) == cleaned


class TestJpeg:
    FRAME = frames.encode(frames.COLOURED, frames.JPEG)

    def test_colour_transforms_stay(self) -> None:
        """Adobe's segment says whether the components are RGB; JFIF's that they are not."""
        adobe = segment(0xEE, b"Adobe\0\x64\x80\0\0\0\0")
        cleaned = clean(self.FRAME[:2] + adobe + self.FRAME[20:], frames.JPEG)
        assert cleaned[2:18] == segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
        assert b"JFIF" in clean(self.FRAME, frames.JPEG)

    def test_thumbnail_goes(self) -> None:
        jfif = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\4\1" + HIDDEN[:12])
        assert b"CaNaRy" not in clean(self.FRAME[:2] + jfif + self.FRAME[20:], frames.JPEG)

    def test_second_image_behind_the_first_goes(self) -> None:
        assert clean(self.FRAME + self.FRAME, frames.JPEG) == clean(self.FRAME, frames.JPEG)

    @pytest.mark.parametrize("code", [0xDB, 0xC4, 0xDD, 0xC0])
    def test_segment_longer_than_its_content_is_refused(self, code: int) -> None:
        at = self.FRAME.index(bytes([0xFF, code])) if code != 0xDD else 2
        length = struct.unpack(">H", self.FRAME[at + 2 : at + 4])[0] if code != 0xDD else 0
        longer = segment(code, self.FRAME[at + 4 : at + 2 + length] + HIDDEN)
        with pytest.raises(Refused, match="bad-codestream"):
            clean(self.FRAME[:at] + longer + self.FRAME[at + 2 + length :], frames.JPEG)

    def test_comment_between_scans_goes(self) -> None:
        progressive = b"\xff\xd8" + b"".join(
            segment(0xDA, b"\1\1\0\0\x3f\0") + bytes(8) + segment(0xFE, HIDDEN) for _ in range(3)
        )
        cleaned = clean(progressive + b"\xff\xd9", frames.JPEG)
        assert b"CaNaRy" not in cleaned
        assert cleaned.count(bytes(8)) == 3

    @pytest.mark.parametrize(
        "frame", [b"", b"\xff", b"MUSTERMANN", b"\xff\xd8MUSTERMANN", b"\xff\xd8\xff\xfe"]
    )
    def test_what_is_no_jpeg_is_refused(self, frame: bytes) -> None:
        with pytest.raises(Refused):
            clean(frame, frames.JPEG)


class TestJpeg2000:
    FRAME = frames.encode(frames.IMAGE, frames.JPEG_2000)

    def test_comment_in_a_tile_part(self) -> None:
        """A.4.2: the length of the tile-part follows; A.7.1: an index of lengths that would lie goes."""
        frame = clean(self.FRAME, frames.JPEG_2000)
        comment, index = segment(0x64, b"\0\1" + HIDDEN), segment(0x55, b"\0\x40" + bytes(4))
        tile, data = frame.index(b"\xff\x90"), frame.index(b"\xff\x93")
        length = struct.unpack(">L", frame[tile + 6 : tile + 10])[0]
        start = frame[tile : tile + 6] + struct.pack(">L", length + len(comment)) + frame[tile + 10 : data]
        longer = frame[:tile] + index + start + comment + frame[data:]
        assert clean(longer, frames.JPEG_2000) == frame

    def test_last_tile_part_without_length(self) -> None:
        frame = clean(self.FRAME, frames.JPEG_2000)
        tile = frame.index(b"\xff\x90")
        open_ended = frame[: tile + 6] + bytes(4) + frame[tile + 10 :]
        assert clean(open_ended + HIDDEN, frames.JPEG_2000) == open_ended

    def test_bytes_where_a_tile_part_is_due(self) -> None:
        with pytest.raises(Refused, match="bad-codestream"):
            clean(clean(self.FRAME, frames.JPEG_2000)[:-2] + HIDDEN, frames.JPEG_2000)


class TestOthers:
    def test_rle_header(self) -> None:
        """PS3.5 G.5."""
        frame = struct.pack("<LL", 1, 64) + HIDDEN.ljust(56, b"x") + b"\0a"
        assert clean(frame, frames.RLE) == struct.pack("<LL", 1, 64) + bytes(56) + b"\0a"

    def test_uncompressed(self) -> None:
        """PS3.5 A.4.11."""
        assert clean(b"abcdef" + HIDDEN, frames.UNCOMPRESSED, 6) == b"abcdef"

    def test_deflated(self) -> None:
        """PS3.5 A.4.12."""
        stream = zlib.compressobj(6, zlib.DEFLATED, -15)
        frame = stream.compress(b"abcdef") + stream.flush()
        assert clean(frame + HIDDEN, frames.DEFLATED_FRAMES, 6) == frame

    @pytest.mark.parametrize("size", [4, 8])
    def test_deflated_of_another_length(self, size: int) -> None:
        stream = zlib.compressobj(6, zlib.DEFLATED, -15)
        with pytest.raises(Refused):
            clean(stream.compress(b"abcdef") + stream.flush(), frames.DEFLATED_FRAMES, size)

    def test_jpeg_xl_boxes(self) -> None:
        """ISO/IEC 18181-2."""
        codestream_ = frames.encode(frames.IMAGE, frames.JPEG_XL)
        start = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
        bare = codestream_ if codestream_[:2] == b"\xff\x0a" else b"\xff\x0a"
        boxes = start + box(b"jxlc", bare)
        assert clean(start + box(b"xml ", HIDDEN) + box(b"jxlc", bare), frames.JPEG_XL) == boxes


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content) + 8) + kind + content


@given(st.binary(max_size=200), st.sampled_from([*frames.SYNTAXES, frames.RLE, frames.DEFLATED_FRAMES]))
def test_any_bytes_are_cleaned_or_refused(frame: bytes, syntax: str) -> None:
    start = {frames.JPEG_2000: b"\xff\x4f\xff\x51"}.get(syntax, b"\xff\xd8")
    for each in (frame, start + frame):
        try:
            cleaned = clean(each, syntax, 8)
        except Refused:
            continue
        assert clean(cleaned, syntax, 8) == cleaned
