"""What findings are written as: each kind is read back, validated, and compared with its golden tree."""

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from archive.findings import Findings, Lesion, Region, Shape
from archive.settings import RESULTS
from inference.results.capture import LONGEST_SIDE, draw
from inference.results.segmentation import mask_of
from inference.results.writers import WRITERS, needs_pixels, write
from tests.unit.findings import (
    BOX,
    MASS,
    children,
    code,
    everything,
    headers,
    lesion_findings,
    only,
    points_of,
    tree,
    uid,
    without_lesions,
)
from tests.unit.sr_validator import validate

GOLDEN = Path(__file__).with_name("golden")
YELLOW = (255, 220, 0)


def read(instances: list[bytes]) -> list[FileDataset]:
    return [dcmread(io.BytesIO(instance)) for instance in instances]


@pytest.fixture(scope="module")
def findings() -> Findings:
    return lesion_findings()


@pytest.fixture(scope="module")
def sources() -> list[Dataset]:
    return headers(pixels=True)


@pytest.fixture(scope="module")
def written(findings: Findings, sources: list[Dataset]) -> dict[str, list[bytes]]:
    return {kind: write(findings, sources, [kind], uid) for kind in WRITERS}


@pytest.fixture(scope="module")
def results(written: dict[str, list[bytes]]) -> dict[str, list[FileDataset]]:
    return {kind: read(instances) for kind, instances in written.items()}


class TestEveryKind:
    def test_the_settings_name_them(self) -> None:
        assert tuple(WRITERS) == RESULTS

    def test_the_number_of_instances(self, written: dict[str, list[bytes]]) -> None:
        counts = {kind: len(instances) for kind, instances in written.items()}
        assert counts == {"sr": 1, "cad-sr": 1, "sc": 4, "seg": 2, "gsps": 4, "kos": 1}

    def test_a_study_without_lesions_has_no_segmentation_and_no_key_objects(
        self, findings: Findings, sources: list[Dataset]
    ) -> None:
        none = without_lesions(findings)
        counts = [len(write(none, sources, [kind], uid)) for kind in WRITERS]
        assert dict(zip(WRITERS, counts, strict=True)) == {
            "sr": 1,
            "cad-sr": 1,
            "sc": 4,
            "seg": 0,
            "gsps": 4,
            "kos": 0,
        }

    def test_the_report_is_written_first(self, findings: Findings, sources: list[Dataset]) -> None:
        first, *_ = read(write(findings, sources, ["kos", "sr"], uid))
        assert first.Modality == "SR"

    def test_captures_alone_need_pixels(self) -> None:
        assert [kind for kind in WRITERS if needs_pixels([kind])] == ["sc"]

    @pytest.mark.parametrize("kind", WRITERS)
    def test_again_gives_the_same_bytes(
        self, written: dict[str, list[bytes]], findings: Findings, sources: list[Dataset], kind: str
    ) -> None:
        assert write(findings, sources, [kind], uid) == written[kind]

    @pytest.mark.parametrize("kind", WRITERS)
    def test_another_version_gives_other_instances(
        self, results: dict[str, list[FileDataset]], findings: Findings, sources: list[Dataset], kind: str
    ) -> None:
        newer = replace(findings, model=replace(findings.model, version="2.0.0"))
        others = {one.SOPInstanceUID for one in read(write(newer, sources, [kind], uid))}
        assert others.isdisjoint(one.SOPInstanceUID for one in results[kind])

    def test_no_two_instances_share_a_uid_and_no_two_kinds_a_series(
        self, results: dict[str, list[FileDataset]]
    ) -> None:
        everyone = [one for instances in results.values() for one in instances]
        assert len({one.SOPInstanceUID for one in everyone}) == len(everyone)
        assert len({one.SeriesInstanceUID for one in everyone}) == len(results)

    @pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber"])
    def test_they_belong_to_their_sources(
        self, results: dict[str, list[FileDataset]], sources: list[Dataset], keyword: str
    ) -> None:
        everyone = [one for instances in results.values() for one in instances]
        assert {str(one[keyword].value) for one in everyone} == {str(sources[0][keyword].value)}

    def test_research_use_only_is_seen_at_once(self, results: dict[str, list[FileDataset]]) -> None:
        described = {one.SeriesDescription for instances in results.values() for one in instances}
        assert described == {"RESEARCH USE ONLY: Phantom-trained lesion model"}

    @pytest.mark.parametrize("kind", WRITERS)
    def test_dciodvfy_finds_no_error(
        self, written: dict[str, list[bytes]], kind: str, tmp_path: Path
    ) -> None:
        if not shutil.which("dciodvfy"):
            pytest.skip("dciodvfy (Debian's dicom3tools) is not installed")
        for instance in written[kind]:
            (tmp_path / "instance").write_bytes(instance)
            answer = subprocess.run(["dciodvfy", tmp_path / "instance"], capture_output=True, text=True)
            assert "Error" not in answer.stderr + answer.stdout

    @pytest.mark.parametrize("kind", ["sr", "cad-sr", "kos"])
    def test_pixelmed_finds_no_error(
        self, written: dict[str, list[bytes]], kind: str, tmp_path: Path
    ) -> None:
        said = validate(written[kind][0], tmp_path)
        assert ("Root Template Validation Complete" in said, "Error" in said) == (True, False)

    @pytest.mark.parametrize("kind", ["cad-sr", "kos"])
    def test_dsrdump_prints_it(self, written: dict[str, list[bytes]], kind: str, tmp_path: Path) -> None:
        if not shutil.which("dsrdump"):
            pytest.skip("dsrdump (Debian's dcmtk) is not installed")
        (tmp_path / "instance").write_bytes(written[kind][0])
        answer = subprocess.run(["dsrdump", tmp_path / "instance"], capture_output=True, text=True)
        assert (answer.returncode, "Certainty" in answer.stdout) == (0, kind == "cad-sr")

    @pytest.mark.parametrize("kind", ["sr", "cad-sr", "kos"])
    def test_the_tree_is_the_golden_one(self, results: dict[str, list[FileDataset]], kind: str) -> None:
        golden = (GOLDEN / f"{kind}.txt").read_text("utf-8").splitlines()
        assert list(tree(results[kind][0])) == golden


class TestMammographyCadSr:
    @pytest.fixture(scope="class")
    @classmethod
    def report(cls, results: dict[str, list[FileDataset]]) -> FileDataset:
        return results["cad-sr"][0]

    def test_lesions_and_their_regions(self, report: FileDataset, findings: Findings) -> None:
        """TID 4003, 4004, 4006 and 4021: what is written is read back."""
        library = only(report, "Image Library").ContentSequence
        summary = only(report, "CAD Processing and Findings Summary")
        found = []
        for impression in children(summary, "Individual Impression/Recommendation"):
            *_, feature = impression.ContentSequence
            singles = children(feature, "Single Image Finding") or [feature]
            regions = [_region(one, library) for one in singles]
            found.append(
                (only(feature, "Tracking Identifier").TextValue, code(feature.ConceptCodeSequence), regions)
            )
        expected = [
            (one.name, one.kind, [(each.sop_instance_uid, list(each.points)) for each in one.regions])
            for one in findings.lesions
        ]
        assert found == expected

    def test_scores_are_certainties(self, report: FileDataset) -> None:
        certain = [
            one for one in everything(report) if "Certainty" in str(one.get("ConceptNameCodeSequence"))
        ]
        values = [float(one.MeasuredValueSequence[0].NumericValue) for one in certain]
        assert values == pytest.approx([87.3, 87.3, 87.3, 41.0])

    def test_a_mass_on_one_image_is_a_density_there(self, report: FileDataset) -> None:
        """PS3.16 CID 6014 knows no mass; CID 6017 does."""
        kinds = [
            code(one.ConceptCodeSequence).value for one in everything(report) if _is_named(one, "111059")
        ]
        assert kinds == ["129793001", "129793001", "129769006"]

    def test_every_image_is_in_the_library(self, report: FileDataset, findings: Findings) -> None:
        """TID 4020."""
        entries = only(report, "Image Library").ContentSequence
        named = [one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in entries]
        assert named == [one.sop_instance_uid for one in findings.sources]
        views = [code(only(one, "Image View").ConceptCodeSequence).meaning for one in entries]
        assert views == ["cranio-caudal", "cranio-caudal", "medio-lateral oblique", "medio-lateral oblique"]

    def test_frames_of_a_tomosynthesis_are_entries_of_their_own(self, findings: Findings) -> None:
        sources = headers()
        sources[0].NumberOfFrames = 40
        (report,) = read(write(findings, sources, ["cad-sr"], uid))
        entries = only(report, "Image Library").ContentSequence
        assert [one.ReferencedSOPSequence[0].get("ReferencedFrameNumber") for one in entries] == [
            *[None] * 4,
            1,
        ]

    def test_other_modalities_have_none(self, findings: Findings) -> None:
        sources = headers()
        sources[0].Modality = "US"
        assert write(findings, sources, ["cad-sr"], uid) == []

    def test_without_lesions_it_says_so(self, findings: Findings) -> None:
        (report,) = read(write(without_lesions(findings), headers(), ["cad-sr"], uid))
        summary = only(report, "CAD Processing and Findings Summary")
        assert code(summary.ConceptCodeSequence).value == "111241"
        assert "Scattered fibroglandular" in only(summary, "Impression Description").TextValue


class TestSecondaryCapture:
    def test_pictures_lie_below_a_strip_of_words(
        self, results: dict[str, list[FileDataset]], sources: list[Dataset]
    ) -> None:
        shapes = [one.pixel_array.shape for one in results["sc"]]
        assert all(shape[0] > sources[0].Rows and shape[1:] == (sources[0].Columns, 3) for shape in shapes)

    def test_the_outline_is_where_the_region_is(
        self, results: dict[str, list[FileDataset]], sources: list[Dataset]
    ) -> None:
        picture = results["sc"][2].pixel_array  # L MLO, with the box
        strip = picture.shape[0] - int(sources[2].Rows)
        for column, row in BOX[:4]:
            near = picture[strip + int(row) - 2 : strip + int(row) + 3, int(column) - 2 : int(column) + 3]
            assert (near == YELLOW).all(axis=-1).any()

    def test_they_refer_to_their_sources(
        self, results: dict[str, list[FileDataset]], findings: Findings
    ) -> None:
        named = [one.SourceImageSequence[0].ReferencedSOPInstanceUID for one in results["sc"]]
        assert named == [one.sop_instance_uid for one in findings.sources]

    def test_no_model_reads_them(self, results: dict[str, list[FileDataset]]) -> None:
        assert {one.Modality for one in results["sc"]} == {"OT"}

    def test_of_frames_those_with_a_lesion_are_captured_and_else_the_middle_one(
        self, findings: Findings
    ) -> None:
        sources = headers(pixels=True)
        for source in (sources[0], sources[3]):
            source.NumberOfFrames = 3
            source.PixelData = 3 * source.PixelData
        mass, *others = findings.lesions
        moved = replace(mass, regions=(replace(mass.regions[0], frame=3), mass.regions[1]))
        captured = read(write(replace(findings, lesions=(moved, *others)), sources, ["sc"], uid))
        frames = [one.SourceImageSequence[0].get("ReferencedFrameNumber") for one in captured]
        assert frames == [3, None, None, 2]

    def test_a_large_picture_is_made_smaller(self) -> None:
        lesion = Lesion("L1", "L", MASS, 0.5, (Region("1.2", Shape.POINT, ((2000.0, 3000.0),)),))
        drawn = draw(np.zeros((4096, 3328), np.uint8), [(lesion, lesion.regions[0])], ["AI"])
        assert drawn.shape[1] == LONGEST_SIDE * 3328 // 4096
        assert (drawn[-548 - 60 : -548 + 60, 940:1060] == YELLOW).all(axis=-1).any()

    def test_colour_stays(self) -> None:
        red = np.zeros((80, 60, 3), np.uint8)
        red[..., 0] = 200
        assert tuple(draw(red, [], ["AI"])[-1, -1]) == (200, 0, 0)


class TestSegmentation:
    def test_highdicom_reads_the_areas_back(
        self, written: dict[str, list[bytes]], findings: Findings
    ) -> None:
        region = findings.lesions[0].regions[0]
        read_back = highdicom.seg.segread(io.BytesIO(written["seg"][0]))
        pixels = read_back.get_pixels_by_source_instance([region.sop_instance_uid])
        rows, columns = read_back.Rows, read_back.Columns
        assert np.array_equal(pixels[0, ..., 0].astype(bool), mask_of(region, rows, columns))

    def test_a_segment_is_a_lesion(self, results: dict[str, list[FileDataset]], findings: Findings) -> None:
        (segment,) = results["seg"][0].SegmentSequence
        lesion = findings.lesions[0]
        assert (segment.TrackingID, code(segment.SegmentedPropertyTypeCodeSequence)) == (
            lesion.name,
            lesion.kind,
        )
        assert segment.SegmentAlgorithmType == "AUTOMATIC"

    def test_a_lesion_in_two_views_is_tracked_as_one(self, results: dict[str, list[FileDataset]]) -> None:
        assert len({one.SegmentSequence[0].TrackingUID for one in results["seg"]}) == 1

    def test_its_plane_is_told(self, results: dict[str, list[FileDataset]], sources: list[Dataset]) -> None:
        """Viewers fail on a segmentation of a mammogram without."""
        (shared,) = results["seg"][0].SharedFunctionalGroupsSequence
        (frame,) = results["seg"][0].PerFrameFunctionalGroupsSequence
        assert shared.PixelMeasuresSequence[0].PixelSpacing == sources[0].PixelSpacing
        assert len(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == 6
        assert len(frame.PlanePositionSequence[0].ImagePositionPatient) == 3

    def test_an_image_that_has_a_place_in_the_patient_keeps_it(self, findings: Findings) -> None:
        sources = headers()
        sources[0].FrameOfReferenceUID = "1.2.3"
        sources[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        sources[0].ImagePositionPatient = [10, -20, 30]
        first, _ = read(write(findings, sources, ["seg"], uid))
        orientation = first.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        position = first.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
        assert first.FrameOfReferenceUID == "1.2.3"
        assert orientation.ImageOrientationPatient == [0, 1, 0, 0, 0, -1]
        assert position.ImagePositionPatient == [10, -20, 30]

    def test_a_box_covers_whole_pixels(self) -> None:
        mask = mask_of(Region("1.2", Shape.POLYGON, BOX), 208, 160)
        assert mask[70:110, 50:90].all()
        assert mask.sum() == 40 * 40

    def test_an_outline_beyond_the_image_is_cut(self) -> None:
        outline = ((-5.0, -5.0), (4.0, -5.0), (4.0, 3.0), (-5.0, 3.0))
        assert mask_of(Region("1.2", Shape.POLYGON, outline), 8, 8).sum() == 4 * 3


class TestPresentationState:
    def test_outlines(self, results: dict[str, list[FileDataset]], findings: Findings) -> None:
        drawn = [
            (one.ReferencedImageSequence[0].ReferencedSOPInstanceUID, points_of(one.GraphicObjectSequence[0]))
            for state in results["gsps"]
            for one in state.GraphicAnnotationSequence[1:]
        ]
        regions = [region for lesion in findings.lesions for region in lesion.regions]
        assert sorted(drawn) == sorted((one.sop_instance_uid, list(one.points)) for one in regions)

    def test_words(self, results: dict[str, list[FileDataset]]) -> None:
        said, labelled = results["gsps"][0].GraphicAnnotationSequence
        lines = [one.UnformattedTextValue for one in said.TextObjectSequence]
        assert lines == [
            "AI, RESEARCH USE ONLY",
            "left CC: Phantom-trained lesion model 1.0.0",
            "Breast composition: Scattered fibroglandular densities, 50 %",
            "Assessment Category (left): Mammography assessment (Category 4) - Suspicious abnormality",
            "Breast tissue density (left CC): 23.75 %",
        ]
        assert labelled.TextObjectSequence[0].UnformattedTextValue == "L1 Mammographic breast mass 87 %"

    def test_the_window_of_the_image_is_kept(
        self, results: dict[str, list[FileDataset]], sources: list[Dataset]
    ) -> None:
        """A viewer that applies a presentation state forgets the image's own."""
        (voi,) = results["gsps"][0].SoftcopyVOILUTSequence
        assert (voi.WindowCenter, voi.WindowWidth) == (sources[0].WindowCenter, sources[0].WindowWidth)

    def test_an_inverted_image_stays_inverted(self, findings: Findings) -> None:
        sources = headers()
        sources[0].PhotometricInterpretation = "MONOCHROME1"
        del sources[0].PresentationLUTShape
        first, *others = read(write(findings, sources, ["gsps"], uid))
        assert [one.PresentationLUTShape for one in (first, others[0])] == ["INVERSE", "IDENTITY"]

    def test_an_image_in_colour_has_none(self, findings: Findings) -> None:
        sources = headers()
        sources[3].SamplesPerPixel = 3
        assert len(write(findings, sources, ["gsps"], uid)) == 3


class TestKeyObjects:
    def test_they_are_the_views_with_lesions(
        self, results: dict[str, list[FileDataset]], findings: Findings
    ) -> None:
        (selection,) = results["kos"]
        named = {
            one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for one in selection.ContentSequence
            if one.ValueType == "IMAGE"
        }
        assert named == {region.sop_instance_uid for one in findings.lesions for region in one.regions}
        evidence = {
            one.ReferencedSOPInstanceUID
            for series in selection.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        }
        assert evidence == named

    def test_they_are_described(self, results: dict[str, list[FileDataset]]) -> None:
        text = only(results["kos"][0], "Key Object Description").TextValue
        assert text.startswith("RESEARCH USE ONLY.")
        assert "L1: Mammographic breast mass 87 %" in text


def _is_named(item: Dataset, value: str) -> bool:
    return bool(item.get("ConceptNameCodeSequence")) and item.ConceptNameCodeSequence[0].CodeValue == value


def _region(finding: Dataset, library: list[Dataset]) -> tuple[str, list[tuple[float, float]]]:
    """The instance and the points of a Single Image Finding's outline, or of its middle where it has no outline."""
    place = next(iter(children(finding, "Outline") or children(finding, "Center")))
    *position, entry = place.ContentSequence[0].ReferencedContentItemIdentifier
    assert position == [1, 2]
    return library[entry - 1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID, points_of(place)
