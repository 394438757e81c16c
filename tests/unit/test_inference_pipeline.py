"""From a study's instances to findings: the published answer, every encoding, and every way to fail."""

import io
from datetime import UTC, datetime
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, JPEG2000Lossless, JPEGBaseline8Bit

from archive.findings import Findings, NotApplicable
from inference import installed
from inference.demo import demo_exam
from inference.errors import ReadingFailed
from inference.nyu import import_histogram_model
from inference.package import load
from inference.pipeline import read_study
from inference.pixels import decode
from inference.session import Session, open_session
from tests.unit.mammograms import ENCODERS, changed, encoded, small_exam, with_codestream, with_values

PUBLISHED = (0.0819444, 0.78304, 0.133503, 0.00151265)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(load(Path(installed.__file__).parent / "models" / "phantom_density"), threads=1)


@pytest.fixture(scope="module")
def exam() -> list[bytes]:
    return small_exam()


def probabilities(parts: list[bytes], session: Session) -> list[float]:
    findings = read_study(parts, session)
    assert isinstance(findings, Findings), findings
    return [one.probability for one in findings.evaluations[0].likelihoods]


def failure(parts: list[bytes], session: Session) -> str:
    with pytest.raises(ReadingFailed) as caught:
        read_study(parts, session)
    return str(caught.value)


class TestPublishedAnswer:
    """nyukat/breast_density_classifier publishes what its model says of its sample exam."""

    def test_it_is_met_from_the_dicom_pixels(self, shared: Path, tmp_path: Path) -> None:
        folder = shared / "data" / "nyu-density"
        package = import_histogram_model(folder / "histogram_model.p", tmp_path / "package")
        answer = probabilities(demo_exam(folder), open_session(package, threads=1))
        np.testing.assert_allclose(answer, PUBLISHED, atol=0.002)


class TestFindings:
    def test_the_answer_is_the_phantoms(self, exam: list[bytes], session: Session) -> None:
        findings = read_study(exam, session, created_at=NOW)
        assert isinstance(findings, Findings)
        assert findings.evaluations[0].label == "b"

    def test_the_same_study_gives_the_same_findings(self, exam: list[bytes], session: Session) -> None:
        assert read_study(exam, session, created_at=NOW) == read_study(exam[::-1], session, created_at=NOW)

    def test_paths_serve_as_well_as_bytes(self, exam: list[bytes], session: Session, tmp_path: Path) -> None:
        for index, part in enumerate(exam):
            (tmp_path / str(index)).write_bytes(part)
        paths = [tmp_path / str(index) for index in range(4)]
        assert read_study(paths, session, created_at=NOW) == read_study(exam, session, created_at=NOW)

    def test_the_sources_are_in_the_order_of_the_views(self, exam: list[bytes], session: Session) -> None:
        findings = read_study(exam[::-1], session)
        assert isinstance(findings, Findings)
        views = [f"{one.laterality} {one.view}" for one in findings.sources]
        assert views == ["L CC", "R CC", "L MLO", "R MLO"]

    def test_a_missing_view_is_no_failure(self, exam: list[bytes], session: Session) -> None:
        assert read_study(exam[:3], session) == NotApplicable("R MLO is missing")

    def test_no_instances_is_no_failure(self, session: Session) -> None:
        assert isinstance(read_study([], session), NotApplicable)


class TestEncodings:
    """The same pixels however they are encoded (PS3.5 section 8 and annex A)."""

    @pytest.mark.parametrize("encoder", [*ENCODERS, "RLE"])
    def test_compressed_without_loss(self, exam: list[bytes], encoder: str) -> None:
        plain, compressed = (dcmread(io.BytesIO(part)) for part in (exam[0], encoded(exam[0], encoder)))
        np.testing.assert_array_equal(decode(compressed), decode(plain))

    def test_jpeg_of_12_bits(self, exam: list[bytes]) -> None:
        plain = decode(dcmread(io.BytesIO(exam[0])))
        stream = imagecodecs.jpeg8_encode(plain, level=98, bitspersample=12)
        decoded = decode(dcmread(io.BytesIO(with_codestream(exam[0], stream))))
        assert np.abs(decoded.astype(int) - plain).mean() < 20

    def test_monochrome1(self, exam: list[bytes], session: Session) -> None:
        def invert(dataset: FileDataset) -> None:
            dataset.PhotometricInterpretation = "MONOCHROME1"
            dataset.PixelData = (4095 - dataset.pixel_array).astype("<u2").tobytes()

        inverted = [changed(part, invert) for part in exam]
        assert probabilities(inverted, session) == probabilities(exam, session)

    def test_signed_values(self, exam: list[bytes], session: Session) -> None:
        def sign(dataset: FileDataset) -> None:
            pixels = dataset.pixel_array.astype(np.int16) - 2048
            dataset.PixelRepresentation, dataset.PixelData = 1, pixels.astype("<i2").tobytes()

        assert probabilities([changed(part, sign) for part in exam], session) == probabilities(exam, session)

    def test_sixteen_bits(self, exam: list[bytes], session: Session) -> None:
        def widen(dataset: FileDataset) -> None:
            dataset.BitsStored, dataset.HighBit = 16, 15
            dataset.PixelData = (dataset.pixel_array * 16).astype("<u2").tobytes()

        wide = probabilities([changed(part, widen) for part in exam], session)
        np.testing.assert_allclose(
            wide, probabilities(exam, session), atol=1e-3
        )  # means are rounded to whole values

    def test_overlay_bits_above_the_stored_are_not_read(self, exam: list[bytes], session: Session) -> None:
        def mark(dataset: FileDataset) -> None:
            pixels = dataset.pixel_array.copy()
            pixels[10:30] |= 0x8000
            dataset.PixelData = pixels.tobytes()

        assert probabilities([changed(part, mark) for part in exam], session) == probabilities(exam, session)

    def test_odd_sizes(self, exam: list[bytes], session: Session) -> None:
        def crop(dataset: FileDataset) -> None:
            pixels = dataset.pixel_array[:207, :159]
            dataset.Rows, dataset.Columns = pixels.shape
            dataset.PixelData = (pixels >> 4).astype(np.uint8).tobytes() + b"\0"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
            dataset["PixelData"].VR = "OB"

        assert sum(probabilities([changed(part, crop) for part in exam], session)) == pytest.approx(1)


class TestRealInstances:
    def test_jpeg_lossless_of_a_vendor(self, shared: Path) -> None:
        path = shared / "data/dicom/mg/siemens_mammomat_lcc_jpeg_lossless.dcm"
        values = decode(dcmread(path))
        assert (values.shape, values.max() < 4096) == ((788, 1318), True)

    def test_a_biopsy_view_is_set_aside(self, shared: Path, session: Session) -> None:
        path = shared / "data/dicom/mg/siemens_mammomat_lcc_jpeg_lossless.dcm"
        answer = read_study([path], session)
        assert isinstance(answer, NotApplicable)
        assert "1 biopsy" in answer.reason

    def test_every_other_instance_is_not_applicable_or_fails_cleanly(
        self, shared: Path, session: Session
    ) -> None:
        for path in (shared / "data" / "dicom").rglob("*"):
            if path.is_file():
                try:
                    assert isinstance(read_study([path], session), NotApplicable)
                except ReadingFailed:
                    continue


class TestFailures:
    """A view that can't be decoded fails the reading with a reason, not with a traceback."""

    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ({"PixelData": None}, "no PixelData"),
            ({"PixelData": bytes(10)}, "shorter than Rows"),
            ({"Rows": 0}, "Rows and Columns"),
            ({"Rows": 65535, "Columns": 65535}, "Rows and Columns"),
            ({"Rows": None}, "Image Pixel module is missing"),
            ({"BitsAllocated": 32}, "BitsAllocated"),
            ({"BitsStored": 0}, "BitsStored"),
            ({"BitsStored": 17}, "BitsStored"),
            ({"HighBit": 99}, "HighBit"),
            ({"HighBit": 0}, "HighBit"),
            ({"SamplesPerPixel": 3}, "greyscale"),
            ({"PhotometricInterpretation": "RGB"}, "greyscale"),
            ({"PixelData": bytes(208 * 160 * 2)}, "one grey level"),
        ],
    )
    def test_a_header_that_its_pixels_contradict(
        self, exam: list[bytes], session: Session, values: dict, why: str
    ) -> None:
        assert why in failure([with_values(exam[0], **values), *exam[1:]], session)

    @pytest.mark.parametrize("encoder", [*ENCODERS, "RLE"])
    def test_a_codestream_that_was_cut(self, exam: list[bytes], session: Session, encoder: str) -> None:
        dataset = dcmread(io.BytesIO(encoded(exam[0], encoder)))
        dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
        file = io.BytesIO()
        dataset["PixelData"].is_undefined_length = False
        dataset.save_as(file)
        assert failure([file.getvalue(), *exam[1:]], session)

    def test_a_codestream_of_another_size(self, exam: list[bytes], session: Session) -> None:
        stream = imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8))
        assert "another size" in failure([with_codestream(exam[0], stream), *exam[1:]], session)

    def test_a_codestream_of_colour(self, exam: list[bytes], session: Session) -> None:
        stream = imagecodecs.jpeg8_encode(np.zeros((208, 160, 3), np.uint8))
        part = with_codestream(exam[0], stream, JPEGBaseline8Bit)
        assert "other channels" in failure([part, *exam[1:]], session)

    @pytest.mark.parametrize("syntax", [MPEG2MPML, ExplicitVRBigEndian, "1.2.3"])
    def test_a_transfer_syntax_that_is_not_read(
        self, exam: list[bytes], session: Session, syntax: str
    ) -> None:
        part = with_codestream(exam[0], b"\0" * 100, JPEGBaseline8Bit)
        part = part.replace(JPEGBaseline8Bit.encode(), str(syntax).encode()[:22].ljust(22, b"\0"))
        assert failure([part, *exam[1:]], session)

    @pytest.mark.parametrize("part", [b"", b"not DICOM", bytes(4096), b"\0" * 128 + b"DICM"])
    def test_what_is_not_dicom(self, exam: list[bytes], session: Session, part: bytes) -> None:
        assert "is not DICOM" in failure([*exam, part], session)

    def test_an_instance_without_pixels_is_set_aside(self, exam: list[bytes], session: Session) -> None:
        report = with_values(exam[0], SOPInstanceUID="2.25.9", Modality="SR", PixelData=None)
        assert isinstance(read_study([*exam, report], session), Findings)

    @given(st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_damage_anywhere(self, exam: list[bytes], session: Session, data: st.DataObject) -> None:
        part = bytearray(exam[0][:3000] if data.draw(st.booleans()) else exam[0])
        for position in data.draw(st.lists(st.integers(0, min(len(part), 3000) - 1), max_size=4)):
            part[position] = data.draw(st.integers(0, 255))
        try:
            answer = str(read_study([bytes(part), *exam[1:]], session))
        except ReadingFailed as error:
            answer = str(error)
        assert "Muster" not in answer

    @given(st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_damaged_codestreams(self, exam: list[bytes], session: Session, data: st.DataObject) -> None:
        encoder = data.draw(st.sampled_from(sorted(ENCODERS)))
        syntax, encode = ENCODERS[encoder]
        stream = bytearray(encode(dcmread(io.BytesIO(exam[0])).pixel_array))
        for position in data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=6)):
            stream[position] = data.draw(st.integers(0, 255))
        try:
            read_study([with_codestream(exam[0], bytes(stream), syntax), *exam[1:]], session)
        except ReadingFailed:
            return


def test_jpeg_2000_in_a_box_is_read(exam: list[bytes]) -> None:
    """PS3.5 A.4.4 wants the bare codestream; some archives keep the JP2 boxes around it."""
    plain = decode(dcmread(io.BytesIO(exam[0])))
    stream = imagecodecs.jpeg2k_encode(plain, level=0, codecformat="jp2")
    part = with_codestream(exam[0], stream, JPEG2000Lossless)
    np.testing.assert_array_equal(decode(dcmread(io.BytesIO(part))), plain)
