"""A phantom exam whose lesions are known, read by the built-in lesion detector at a real site."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from archive.findings import Findings, Lesion, Region, from_json
from inference.demo import demo_exam
from inference.phantom.instances import write_instances
from inference.phantom.study import Order, draw_study
from inference.phantom.truth import Finding, Kind, Seen
from tests.integration.test_whole_way import COMPREHENSIVE_3D_SR, fetch, write
from tests.live import LiveSite, eventually
from tests.unit.findings import children

MODEL = "phantom-trained-lesions"
SEED = 46
ORDER = Order(
    lesions=(Kind.MASS, Kind.CALCIFICATIONS), benign=False, category="a", vendor="beta", spacing=0.2
)
KINDS = {Kind.MASS: "4147007", Kind.CALCIFICATIONS: "129769006"}
Truth = list[tuple[Finding, Seen, str]]


@pytest.fixture(scope="module", autouse=True)
def enabled(site: LiveSite) -> Iterator[None]:
    site.run("model", "enable", MODEL)
    yield
    site.run("model", "disable", MODEL)


@pytest.fixture(scope="module")
def truth() -> Truth:
    """Each lesion in each view, with the SOP Instance UID of that."""
    study = draw_study(SEED, ORDER)
    uids = {view: uid for view, uid, _ in write_instances(study)}
    return [(one, seen, uids[seen.view]) for one in study.truth.lesions for seen in one.seen]


@pytest.fixture(scope="module")
def study(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pseudonymous study, once its lesions were read."""
    exam = [content for _, _, content in write_instances(draw_study(SEED, ORDER))]
    return send(site, write(tmp_path_factory.mktemp("exam"), exam))


def send(site: LiveSite, folder: Path) -> str:
    uid: str = site.send(folder)["studies"][0]["study_instance_uid"]
    eventually(lambda: row(site, uid) is not None and row(site, uid)[0] == "done")
    return uid


def row(site: LiveSite, study: str) -> tuple[str, str] | None:
    with site.database() as database:
        return database.execute(
            "select state, findings::text from reading where task = 'lesions' and study_instance_uid = %s",
            [study],
        ).fetchone()


def findings(site: LiveSite, study: str) -> Findings:
    return from_json(row(site, study)[1])


def marks(found: Findings) -> list[tuple[Lesion, Region]]:
    return [(lesion, region) for lesion in found.lesions for region in lesion.regions]


def lies_on(region: Region, seen: Seen) -> bool:
    """Whether the middle of a mark's box lies within the lesion's outline."""
    left, top, right, bottom = region.box
    polygon = np.array(seen.outline, np.float32).reshape(-1, 1, 2)
    return cv2.pointPolygonTest(polygon, ((left + right) / 2, (top + bottom) / 2), False) >= 0


def test_every_lesion_is_marked_in_both_views_where_it_lies(site: LiveSite, study: str, truth: Truth) -> None:
    found = marks(findings(site, study))
    for lesion, seen, uid in truth:
        here = [
            region
            for mark, region in found
            if region.sop_instance_uid == site.pseudonyms().uid(uid) and mark.kind.value == KINDS[lesion.kind]
        ]
        assert any(lies_on(region, seen) for region in here), (lesion.kind, seen.view)


def test_no_more_than_a_mark_an_image_lies_elsewhere(site: LiveSite, study: str, truth: Truth) -> None:
    found = marks(findings(site, study))
    wrong = [region for _, region in found if not any(lies_on(region, seen) for _, seen, _ in truth)]
    assert len(wrong) <= 4


def test_the_report_holds_each_mark_and_says_phantom_trained(site: LiveSite, study: str) -> None:
    """TID 1410: a measurement group for each region, with the certainty of its lesion."""
    headers = [dcmread(DicomBytesIO(one), stop_before_pixels=True) for one in fetch(site, study)]
    (report,) = [
        one
        for one in headers
        if (one.SOPClassUID, one.get("ManufacturerModelName")) == (COMPREHENSIVE_3D_SR, MODEL)
    ]
    (container,) = children(report, "Imaging Measurements")
    groups = children(container, "Measurement Group")
    told = [one for one in groups if children(one, "Certainty of Finding")]
    assert len(told) == len(marks(findings(site, study)))
    assert "RESEARCH USE ONLY" in report.SeriesDescription
    assert "phantom" in findings(site, study).model.title.lower()


def test_real_mammograms_are_read_and_what_is_marked_means_nothing(
    site: LiveSite, shared: Path, tmp_path: Path
) -> None:
    """It has never seen a patient: all that is asked is that it answers, with few enough marks to be looked at."""
    study = send(site, write(tmp_path, demo_exam(shared / "data" / "nyu-density")))
    assert len(marks(findings(site, study))) <= 4 * 10
