"""Where frames lie in a file (PS3.5 section A.4)."""

import json

import pytest
from pydicom.uid import JPEGBaseline8Bit

from archive.dicom_json import read_instance
from archive.errors import NotAcceptable, NotFound
from gateway.body import FileRange
from gateway.frames import encapsulated_frames, native_frames, pick
from tests.unit.dicom_files import compressed, dataset, part10, pixels


def store(tmp_path, made, syntax="1.2.840.10008.1.2.1"):
    path = tmp_path / "instance"
    path.write_bytes(part10(made, syntax))
    return path, read_instance(path.read_bytes())


def content(frames) -> list[bytes]:
    return [
        b"".join(part.path.read_bytes()[part.offset : part.offset + part.length] for part in frame)
        for frame in frames
    ]


def native(tmp_path, **values):
    path, record = store(tmp_path, dataset(**values))
    attributes = json.loads(record.metadata.replace(b"\0", b""))
    return content(native_frames(FileRange(path, record.pixel_offset, record.pixel_length), attributes))


def encapsulated(tmp_path, fragments, *, table):
    path, record = store(tmp_path, dataset(**compressed(fragments, table=table)), JPEGBaseline8Bit)
    return content(encapsulated_frames(path, record.pixel_offset, record.number_of_frames))


class TestNative:
    """PS3.3 section C.7.6.3.1."""

    @pytest.mark.parametrize(("rows", "columns", "bits"), [(4, 5, 8), (3, 3, 8), (4, 5, 16), (8, 8, 1)])
    def test_each_frame_is_its_pixels(self, tmp_path, rows, columns, bits):
        size = rows * columns * bits // 8
        frames = native(tmp_path, **pixels(rows, columns, frames=3, bits=bits))
        assert frames == [bytes([number]) * size for number in (1, 2, 3)]

    def test_the_byte_that_pads_is_no_pixel(self, tmp_path):
        assert native(tmp_path, **pixels(3, 3)) == [b"\1" * 9]

    def test_colour_has_its_samples(self, tmp_path):
        values = pixels(2, 2) | {
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
            "PixelData": b"\1" * 12,
        }
        assert native(tmp_path, **values) == [b"\1" * 12]

    def test_frames_that_share_a_byte_are_not_cut(self, tmp_path):
        with pytest.raises(NotAcceptable):
            native(
                tmp_path,
                **(pixels(3, 3, frames=2) | {"BitsAllocated": 1, "BitsStored": 1, "PixelData": b"\1" * 4}),
            )

    def test_pixels_that_were_inflated_are_cut_alike(self):
        found = read_instance(part10(dataset(**pixels(2, 4, frames=2))))
        attributes = json.loads(found.metadata.replace(b"\0", b""))
        assert native_frames(b"\1" * 8 + b"\2" * 8, attributes) == [[b"\1" * 8], [b"\2" * 8]]

    def test_what_is_not_there_is_no_frame(self, tmp_path):
        assert len(native(tmp_path, **(pixels(4, 4, frames=2) | {"PixelData": b"\1" * 16}))) == 1


class TestEncapsulated:
    @pytest.mark.parametrize("table", [True, False])
    def test_a_fragment_each(self, tmp_path, table):
        frames = [[b"\xff\xd8ab"], [b"\xff\xd8cdef"]]
        assert encapsulated(tmp_path, frames, table=table) == [b"\xff\xd8ab", b"\xff\xd8cdef"]

    @pytest.mark.parametrize("table", [True, False])
    def test_several_fragments_each_by_table_or_by_where_codestreams_begin(self, tmp_path, table):
        frames = [[b"\xff\xd8abcd", b"efghij"], [b"\xff\xd8klmn", b"opqrst"]]
        assert encapsulated(tmp_path, frames, table=table) == [b"".join(frame) for frame in frames]

    def test_a_fragment_that_begins_with_zeros_begins_no_frame(self, tmp_path):
        frames = [[b"\xff\xd8abcd", b"\0\0ghij"], [b"\xff\xd8klmn", b"\0\0qrst"]]
        assert encapsulated(tmp_path, frames, table=False) == [b"".join(frame) for frame in frames]

    def test_all_fragments_are_the_one_frame(self, tmp_path):
        assert encapsulated(tmp_path, [[b"abcd", b"efgh"]], table=False) == [b"abcdefgh"]

    def test_frames_that_can_not_be_told_apart_are_not_guessed(self, tmp_path):
        frames = [[b"abcdef", b"ghijkl"], [b"mnopqr", b"stuvwx"]]
        with pytest.raises(NotAcceptable):
            encapsulated(tmp_path, frames, table=False)

    def test_a_file_that_is_gone(self, tmp_path):
        with pytest.raises(NotFound):
            encapsulated_frames(tmp_path / "none", 0, 1)


def test_frames_are_picked_in_the_order_asked():
    assert pick(["a", "b", "c"], (3, 1, 3)) == ["c", "a", "c"]


def test_a_number_beyond_the_last_is_not_found():
    """PS3.18 table 10.4.3-1."""
    with pytest.raises(NotFound):
        pick(["a"], (1, 2))
