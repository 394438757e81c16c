"""The viewer in Chromium: what hangs where, how it looks, and where a model's findings are drawn."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from pydicom import Dataset
from pydicom.uid import MRImageStorage, UltrasoundImageStorage

from inference.phantom_ultrasound import draw_image
from tests.browser import exams
from tests.browser.conftest import watching
from tests.browser.exams import AWAY, ROW, ROWS, SIZE
from tests.browser.people import sign_in
from tests.live import LiveSite
from tests.unit.mammograms import encoded

pytestmark = pytest.mark.filterwarnings("ignore:No bulk data URI handler")
CLOSE = 5  # pixels
SHOWN = "svg.senogate-findings[data-image]:not([data-image=''])"
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@dataclass
class Pane:
    """A viewport: where it lies on the page, and its pixels there, (rows, columns, 3)."""

    place: str
    left: float
    top: float
    pixels: np.ndarray

    @property
    def grey(self) -> np.ndarray:
        return self.pixels.min(axis=2)

    def square(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is brightest, in pixels of the pane: the largest share, no letters."""
        bright = self.grey > 200
        rows, columns = (np.flatnonzero(bright.sum(axis=axis) > 20) for axis in (1, 0))
        assert rows.size and columns.size, "nothing is bright"
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

    def expected_square(self) -> tuple[float, float, float, float]:
        """Where it must be: the image as high as the pane, its chest wall at the edge that it shares with the other."""
        laterality, view = self.place.split(" ")
        height, width, _ = self.pixels.shape
        scale, top = height / ROWS, ROW[laterality, view]
        near, far = AWAY * scale, (AWAY + SIZE) * scale
        left, right = (near, far) if laterality == "L" else (width - far, width - near)
        return left, top * scale, right, (top + SIZE) * scale

    def middle(self) -> float:
        """How bright the breast itself is, beside the square."""
        left, top, right, bottom = map(int, self.expected_square())
        return float(np.median(self.grey[bottom + 10 : bottom + 40, left:right]))


@pytest.fixture(scope="module")
def reader(browser: Browser, site: LiveSite) -> Iterator[Page]:
    """A clinician's page for all tests here, so that OHIF is loaded once."""
    with watching(browser, site) as page:
        sign_in(page, site, "clinician", "/access")
        yield page


def show(page: Page, site: LiveSite, study: str, panes: int) -> None:
    """Open a study as the worklist's link does, and wait until every viewport shows its picture."""
    page.goto(f"{site.base_url}/viewer/?StudyInstanceUIDs={study}")
    expect(page.locator(SHOWN)).to_have_count(panes)
    page.wait_for_load_state("networkidle")
    page.evaluate(TWO_FRAMES)  # a first picture may be turned or windowed in the next one


def panes_of(page: Page, artefacts: Path, name: str) -> list[Pane]:
    """The viewports, left to right and top to bottom; the screenshot is kept."""
    page.screenshot(path=artefacts / f"viewer-{name}.png")
    with Image.open(artefacts / f"viewer-{name}.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return sorted(
        (_pane(layer, pixels) for layer in page.locator(SHOWN).all()), key=lambda each: (each.top, each.left)
    )


def _pane(layer: Locator, pixels: np.ndarray) -> Pane:
    box = layer.bounding_box()
    assert box is not None
    left, top = round(box["x"]), round(box["y"])
    inside = pixels[top : top + round(box["height"]), left : left + round(box["width"])]
    return Pane(layer.get_attribute("data-place") or "", box["x"], box["y"], inside)


@pytest.fixture(scope="module")
def screening(reader: Page, site: LiveSite, artefacts: Path) -> list[Pane]:
    """(0028,1056) LINEAR is there, which alone makes a mammogram black in OHIF."""
    study = exams.store(site, exams.exam(VOILUTFunction="LINEAR"))
    exams.add_lesions(site, study)
    show(reader, site, study, 4)
    expect(reader.locator("svg.senogate-findings polyline")).to_have_count(4)
    return panes_of(reader, artefacts, "four-views")


class TestScreeningExam:
    def test_the_right_breast_hangs_left_and_cc_above(self, screening: list[Pane]) -> None:
        assert [pane.place for pane in screening] == ["R CC", "L CC", "R MLO", "L MLO"]

    def test_no_view_is_black(self, screening: list[Pane]) -> None:
        assert all(pane.grey.std() > 30 for pane in screening)

    def test_each_view_shows_its_own_image_with_the_chest_walls_in_the_middle(
        self, screening: list[Pane]
    ) -> None:
        for pane in screening:
            assert pane.square() == pytest.approx(pane.expected_square(), abs=CLOSE)

    def test_a_lesion_is_outlined_where_the_findings_put_it(
        self, reader: Page, screening: list[Pane]
    ) -> None:
        """Without a click or a question; the bright square is the lesion."""
        for pane in screening:
            layer = reader.locator(f"{SHOWN}[data-place='{pane.place}']")
            outline = layer.locator("polyline").evaluate(
                "line => { const box = line.getBBox(); return [box.x, box.y, box.x + box.width, box.y + box.height]; }"
            )
            assert outline == pytest.approx(pane.square(), abs=CLOSE)

    def test_it_says_what_it_is_and_that_it_is_for_research(
        self, reader: Page, screening: list[Pane]
    ) -> None:
        layer = reader.locator(f"{SHOWN}[data-place='L CC']")
        expect(layer).to_contain_text("Mammographic breast mass 90 %")
        expect(layer).to_contain_text("AI, research use only")

    def test_it_is_hidden_and_shown_again(self, reader: Page, screening: list[Pane]) -> None:
        marks = reader.locator("svg.senogate-findings polyline")
        reader.get_by_role("button", name="Hide findings").click()
        expect(marks).to_have_count(0)
        reader.keyboard.press("f")
        expect(marks).to_have_count(4)
        expect(reader.get_by_role("button", name="Hide findings")).to_be_visible()

    def test_nobody_moves_it_by_accident(self, reader: Page, screening: list[Pane]) -> None:
        assert (
            reader.locator(SHOWN).first.evaluate("layer => getComputedStyle(layer).pointerEvents") == "none"
        )


@pytest.fixture(scope="module")
def pictures(reader: Page, site: LiveSite, artefacts: Path) -> dict[str, Pane]:
    left_cc, right_cc, left_mlo, right_mlo = exams.exam("left")
    curved = {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    study = [
        encoded(exams.changed(left_cc, **curved), "JPEG 2000"),
        encoded(exams.changed(right_cc, **_inverted(right_cc)), "JPEG lossless"),
        encoded(exams.changed(left_mlo, **_table()), "HTJ2K"),
        encoded(exams.changed(right_mlo, **_upside_down(right_mlo)), "JPEG-LS"),
    ]
    show(reader, site, exams.store(site, study), 4)
    return {pane.place: pane for pane in panes_of(reader, artefacts, "codecs-and-windows")}


class TestPictures:
    """One exam whose views are compressed, windowed and turned in four ways; all come out as the same picture."""

    @pytest.mark.parametrize("place", ["L CC", "R CC", "L MLO", "R MLO"])
    def test_it_is_decoded_and_turned(self, pictures: dict[str, Pane], place: str) -> None:
        """JPEG 2000; JPEG lossless and mirrored; HTJ2K; JPEG-LS, mirrored and upside down."""
        assert pictures[place].square() == pytest.approx(pictures[place].expected_square(), abs=CLOSE)

    @pytest.mark.parametrize(
        ("place", "brightness"),
        [
            ("L CC", 255 / (1 + math.exp(2))),  # PS3.3 C.11.2.1.3.1: a line would make it black
            ("R CC", 255 * 1500 / 4095),  # MONOCHROME1
            ("L MLO", 255 / (1 + math.exp(2))),  # a VOI LUT Sequence alone, of that shape
            ("R MLO", 255 * (1500 - 1000) / 1000),  # LINEAR_EXACT
        ],
    )
    def test_it_is_as_bright_as_its_window_says(
        self, pictures: dict[str, Pane], place: str, brightness: float
    ) -> None:
        assert pictures[place].middle() == pytest.approx(brightness, abs=8)


def _inverted(part10: bytes) -> dict[str, object]:
    pixels = 4095 - exams.pixels_of(part10)
    return {
        "PhotometricInterpretation": "MONOCHROME1",
        "PresentationLUTShape": "INVERSE",
        "PixelData": pixels.tobytes(),
        "VOILUTFunction": None,
    }


def _upside_down(part10: bytes) -> dict[str, object]:
    """Head down: the columns go from feet to head (PS3.3 C.7.6.1.1.1)."""
    return {
        "PixelData": exams.pixels_of(part10)[::-1].tobytes(),
        "PatientOrientation": ["A", "H"],
        "WindowCenter": 1500,
        "WindowWidth": 1000,
        "VOILUTFunction": "LINEAR_EXACT",
    }


def _table() -> dict[str, object]:
    values = 4095 / (1 + np.exp(-4 * (np.arange(4096) - 2000) / 1000))
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", values.round().astype("<u2").tobytes())
    absent = dict.fromkeys(("WindowCenter", "WindowWidth", "VOILUTFunction"))
    return {"VOILUTSequence": [item], **absent}


class TestOtherStudies:
    def test_the_prior_hangs_beside(self, reader: Page, site: LiveSite, artefacts: Path) -> None:
        before = exams.exam()
        exams.store(site, before)
        show(reader, site, exams.store(site, exams.later(before, "20250301")), 8)
        panes = panes_of(reader, artefacts, "prior")
        assert [pane.place for pane in panes] == [
            *("R CC", "R CC", "L CC", "L CC"),
            *("R MLO", "R MLO", "L MLO", "L MLO"),
        ]
        images = [layer.get_attribute("data-image") for layer in reader.locator(SHOWN).all()]
        assert len(set(images)) == 8

    def test_the_frames_of_a_tomosynthesis_are_gone_through(
        self, reader: Page, site: LiveSite, shared: Path, artefacts: Path
    ) -> None:
        path = shared / "data" / "dicom" / "mg" / "hologic_dbt_j2k_4frames.dcm"
        show(reader, site, exams.store(site, exams.shared_study(path)), 1)
        (first,) = panes_of(reader, artefacts, "tomosynthesis")
        assert first.grey.std() > 20
        reader.locator(".cornerstone-canvas").first.hover()
        reader.mouse.wheel(0, 100)
        expect(reader.get_by_text("(2/4)")).to_be_visible()

    def test_an_ultrasound_fills_the_screen(self, reader: Page, site: LiveSite, artefacts: Path) -> None:
        study = exams.store(site, [exams.picture(UltrasoundImageStorage, "US", draw_image(3).pixels)])
        show(reader, site, study, 1)
        (pane,) = panes_of(reader, artefacts, "ultrasound")
        assert pane.grey.std() > 20

    def test_a_magnetic_resonance_image_is_shown(self, reader: Page, site: LiveSite, artefacts: Path) -> None:
        ramp = np.tile(np.linspace(0, 4095, 256).astype(np.uint16), (256, 1))
        show(reader, site, exams.store(site, [exams.picture(MRImageStorage, "MR", ramp)]), 1)
        (pane,) = panes_of(reader, artefacts, "magnetic-resonance")
        assert pane.grey.std() > 20


def test_it_leads_to_the_sign_in_and_back(browser: Browser, site: LiveSite) -> None:
    with watching(browser, site) as page:
        sign_in(page, site, "researcher", "/viewer/?StudyInstanceUIDs=1.2.3")
        expect(page).to_have_url(f"{site.base_url}/viewer/read?StudyInstanceUIDs=1.2.3")
