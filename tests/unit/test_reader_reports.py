"""What readers' structured reports say: density codes, areas with findings, and what is no reader's (PS3.16)."""

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from archive.findings import Code as Coded
from federation.examples.reports import Area, newest, read_report
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.results.sr import comprehensive_3d_sr
from tests.federation.reader_reports import area, item, report, tid_1500
from tests.unit.findings import headers, lesion_findings, uid

IMAGE = "1.2.3"
BOX = [10.0, 20.0, 30.0, 20.0, 30.0, 60.0, 10.0, 60.0, 10.0, 20.0]


def code(one: Coded) -> Code:
    return Code(one.value, one.scheme, one.meaning)


def composition(category: str) -> Dataset:
    return item("CODE", code(BREAST_COMPOSITION), value=code(CATEGORIES[category]))


def finding(kind: Code, *below: Dataset) -> Dataset:
    return item("CONTAINER", codes.DCM.MeasurementGroup, item("CODE", codes.DCM.Finding, value=kind), *below)


def test_a_measurement_report_tells_density_and_lesions() -> None:
    """TID 1500 and TID 1410."""
    exam = headers()
    content = tid_1500(exam, category="c", areas=[(1, codes.SCT.Mass, (50.0, 70.0, 90.0, 110.0))])
    found = read_report(dcmread(DicomBytesIO(content)))
    assert found and found.density == "c"
    assert found.areas == (Area(exam[1].SOPInstanceUID, "mass", (50.0, 70.0, 90.0, 110.0), False),)


def test_the_denser_breast_counts() -> None:
    """BI-RADS, 5th edition: where breasts differ, the denser one is told."""
    found = read_report(report(composition("b"), composition("c")))
    assert found and (found.density, found.areas) == ("c", None)


def test_retired_codes_are_the_same() -> None:
    """PS3.16 section 8.1: SRT and SNM3 stand for SCT."""
    old = item(
        "CODE", Code("F-01710", "SRT", "Breast composition"), value=Code("F-01714", "SNM3", "Extremely dense")
    )
    found = read_report(report(old))
    assert found and found.density == "d"


@pytest.mark.parametrize(
    ("shape", "points", "box"),
    [
        ("POLYLINE", BOX, (10, 20, 30, 60)),
        ("CIRCLE", [50, 50, 53, 54], (45, 45, 55, 55)),
        ("ELLIPSE", [10, 50, 50, 50, 30, 40, 30, 60], (10, 40, 50, 60)),
    ],
)
def test_each_shape_has_a_box(shape: str, points: list[float], box: tuple[float, ...]) -> None:
    """PS3.3 C.18.6.1.2."""
    found = read_report(report(finding(codes.SCT.CalcificationCluster, area(shape, points, IMAGE))))
    assert found and found.areas == (Area(IMAGE, "calcifications", box, False),)


def test_a_single_finding_is_told_by_the_item_above_its_outline() -> None:
    """TID 4206: the outline lies below the finding's own code."""
    outline = area("POLYLINE", BOX, IMAGE)
    found = read_report(
        report(item("CODE", codes.DCM.SingleImageFinding, outline, value=codes.SCT.MammographicBreastMass))
    )
    assert found and [one.kind for one in found.areas or ()] == ["mass"]


def test_an_area_is_told_once() -> None:
    region = area("POLYLINE", BOX, IMAGE)
    size = item("NUM", codes.SCT.Diameter, area("POLYLINE", BOX, IMAGE))
    found = read_report(report(finding(codes.SCT.Mass, region, size)))
    assert found and len(found.areas or ()) == 1


def test_a_finding_of_an_unknown_code_has_no_kind() -> None:
    free_text = Code("CORNERSTONEFREETEXT", "CORNERSTONEJS", "Free text")
    found = read_report(report(finding(free_text, area("POLYLINE", BOX, IMAGE))))
    assert found and [one.kind for one in found.areas or ()] == [""]


def test_no_lesion_is_said_by_category_1_alone() -> None:
    negative, benign = (
        item("CODE", codes.DCM.AssessmentCategory, value=value)
        for value in (
            codes.SCT.MammographyAssessmentCategory1Negative,
            codes.SCT.MammographyAssessmentCategory2BenignFinding,
        )
    )
    found = read_report(report(negative))
    assert found and found.areas == ()
    assert read_report(report(negative, benign)) is None


@pytest.mark.parametrize(
    "other",
    [
        report(composition("a"), sop_class=MammographyCADSRStorage),
        report(composition("a"), complete="PARTIAL"),
        report(composition("a"), item("CODE", codes.DCM.ObserverType, value=codes.DCM.Device)),
        report(composition("a"), item("TEXT", codes.DCM.AlgorithmName)),
        report(item("TEXT", codes.DCM.Comment)),
    ],
)
def test_what_no_person_completed_is_no_label(other: Dataset) -> None:
    assert read_report(other) is None


def test_the_reports_of_models_are_no_label() -> None:
    """What a site's own models write is a device's (TID 1004)."""
    findings = lesion_findings()
    assert read_report(dcmread(DicomBytesIO(comprehensive_3d_sr(findings, headers(), uid)))) is None


def test_verified_reports_come_first_then_later_ones() -> None:
    given = [
        report(composition("a"), date="20240301"),
        report(composition("b"), date="20240101", verified="VERIFIED"),
        report(composition("c"), date="20240201", verified="VERIFIED"),
    ]
    found = [one for each in given if (one := read_report(each))]
    assert [one.density for one in newest(found)] == ["c", "b", "a"]
