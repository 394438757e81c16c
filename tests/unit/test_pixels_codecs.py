"""Frames decoded and encoded without loss (PS3.5 section 8.2 and annex A)."""

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate

from archive.pixels.codecs import decode, encode
from archive.pixels.dataset import decode_frames, decode_stored, find_pixel_data
from archive.pixels.layout import Layout, Undecodable, layout_of_dataset, raised_values, unpack, values_of
from archive.pixels.syntaxes import CODESTREAMS, DECODED, ENCODED, EXPLICIT, IMPLICIT, JPEG_LS, NATIVE, RLE
from tests.drawn_text import ultrasound
from tests.unit.dicom_files import dataset, part10, pixels

COMPRESSED = [syntax for syntax in ENCODED if syntax not in NATIVE]
RANDOM = np.random.default_rng(1)


def layout(
    rows=13, columns=9, samples=1, allocated=16, stored=12, high=None, signed=False, planar=False
) -> Layout:
    photometric = "RGB" if samples == 3 else "MONOCHROME2"
    high_bit = stored - 1 if high is None else high
    return Layout(rows, columns, samples, allocated, stored, high_bit, signed, photometric, planar, 1)


LAYOUTS = [
    layout(), layout(stored=16), layout(signed=True), layout(stored=16, signed=True), layout(stored=10, high=13),
    layout(allocated=8, stored=8), layout(allocated=8, stored=8, samples=3), layout(1, 1), layout(1, 300, stored=9),
    layout(stored=16, samples=3),
]  # fmt: skip


@pytest.mark.parametrize("syntax", COMPRESSED)
@pytest.mark.parametrize("made", LAYOUTS, ids=str)
def test_nothing_is_lost(syntax, made):
    cells = RANDOM.integers(0, 1 << made.allocated, made.shape).astype(made.dtype)
    data, encoded = encode(cells, made, syntax)
    again, found = decode(data, encoded, syntax)
    assert np.array_equal(values_of(again, found), values_of(cells, made))
    assert encoded.stored in (made.stored, made.allocated)


def test_jpeg_ls_tells_how_many_bits_there_are():
    made = layout(100, 100)
    cells = RANDOM.integers(0, 4096, made.shape).astype(made.dtype)
    data, encoded = encode(cells, made, JPEG_LS)
    assert (data[data.index(b"\xff\xf7") + 4], encoded) == (12, made)


def test_planes_become_pixels():
    """PlanarConfiguration (PS3.3 section C.7.6.3.1.3)."""
    made = layout(1, 2, samples=3, allocated=8, stored=8, planar=True)
    assert decode(b"\1\2\3\4\5\6", made, EXPLICIT)[0].tolist() == [[[1, 3, 5], [2, 4, 6]]]


def test_half_of_the_chroma_is_drawn_out():
    """YBR_FULL_422: Y Y CB CR (PS3.3 section C.7.6.3.1.2)."""
    made = Layout(1, 2, 3, 8, 8, 7, False, "YBR_FULL_422", False, 1)
    cells, decoded = decode(b"\1\2\3\4", made, EXPLICIT)
    assert (cells.tolist(), decoded.photometric) == ([[[1, 3, 4], [2, 3, 4]]], "YBR_FULL")


def test_single_bits_begin_with_the_lowest():
    """PS3.5 section 8.1.1."""
    assert unpack(b"\x05", layout(1, 4, allocated=1, stored=1)).tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize("syntax", sorted(DECODED))
@given(data=st.binary(max_size=300))
@settings(max_examples=30, deadline=None)
def test_garbage_is_undecodable_or_a_frame(syntax, data):
    """Nothing else comes out of a decoder."""
    made = layout(4, 4, allocated=8, stored=8)
    try:
        cells, _ = decode(data, made, syntax)
    except Undecodable:
        return
    assert cells.shape == (4, 4)


@pytest.mark.parametrize("syntax", [syntax for syntax in COMPRESSED if syntax != RLE])
def test_a_codestream_of_another_size_is_not_decoded(syntax):
    """So that it can't claim more memory than the header admits to."""
    made = layout(stored=16)
    data, encoded = encode(np.zeros(made.shape, made.dtype), made, syntax)
    with pytest.raises(Undecodable):
        decode(data, layout(rows=12, stored=16), syntax)
    assert encoded.rows == 13


@pytest.mark.parametrize(
    "change",
    [
        {"Rows": None}, {"Rows": 0}, {"BitsAllocated": 12}, {"BitsStored": 9}, {"HighBit": 8}, {"SamplesPerPixel": 2},
        {"Rows": 65535, "Columns": 65535},
    ],
)  # fmt: skip
def test_headers_that_make_no_frame(change):
    values = pixels(4, 4) | change
    with pytest.raises(Undecodable):
        layout_of_dataset(dataset(**values))


class Reader(io.BytesIO):
    """Knows how much was read at once at most."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.most = max(self.most, len(data))
        return data


def stored(values: np.ndarray, syntax: str) -> bytes:
    """A file of these frames."""
    made = dcmread(io.BytesIO(ultrasound(values)))
    if syntax in CODESTREAMS:
        made.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(each)) for each in values])
        made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = syntax
    if syntax == RLE:
        made.file_meta.TransferSyntaxUID = EXPLICIT
        made.compress(syntax)
    file = io.BytesIO()
    made.save_as(file, implicit_vr=syntax == IMPLICIT, little_endian=True)
    return file.getvalue()


class TestDataSets:
    """Frames of a data set in memory."""

    def test_every_frame_is_decoded(self) -> None:
        values = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6)
        dataset = dcmread(io.BytesIO(ultrasound(values)))
        cells = [cells for cells, _ in decode_frames(dataset, layout_of_dataset(dataset))]
        np.testing.assert_array_equal(np.stack(cells), values)

    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_LS, RLE])
    def test_of_a_file_one_frame_at_a_time_is_in_memory(self, syntax: str) -> None:
        """PS3.5 section 7.1.2 and annex A.4: where Pixel Data lie, and how they are parted."""
        values = np.random.default_rng(1).integers(0, 255, (30, 64, 64), np.uint8)
        file = Reader(stored(values, syntax))
        dataset = dcmread(file, stop_before_pixels=True)
        layout = layout_of_dataset(dataset)
        length = find_pixel_data(file, dataset)
        file.most = 0
        found = np.stack([cells for cells, _ in decode_stored(file, dataset, layout, length)])
        np.testing.assert_array_equal(found, values)
        assert 0 < file.most < values.nbytes / 10

    def test_a_file_may_have_no_pixels(self) -> None:
        file = io.BytesIO(part10(dataset(StudyInstanceUID="1.2")))
        assert find_pixel_data(file, dcmread(file, stop_before_pixels=True)) is None

    def test_a_codestream_that_is_cut_short_is_not(self) -> None:
        values = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
        dataset = dcmread(io.BytesIO(ultrasound(values)))
        stream = bytes(imagecodecs.jpegls_encode(values))
        dataset.PixelData = encapsulate([stream[: len(stream) // 2]])
        dataset.file_meta.TransferSyntaxUID = JPEG_LS
        with pytest.raises(Undecodable, match="cut short"):
            next(decode_frames(dataset, layout_of_dataset(dataset)))

    @pytest.mark.parametrize(("signed", "expected"), [(False, [0, 7, 8, 15]), (True, [8, 15, 0, 7])])
    def test_raised_values_have_no_sign_and_no_bits_beside(self, signed: bool, expected: list[int]) -> None:
        cells = np.array([[0, 7, 8, 15]], np.uint8) * 2 + 0b01000001
        shifted = layout(1, 4, allocated=8, stored=4, high=4, signed=signed)
        np.testing.assert_array_equal(raised_values(cells, shifted), [expected])
