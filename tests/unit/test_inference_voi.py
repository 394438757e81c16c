"""Stored values to grey as the header says (PS3.3 C.11.1, C.11.2, C.11.6), against pydicom's own way."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from inference.errors import PackageError
from inference.instance import read_instance
from inference.picture import Picture
from inference.pixels import read_picture
from inference.preprocess import STEPS
from tests.unit.mammograms import changed, small_exam

PART = small_exam()[0]
Greys = npt.NDArray[np.floating[Any]]


def greys(part: bytes | Path) -> Greys:
    return STEPS["voi"](read_picture(read_instance(part), ("L", "CC")), {}).pixels


def with_pixels(values: npt.NDArray[Any], bits: int, **attributes: Any) -> bytes:
    """An instance of these stored values."""

    def write(dataset: FileDataset) -> None:
        dataset.Rows, dataset.Columns = values.shape
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
        dataset.PixelRepresentation = int(np.issubdtype(values.dtype, np.signedinteger))
        dataset.PixelData = values.astype(f"<{values.dtype.kind}2").tobytes()
        for keyword in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "RescaleType"):
            delattr(dataset, keyword)
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    return changed(PART, write)


def plain_greys(part: bytes | Path) -> Greys:
    """What pydicom says, its range of output scaled to 0 to 1."""
    dataset = dcmread(io.BytesIO(part) if isinstance(part, bytes) else part)
    values = apply_modality_lut(dataset.pixel_array, dataset)
    shown = apply_voi_lut(values, dataset, prefer_lut=True).astype(np.float64)
    if "VOILUTSequence" in dataset:
        low, high = 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    else:
        low, high = (float(one) for one in ends(dataset))
    grey = (shown - low) / (high - low)
    return 1 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def ends(dataset: Dataset) -> tuple[float, float]:
    """What the Modality LUT makes of the lowest and the highest stored value."""
    if "ModalityLUTSequence" in dataset:
        return 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low = -(1 << (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
    span = (1 << dataset.BitsStored) - 1
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    return low * slope + intercept, (low + span) * slope + intercept


def lut(first: int, bits: int, data: list[int]) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(data), first, bits])
    item.add_new("LUTData", "US", data)
    return [item]


def ramp(bits: int, signed: bool) -> npt.NDArray[Any]:
    """Every stored value of so many bits, in rows of 16."""
    values = np.arange(1 << bits).reshape(-1, 16)
    return (values - (1 << (bits - 1))).astype(np.int16) if signed else values.astype(np.uint16)


@pytest.mark.filterwarnings("ignore:overflow")  # pydicom's sigmoid
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
class TestAgainstPydicom:
    @settings(max_examples=20, deadline=None)
    @given(
        bits=st.sampled_from([8, 10, 12, 14]),
        function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
        center=st.integers(-3000, 20000),
        width=st.integers(2, 20000),
        slope=st.sampled_from([1, 0.5, 2.25]),
        intercept=st.integers(-1024, 1024),
    )
    def test_a_window(
        self, photometric: str, signed: bool, bits: int, function: str, center: int, width: int, slope: float,
        intercept: int,
    ) -> None:  # fmt: skip
        part = with_pixels(
            ramp(bits, signed), bits, PhotometricInterpretation=photometric, PresentationLUTShape="",
            WindowCenter=[center, 7], WindowWidth=[width, 7], VOILUTFunction=function,
            RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US",
        )  # fmt: skip
        np.testing.assert_allclose(greys(part), plain_greys(part), atol=1e-5)

    @settings(max_examples=20, deadline=None)
    @given(
        bits=st.sampled_from([8, 12]),
        first=st.integers(0, 3000),
        out=st.sampled_from([10, 12, 16]),
        data=st.lists(st.integers(0, 1023), min_size=2, max_size=300),
    )
    def test_a_voi_lut(
        self, photometric: str, signed: bool, bits: int, first: int, out: int, data: list[int]
    ) -> None:
        part = with_pixels(
            ramp(bits, signed), bits, PhotometricInterpretation=photometric, PresentationLUTShape="",
            VOILUTSequence=lut(first, out, data), WindowCenter=3, WindowWidth=9,
        )  # fmt: skip
        np.testing.assert_allclose(greys(part), plain_greys(part), atol=1e-5)

    def test_a_modality_lut_before_a_window(self, photometric: str, signed: bool) -> None:
        part = with_pixels(
            ramp(8, signed), 8, PhotometricInterpretation=photometric, PresentationLUTShape="",
            ModalityLUTSequence=lut(20, 16, list(range(4000, 0, -40))), WindowCenter=1500, WindowWidth=2000,
        )  # fmt: skip
        np.testing.assert_allclose(greys(part), plain_greys(part), atol=1e-5)


class TestHeader:
    def test_the_real_mammogram(self, shared: Path) -> None:
        path = shared / "data" / "dicom" / "mg" / "siemens_mammomat_lcc_jpeg_lossless.dcm"
        np.testing.assert_allclose(greys(path), plain_greys(path), atol=1e-5)

    def test_without_a_voi_the_stored_range_is_shown(self) -> None:
        np.testing.assert_allclose(greys(with_pixels(ramp(10, False), 10))[-1, -1], 1)

    @pytest.mark.parametrize("width", [0, -5])
    def test_a_window_without_meaning_is_none(self, width: int) -> None:
        part = with_pixels(ramp(8, False), 8, WindowCenter=3, WindowWidth=width)
        np.testing.assert_array_equal(greys(part), greys(with_pixels(ramp(8, False), 8)))

    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_presentation_lut_shape_tells_the_sense(self, photometric: str) -> None:
        """PS3.3 C.11.6: INVERSE, the least value is white."""
        part = with_pixels(
            ramp(8, False), 8, PhotometricInterpretation=photometric, PresentationLUTShape="INVERSE"
        )
        assert greys(part)[0, 0] == 1

    def test_a_picture_of_no_header_takes_its_whole_range(self) -> None:
        picture = Picture(read_instance(PART), ("L", "CC"), np.array([[0, 255]], np.uint8), None)
        np.testing.assert_array_equal(STEPS["voi"](picture, {}).pixels, [[0, 1]])

    def test_grey_values_can_not_be_shown_twice(self) -> None:
        picture = Picture(read_instance(PART), ("L", "CC"), np.zeros((2, 2), np.float32), None)
        with pytest.raises(PackageError, match="voi"):
            STEPS["voi"](picture, {})
