"""Density reports: Comprehensive 3D SR by TID 1500 (PS3.16), checked by other people's tools."""

import hashlib
import io
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import highdicom.sr
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from archive.findings import Findings, Level
from inference import installed
from inference.errors import ReadingFailed
from inference.instance import read_dataset
from inference.package import load
from inference.pipeline import read_study
from inference.results.sr import comprehensive_3d_sr
from inference.session import open_session
from tests.density_reports import read_density
from tests.unit.mammograms import small_exam
from tests.unit.sr_validator import validate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def uid(name: str) -> str:
    return f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}"


@pytest.fixture(scope="module")
def sources() -> list[Dataset]:
    return [read_dataset(part, pixels=False) for part in small_exam()]


@pytest.fixture(scope="module")
def findings() -> Findings:
    session = open_session(load(Path(installed.__file__).parent / "models" / "phantom_density"), threads=1)
    findings = read_study(small_exam(), session, created_at=NOW)
    assert isinstance(findings, Findings)
    return findings


@pytest.fixture(scope="module")
def report(findings: Findings, sources: list[Dataset]) -> bytes:
    return comprehensive_3d_sr(findings, sources, uid)


@pytest.fixture(scope="module")
def dataset(report: bytes) -> Dataset:
    return dcmread(io.BytesIO(report))


def with_name(item: Dataset, meaning: str) -> list[Dataset]:
    children = item.get("ContentSequence", [])
    return [one for one in children if one.ConceptNameCodeSequence[0].CodeMeaning == meaning]


def all_items(item: Dataset) -> list[Dataset]:
    return [item, *(one for child in item.get("ContentSequence", []) for one in all_items(child))]


class TestRoundTrip:
    def test_category_and_probabilities(self, report: bytes, findings: Findings) -> None:
        reading, (evaluation,) = read_density(report), findings.of(Level.EXAM)
        assert reading.category == evaluation.label
        expected = {one.label: one.probability for one in evaluation.likelihoods}
        assert reading.probabilities == pytest.approx(expected, abs=1e-8)

    def test_model(self, report: bytes, findings: Findings) -> None:
        reading = read_density(report)
        named = (reading.model_name, reading.model_version, reading.model_sha256)
        assert named == (findings.model.name, findings.model.version, findings.model.sha256)

    def test_highdicom_reads_it(self, dataset: Dataset) -> None:
        content = highdicom.sr.Comprehensive3DSR.from_dataset(dataset).content
        assert content[0].name.meaning == "Imaging Measurement Report"

    @pytest.mark.parametrize("part", [b"", b"no report"])
    def test_what_is_no_instance(self, part: bytes) -> None:
        with pytest.raises(ReadingFailed):
            read_density(part)

    @given(st.data())
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_damage_anywhere_is_refused_or_read(self, report: bytes, data: st.DataObject) -> None:
        damaged = bytearray(report)
        for position in data.draw(st.lists(st.integers(132, len(report) - 1), min_size=1, max_size=4)):
            damaged[position] = data.draw(st.integers(0, 255))
        with suppress(ReadingFailed):
            assert all(0 <= one <= 1 for one in read_density(bytes(damaged)).probabilities.values())

    def test_what_is_no_report(self) -> None:
        with pytest.raises(ReadingFailed, match="not a density report"):
            read_density(small_exam()[0])


class TestValidators:
    def test_dciodvfy_finds_no_error(self, report: bytes, tmp_path: Path) -> None:
        if not shutil.which("dciodvfy"):
            pytest.skip("dciodvfy (Debian's dicom3tools) is not installed")
        (tmp_path / "sr").write_bytes(report)
        answer = subprocess.run(["dciodvfy", tmp_path / "sr"], capture_output=True, text=True)
        assert "Error" not in answer.stderr + answer.stdout

    def test_pixelmed_finds_no_error(self, report: bytes, tmp_path: Path) -> None:
        said = validate(report, tmp_path)
        assert ("Root Template Validation Complete" in said, "Error" in said) == (True, False)

    def test_dsrdump_prints_it(self, report: bytes, tmp_path: Path) -> None:
        if not shutil.which("dsrdump"):
            pytest.skip("dsrdump (Debian's dcmtk) is not installed")
        (tmp_path / "sr").write_bytes(report)
        answer = subprocess.run(["dsrdump", tmp_path / "sr"], capture_output=True, text=True, check=True)
        assert "Scattered fibroglandular densities" in answer.stdout


class TestDeterminism:
    def test_the_same_findings_give_the_same_bytes(
        self, findings: Findings, sources: list[Dataset], report: bytes
    ) -> None:
        assert comprehensive_3d_sr(findings, sources, uid) == report

    def test_a_later_reading_gives_the_same_bytes(
        self, findings: Findings, sources: list[Dataset], report: bytes
    ) -> None:
        later = replace(findings, created_at=datetime(2030, 1, 1, tzinfo=UTC))
        assert comprehensive_3d_sr(later, sources, uid) == report

    def test_another_version_is_another_instance(
        self, findings: Findings, sources: list[Dataset], dataset: Dataset
    ) -> None:
        other = replace(findings, model=replace(findings.model, version="9.0.0"))
        report = dcmread(io.BytesIO(comprehensive_3d_sr(other, sources, uid)))
        assert report.SOPInstanceUID != dataset.SOPInstanceUID
        assert report.SeriesInstanceUID != dataset.SeriesInstanceUID

    def test_the_day_of_the_reading_is_not_told(self, report: bytes) -> None:
        """Beside dates that are shifted it would tell by how much."""
        assert b"2026" not in report


class TestDocument:
    def test_it_is_a_comprehensive_3d_sr(self, dataset: Dataset) -> None:
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == Comprehensive3DSRStorage
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian

    @pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"])
    def test_it_belongs_to_its_sources(self, dataset: Dataset, sources: list[Dataset], keyword: str) -> None:
        assert dataset[keyword].value == sources[0][keyword].value

    def test_nothing_else_of_the_sources_is_copied(self, report: bytes) -> None:
        assert b"Lighthouse" not in report

    def test_sources_without_optional_attributes_do(self, findings: Findings) -> None:
        source = Dataset()
        source.StudyInstanceUID = findings.study_instance_uid
        report = dcmread(io.BytesIO(comprehensive_3d_sr(findings, [source], uid)))
        assert (report.PatientID, report.ContentDate) == ("", "20260101")

    @pytest.mark.parametrize("name", ["chrH31.dcm", "chrKoreanMulti.dcm", "chrArab.dcm", "chrX2.dcm"])
    def test_names_survive_in_any_character_set(self, shared: Path, findings: Findings, name: str) -> None:
        """PS3.5 section 6.1: the report is in UTF-8."""
        source = dcmread(shared / "data" / "dicom" / "charset" / name)
        report = dcmread(io.BytesIO(comprehensive_3d_sr(findings, [source], uid)))
        assert str(report.PatientName) == str(source.PatientName)
        assert report.SpecificCharacterSet == "ISO_IR 192"

    def test_research_use_only_is_seen_at_once(self, dataset: Dataset, report: bytes) -> None:
        assert dataset.SeriesDescription == "RESEARCH USE ONLY: Phantom-trained density model"
        assert read_density(report).caution.startswith("RESEARCH USE ONLY. Not for diagnosis.")

    def test_it_says_what_the_model_was_trained_on(self, report: bytes) -> None:
        assert "phantoms, no patients" in read_density(report).caution

    def test_the_evidence_names_every_source(self, dataset: Dataset, sources: list[Dataset]) -> None:
        (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
        references = [
            one.ReferencedSOPInstanceUID
            for series in study.ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        ]
        assert references == [one.SOPInstanceUID for one in sources]


class TestTree:
    def test_density_stands_in_the_qualitative_evaluations(self, dataset: Dataset) -> None:
        """TID 1500 row 12."""
        (container,) = with_name(dataset, "Qualitative Evaluations")
        density, *_ = with_name(container, "Breast composition")
        assert (density.ValueType, density.RelationshipType) == ("CODE", "CONTAINS")

    def test_there_is_no_measurement_group(self, dataset: Dataset) -> None:
        """OHIF fails on a group without SCOORD."""
        names = [one.ConceptNameCodeSequence[0].CodeMeaning for one in all_items(dataset)]
        assert "Measurement Group" not in names

    def test_there_is_an_image_library_group(self, dataset: Dataset) -> None:
        (library,) = with_name(dataset, "Image Library")
        (group,) = with_name(library, "Image Library Group")
        assert len(with_name(group, "Source")) == 4

    def test_every_item_has_a_concept_name(self, dataset: Dataset) -> None:
        assert all("ConceptNameCodeSequence" in one for one in all_items(dataset))

    def test_the_algorithm_is_identified(self, dataset: Dataset) -> None:
        """TID 4019."""
        (container,) = with_name(dataset, "Qualitative Evaluations")
        density, *_ = with_name(container, "Breast composition")
        (name,) = with_name(density, "Algorithm Name")
        assert (name.RelationshipType, name.TextValue) == ("HAS CONCEPT MOD", "phantom-trained-density")

    def test_the_observer_is_a_device(self, dataset: Dataset) -> None:
        """TID 1002 and 1004."""
        (kind,) = with_name(dataset, "Observer Type")
        assert kind.ConceptCodeSequence[0].CodeMeaning == "Device"
