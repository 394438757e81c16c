"""Lesions and measurements as measurement groups (TID 1410) of a Comprehensive 3D SR, and the way back."""

import io
import shutil
import subprocess
from pathlib import Path

import highdicom.sr
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from archive.findings import Findings, Likelihood, Region, Shape
from inference.results.groups import tool_of
from inference.results.sr import comprehensive_3d_sr
from tests.density_reports import read_density
from tests.unit.findings import (
    BOX,
    OUTLINE,
    children,
    code,
    concept,
    headers,
    lesion_findings,
    only,
    points_of,
    uid,
    without_lesions,
)


@pytest.fixture(scope="module")
def findings() -> Findings:
    return lesion_findings()


@pytest.fixture(scope="module")
def report(findings: Findings) -> bytes:
    return comprehensive_3d_sr(findings, headers(), uid)


@pytest.fixture(scope="module")
def groups(report: bytes) -> list[Dataset]:
    (container,) = children(dcmread(io.BytesIO(report)), "Imaging Measurements")
    return children(container, "Measurement Group")


def region_of(scoord: Dataset) -> tuple[str, list[tuple[float, float]]]:
    """The instance and the points that a SCOORD names."""
    (image,) = scoord.ContentSequence
    return image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID, points_of(scoord)


def number_of(item: Dataset) -> float:
    (measured,) = item.MeasuredValueSequence
    return float(measured.FloatingPointValue)


def of_lesions(groups: list[Dataset]) -> list[Dataset]:
    return [one for one in groups if children(one, "Certainty of Finding")]


class TestWhatViewersAskFor:
    def test_every_group_has_a_place_and_a_tracking_uid_of_its_own(self, groups: list[Dataset]) -> None:
        tracked = [only(one, "Tracking Unique Identifier").UID for one in groups]
        assert len(set(tracked)) == len(groups) == 4
        assert all(only(one, "Image Region").ValueType == "SCOORD" for one in groups)

    def test_the_first_number_of_a_group_has_its_place_below_it(self, groups: list[Dataset]) -> None:
        for group in groups:
            first = next(one for one in group.ContentSequence if one.ValueType == "NUM")
            (nested,) = first.ContentSequence
            assert region_of(nested) == region_of(only(group, "Image Region"))

    def test_the_tracking_identifier_names_the_tool(self, groups: list[Dataset]) -> None:
        names = [only(one, "Tracking Identifier").TextValue for one in groups]
        tools = ["PlanarFreehandROI", "RectangleROI", "Probe", "Length"]
        assert names == [f"Cornerstone3DTools@^0.1.0:{tool}" for tool in tools]

    @pytest.mark.parametrize(
        ("shape", "points", "tool"),
        [
            (Shape.POLYGON, BOX, "RectangleROI"),
            (Shape.POLYGON, BOX[1:4] + BOX[:2], "RectangleROI"),
            (Shape.POLYGON, OUTLINE, "PlanarFreehandROI"),
            (Shape.POLYGON, ((0, 0), (4, 0), (4, 0), (4, 0), (0, 0)), "PlanarFreehandROI"),
            (Shape.POLYLINE, BOX[:3], "PlanarFreehandROI"),
        ],
    )
    def test_the_tool_that_draws_a_shape(self, shape: Shape, points, tool: str) -> None:
        assert tool_of(Region("1.2.3", shape, points)) == tool

    def test_a_label_stands_in_the_comment(self, groups: list[Dataset]) -> None:
        assert only(groups[0], "Comment").TextValue == "Mammographic breast mass 87 % (L1)"

    def test_no_container_of_groups_where_there_is_none(self, findings: Findings) -> None:
        report = dcmread(io.BytesIO(comprehensive_3d_sr(without_lesions(findings), headers(), uid)))
        assert not children(report, "Imaging Measurements")

    def test_a_frame_is_named_where_the_image_has_frames(self, findings: Findings) -> None:
        sources = headers()
        sources[0].NumberOfFrames = 12
        report = dcmread(io.BytesIO(comprehensive_3d_sr(findings, sources, uid)))
        first, second, *_ = children(only(report, "Imaging Measurements"), "Measurement Group")
        named = [
            only(one, "Image Region").ContentSequence[0].ReferencedSOPSequence[0] for one in (first, second)
        ]
        assert [one.get("ReferencedFrameNumber") for one in named] == [1, None]


class TestRoundTrip:
    def test_lesions(self, groups: list[Dataset], findings: Findings) -> None:
        written = [
            (lesion.name, lesion.kind, 100 * lesion.score, (region.sop_instance_uid, list(region.points)))
            for lesion in findings.lesions
            for region in lesion.regions
        ]
        read = [
            (
                only(one, "Lesion Identifier").TextValue,
                code(only(one, "Finding").ConceptCodeSequence),
                pytest.approx(number_of(only(one, "Certainty of Finding"))),
                region_of(only(one, "Image Region")),
            )
            for one in of_lesions(groups)
        ]
        assert read == written

    def test_laterality(self, groups: list[Dataset]) -> None:
        sides = [
            code(only(only(one, "Finding Site"), "Laterality").ConceptCodeSequence).meaning for one in groups
        ]
        assert sides == ["Left", "Left", "Right", "Left"]

    def test_measurements(self, report: bytes, groups: list[Dataset], findings: Findings) -> None:
        evaluations = only(dcmread(io.BytesIO(report)), "Qualitative Evaluations")
        density, area, diameter = findings.measurements
        assert number_of(only(evaluations, density.concept.meaning)) == density.value
        assert [number_of(only(one, area.concept.meaning)) for one in groups[:2]] == [area.value] * 2
        assert number_of(only(groups[3], diameter.concept.meaning)) == diameter.value
        place = (diameter.regions[0].sop_instance_uid, list(diameter.regions[0].points))
        assert region_of(only(groups[3], "Image Region")) == place

    def test_what_is_said_of_a_lesion(self, groups: list[Dataset], findings: Findings) -> None:
        said = findings.evaluations[3]
        answer = only(groups[0], said.concept.meaning)
        likelihoods = [
            Likelihood(label, code(one.ContentSequence[0].ConceptCodeSequence), number_of(one))
            for label, one in zip("43", answer.ContentSequence, strict=True)
        ]
        assert (code(answer.ConceptCodeSequence), tuple(likelihoods)) == (said.value, said.likelihoods)

    def test_what_is_said_of_a_breast_and_of_a_view(self, report: bytes, findings: Findings) -> None:
        container = only(dcmread(io.BytesIO(report)), "Qualitative Evaluations")
        exam, breast, view = (one for one in container.ContentSequence if one.ValueType == "CODE")
        assert [concept(one) for one in (exam, breast, view)] == [
            one.concept for one in findings.evaluations[:3]
        ]
        assert not children(exam, "Laterality")
        assert code(only(breast, "Laterality").ConceptCodeSequence).meaning == "Left"
        source = only(view, "Source").ReferencedSOPSequence[0]
        assert source.ReferencedSOPInstanceUID == findings.evaluations[2].target.sop_instance_uid

    def test_the_density_of_the_exam_is_read(self, report: bytes) -> None:
        assert read_density(report).category == "b"

    def test_the_operating_point_is_a_parameter_of_the_algorithm(self, groups: list[Dataset]) -> None:
        parameters = [one.TextValue for one in children(groups[0], "Algorithm Parameters")]
        assert "operating point 0.35" in parameters

    def test_highdicom_reads_the_groups(self, report: bytes) -> None:
        content = highdicom.sr.Comprehensive3DSR.from_dataset(dcmread(io.BytesIO(report))).content
        found = content.get_planar_roi_measurement_groups()
        assert [one.finding_type.meaning for one in found[:3]] == [
            "Mammographic breast mass",
            "Mammographic breast mass",
            "Calcification Cluster",
        ]


@pytest.mark.parametrize("tool", ["dciodvfy", "dsrdump"])
def test_other_tools_find_no_error(report: bytes, tool: str, tmp_path: Path) -> None:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    (tmp_path / "sr").write_bytes(report)
    answer = subprocess.run([tool, tmp_path / "sr"], capture_output=True, text=True)
    assert answer.returncode == 0
    assert "Error" not in answer.stderr + answer.stdout
