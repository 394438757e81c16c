"""The panel of findings in Chromium: what a reader is told of the models, and what becomes of what they say."""

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from inference.demo import demo_exam
from tests.browser.conftest import PATIENCE, watching
from tests.browser.people import sign_in
from tests.integration.test_reviews import reviews_in, written
from tests.integration.test_whole_way import write
from tests.lesions_in_studies import add_lesions
from tests.live import LiveSite
from tests.unit.findings import code, only

PAGE = """<!doctype html><html lang="en"><title>Panel</title><link rel="icon" href="data:,">
<div id="panel"></div><script type="module" src="/panel-of-a-test.js"></script></html>"""
SCRIPT = """import { mount } from "/viewer/scripts/panel.js";
mount(document.getElementById("panel"), { studyInstanceUID: "1.2.3" });"""
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"  # no style but the panel's own
)
MARKUP = "<img src=x onerror=alert(1)>"
OFF_CENTRE = """() => [...document.querySelectorAll("svg.senogate-findings polyline[data-lesion=L1]")]
  .filter((each) => each.closest("svg").dataset.place === "L MLO")
  .map((each) => [each.getBoundingClientRect(), each.closest("svg").getBoundingClientRect()])
  .map(([line, view]) => [line.x + line.width / 2 - view.x - view.width / 2,
                          line.y + line.height / 2 - view.y - view.height / 2])"""
"""How far the outline of L1 lies from the middle of the view L MLO, in pixels."""


@pytest.fixture(scope="module")
def study(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An exam whose density a model read, and of whose lesions there are findings."""
    exam = demo_exam(seed=uuid.uuid4().hex)
    uid: str = site.send(write(tmp_path_factory.mktemp("exam"), exam))["studies"][0]["study_instance_uid"]
    add_lesions(site, uid)
    return uid


@pytest.fixture(scope="module")
def viewer(browser: Browser, site: LiveSite, study: str) -> Iterator[Page]:
    """The exam in the viewer, before a clinician."""
    with watching(browser, site) as page:
        sign_in(page, site, "clinician", f"/viewer/?StudyInstanceUIDs={study}")
        expect(article(page, "Density")).to_be_visible(timeout=2 * PATIENCE)  # OHIF draws its pictures first
        yield page


def article(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def reviews_of(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name=f"Reviews of {name}").get_by_role("listitem")


def test_density_and_its_model_are_told(viewer: Page) -> None:
    expect(viewer.get_by_role("heading", name="AI, research use only")).to_be_visible()
    density = article(viewer, "Density")
    expect(density.get_by_role("row").filter(has_text=re.compile(r"\d %"))).to_have_count(4)
    expect(density).to_contain_text("Percent Fibroglandular Tissue")
    expect(density).to_contain_text(re.compile(r"Phantom-trained density model \d+\.\d+"))
    expect(density).to_contain_text("Trained on phantoms, not on patients")


def test_a_lesion_is_brought_into_the_middle_of_its_view(viewer: Page, artefacts: Path) -> None:
    viewer.get_by_role("button", name="Show L1 in left MLO").click()
    expect(viewer.get_by_role("status").filter(has_text="L1 is shown in left MLO.")).to_be_visible()
    viewer.wait_for_function(f"() => ({OFF_CENTRE})().flat().every((each) => Math.abs(each) < 5)")
    assert len(viewer.evaluate(OFF_CENTRE)) == 1
    viewer.screenshot(path=artefacts / "panel-lesion.png")


def test_a_rejected_lesion_is_seen_told_and_in_the_study(
    viewer: Page, site: LiveSite, study: str, artefacts: Path
) -> None:
    viewer.get_by_role("textbox", name="Comment on L1").fill("A skin fold.")
    viewer.get_by_role("button", name="Reject L1").click()
    expect(viewer.get_by_role("status").filter(has_text="Saved: L1 rejected.")).to_be_visible()
    review = reviews_of(viewer, "L1").last
    expect(review).to_contain_text("Rejected by you")
    expect(review).to_contain_text("A skin fold.")
    uid = written(site, review.get_attribute("data-review") or "")
    evaluations = only(reviews_in(site, study)[uid], "Qualitative Evaluations")
    assert code(only(evaluations, "Impression").ConceptCodeSequence).value == "122776"
    expect(review).not_to_contain_text("not in the study yet")
    viewer.screenshot(path=artefacts / "panel-rejected.png")


def test_the_keyboard_goes_from_where_a_lesion_is_to_what_is_said_of_it(viewer: Page) -> None:
    """WCAG 2.2, 2.4.3."""
    viewer.get_by_role("button", name="Show R1 in right CC").focus()
    viewer.keyboard.press("Tab")
    comment = viewer.get_by_role("textbox", name="Comment on R1")
    expect(comment).to_be_focused()
    viewer.keyboard.type("Vascular.")
    for name in ("Accept R1", "Reject R1", "Only comment on R1"):
        viewer.keyboard.press("Tab")
        expect(viewer.get_by_role("button", name=name)).to_be_focused()
    viewer.keyboard.press("Enter")
    expect(reviews_of(viewer, "R1").last).to_contain_text("Vascular.")
    expect(comment).to_have_value("")


def answering(answer: dict[str, Any]) -> Callable[[Route], None]:
    return lambda route: route.fulfill(**answer)


class Alone:
    """The panel alone, under a strict policy, with answers of the API that are made up."""

    def __init__(self, page: Page, site: LiveSite) -> None:
        self.page = page
        self.readings: list[dict[str, Any]] = []
        headers = {"content-type": "text/html", "content-security-policy": POLICY}
        for path, answer in {
            "panel-of-a-test": {"body": PAGE, "headers": headers},
            "panel-of-a-test.js": {"body": SCRIPT, "content_type": "text/javascript"},
            "api/session": {"json": {"may_review": True, "csrf_token": "t"}},
        }.items():
            page.route(f"**/{path}", answering(answer))
        page.route("**/api/studies/1.2.3/readings", self._tell)
        self._address = site.base_url + "/panel-of-a-test"

    def open(self, *readings: dict[str, Any]) -> None:
        self.readings = list(readings)
        self.page.goto(self._address)

    def _tell(self, route: Route) -> None:
        route.fulfill(json={"awaits_images": False, "readings": self.readings})


@pytest.fixture
def alone(browser: Browser, site: LiveSite) -> Iterator[Alone]:
    with watching(browser, site) as page:
        yield Alone(page, site)


def reading(state: str, reason: str | None = None) -> dict[str, Any]:
    named = {"task": "density", "modality": "MG", "state": state, "reason": reason, "model": "M 1"}
    nothing = ("findings", "fingerprint", "result_sop_instance_uid", "changed_at")
    return named | dict.fromkeys(nothing) | {"reviews": []}


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        ([reading("due")], "Still being read."),
        ([reading("failed", MARKUP)], f"Failed: {MARKUP}"),
        ([reading("not-applicable", "no MLO views")], "Not applicable: no MLO views"),
        ([], "Without AI"),
    ],
)
def test_a_study_without_an_answer_says_which_and_why(
    alone: Alone, readings: list[dict[str, Any]], said: str
) -> None:
    alone.open(*readings)
    expect(alone.page.get_by_role("region", name="AI, research use only")).to_contain_text(said)
    expect(alone.page.get_by_role("button")).to_have_count(0)


def test_a_reading_that_ends_is_told_while_the_panel_is_open(alone: Alone) -> None:
    alone.open(reading("due"))
    expect(article(alone.page, "Density")).to_contain_text("Still being read.")
    alone.readings = [reading("failed", "no spacing")]
    expect(alone.page.get_by_role("status")).to_contain_text("Density: failed.")
    expect(article(alone.page, "Density")).to_contain_text("no spacing")


@pytest.mark.parametrize(
    ("code", "title", "said"),
    [
        ("es", "IA, solo para investigación", "Fallido: no spacing"),
        ("fr", "IA, réservée à la recherche", "Échoué: no spacing"),
        ("de", "KI, nur zu Forschungszwecken", "Fehlgeschlagen: no spacing"),
        ("it", "IA, solo per uso di ricerca", "Non riuscito: no spacing"),
    ],
)
def test_the_panel_speaks_the_readers_language(
    alone: Alone, site: LiveSite, code: str, title: str, said: str
) -> None:
    """A reason is the model's own, and marked as English."""
    alone.page.context.add_cookies([{"name": "lang", "value": code, "url": site.base_url}])
    alone.open(reading("failed", "no spacing"))
    panel = alone.page.get_by_role("region", name=title)
    expect(panel.get_by_role("article")).to_contain_text(said)
    expect(panel.locator("[lang=en]").filter(has_text="no spacing")).to_have_count(1)
