"""The panel of findings in Chromium: what a reader is told of the models, and what becomes of what they say."""

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from inference.demo import demo_exam
from tests.integration.test_reviews import reviews_in, written
from tests.integration.test_whole_way import write
from tests.lesions_in_studies import add_lesions
from tests.live import LiveSite
from tests.unit.findings import code, only

pytestmark = pytest.mark.xdist_group("site")

EMPTY = """<!doctype html><html lang="en"><title>Panel</title><div id="panel"></div>
<script type="module" src="/panel-of-a-test.js"></script></html>"""
SCRIPT = """import { mount } from "/viewer/scripts/panel.js";
window.end = mount(document.getElementById("panel"), { studyInstanceUID: "1.2.3" });"""
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"  # no style but the panel's own
MARKUP = "<img src=x onerror=alert(1)>"
BARE = {
    "findings": None,
    "fingerprint": None,
    "result_sop_instance_uid": None,
    "changed_at": None,
    "reviews": [],
}


@pytest.fixture(scope="module")
def study(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An exam whose density a model read, and of whose lesions there are findings."""
    exam = demo_exam(seed=uuid.uuid4().hex)
    uid: str = site.send(write(tmp_path_factory.mktemp("exam"), exam))["studies"][0]["study_instance_uid"]
    add_lesions(site, uid)
    return uid


@pytest.fixture
def viewer(open_as: Callable[[str, str], Page], study: str) -> Page:
    return open_as("clinician", f"/viewer/?StudyInstanceUIDs={study}")


def article(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def test_a_reader_sees_density_finds_a_lesion_and_rejects_it(
    viewer: Page, site: LiveSite, study: str, artefacts: Path
) -> None:
    expect(viewer.get_by_role("heading", name="AI, research use only")).to_be_visible()
    density = article(viewer, "Density")
    expect(density.get_by_role("row").filter(has_text=re.compile(r"\d %"))).to_have_count(4)
    expect(density).to_contain_text("Percent Fibroglandular Tissue")
    expect(density).to_contain_text("Phantom-trained density model 2.0.0")
    expect(density).to_contain_text("Trained on phantoms, not on patients")
    viewer.get_by_role("button", name="Show L1 in left MLO").click()
    expect(viewer.get_by_role("status").filter(has_text="L1 is shown in left MLO.")).to_be_visible()
    viewer.screenshot(path=artefacts / "panel-lesion.png")
    off = viewer.evaluate(OFF_CENTRE)
    assert len(off) == 1 and max(map(abs, off[0])) < 5
    lesion = viewer.locator("[data-lesion=L1]").filter(has=viewer.get_by_role("button"))
    lesion.get_by_label("Comment on L1").fill("A skin fold.")
    lesion.get_by_role("button", name="Reject L1").click()
    expect(viewer.get_by_role("status").filter(has_text="Saved: L1 rejected.")).to_be_visible()
    review = lesion.get_by_role("list", name="Reviews of L1").get_by_role("listitem")
    expect(review).to_contain_text("Rejected by you")
    expect(review).to_contain_text("A skin fold.")
    uid = written(site, review.get_attribute("data-review") or "")
    evaluations = only(reviews_in(site, study)[uid], "Qualitative Evaluations")
    assert code(only(evaluations, "Impression").ConceptCodeSequence).value == "122776"
    expect(review).not_to_contain_text("not in the study yet")
    viewer.screenshot(path=artefacts / "panel-rejected.png")


OFF_CENTRE = """() => [...document.querySelectorAll("svg.senogate-findings polyline[data-lesion=L1]")]
  .filter((each) => each.closest("svg").dataset.place === "L MLO")
  .map((each) => [each.getBoundingClientRect(), each.closest("svg").getBoundingClientRect()])
  .map(([line, view]) => [line.x + line.width / 2 - view.x - view.width / 2,
                          line.y + line.height / 2 - view.y - view.height / 2])"""
"""How far the outline of L1 lies from the middle of the view L MLO, in pixels."""


Show = Callable[[dict[str, Any]], Page]


@pytest.fixture
def show(open_as: Callable[[str, str], Page], site: LiveSite) -> Show:
    """A callable: the panel alone, under a strict policy, with an answer of the API that is made up."""
    answers: dict[str, Any] = {}
    page = open_as("clinician", "/access")

    def told(route: Route) -> None:
        route.fulfill(json=answers)

    def serve(answer: dict[str, Any]) -> Page:
        answers.clear()
        answers.update(answer)
        page.goto(site.base_url + "/panel-of-a-test")
        return page

    page.route("**/api/studies/1.2.3/readings", told)
    page.route("**/panel-of-a-test", lambda route: route.fulfill(
        body=EMPTY, content_type="text/html", headers={"content-security-policy": POLICY}))  # fmt: skip
    page.route(
        "**/panel-of-a-test.js", lambda route: route.fulfill(body=SCRIPT, content_type="text/javascript")
    )
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    return serve


def reading(state: str, **more: Any) -> dict[str, Any]:
    return {"task": "density", "modality": "MG", "state": state, "reason": None, "model": "M 1"} | BARE | more


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([reading("due")], "Still being read."),
        ([reading("failed", reason=MARKUP)], f"Failed: {MARKUP}"),
        ([reading("not-applicable", reason="no MLO views")], "Not applicable: no MLO views"),
        ([], "Without AI"),
    ],
)
def test_a_study_without_an_answer_says_which_and_why(
    show: Show, answer: list[dict[str, Any]], said: str
) -> None:
    page = show({"awaits_images": False, "readings": answer})
    expect(page.get_by_role("region", name="AI, research use only")).to_contain_text(said)
    expect(page.get_by_role("button")).to_have_count(0)


def test_a_reading_that_ends_is_told_while_the_panel_is_open(show: Show) -> None:
    page = show({"awaits_images": False, "readings": [reading("due")]})
    expect(article(page, "Density")).to_contain_text("Still being read.")
    page.unroute("**/api/studies/1.2.3/readings")
    answer = {"awaits_images": False, "readings": [reading("failed", reason="no spacing")]}
    page.route(
        "**/api/studies/1.2.3/readings",
        lambda route: route.fulfill(body=json.dumps(answer), content_type="application/json"),
    )
    expect(page.get_by_role("status")).to_contain_text("Density: failed.")
    expect(article(page, "Density")).to_contain_text("no spacing")


def test_the_keyboard_goes_through_a_lesion_in_order(
    open_as: Callable[[str, str], Page], site: LiveSite, study: str
) -> None:
    """WCAG 2.2, 2.4.3: from where it is to what is said of it."""
    page = open_as("clinician", "/access")
    alone = EMPTY, SCRIPT.replace("1.2.3", study)
    page.route("**/panel-of-a-test", lambda route: route.fulfill(body=alone[0], content_type="text/html"))
    page.route(
        "**/panel-of-a-test.js", lambda route: route.fulfill(body=alone[1], content_type="text/javascript")
    )
    page.goto(site.base_url + "/panel-of-a-test")
    page.get_by_role("button", name="Show R1 in right CC").focus()
    for name in ("Accept R1", "Reject R1"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name)).to_be_focused()
    page.keyboard.press("Tab")
    comment = page.get_by_label("Comment on R1")
    expect(comment).to_be_focused()
    page.keyboard.type("Vascular.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Reviews of R1")).to_contain_text("Vascular.")
    expect(comment).to_have_value("")
