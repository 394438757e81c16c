"""`/federation` in Chromium: runs and members by hand and without scripts, curves as they come, the leaderboard."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from federation.manifest import Kind
from tests.browser.conftest import PATIENCE, Watched
from tests.browser.federation import Node, serve_node
from tests.live import LiveSite

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def node(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with serve_node(site, tmp_path_factory.mktemp("node")) as made:
        yield made


@pytest.fixture
def enter(browser: Browser, node: Node) -> Iterator[Open]:
    """A callable: somebody new with a role opens a path, with scripts or without, by day or by night."""
    opened = []

    def open_page(role: str, path: str, *, scripts: bool = False, scheme: str = "light") -> Page:
        context = browser.new_context(
            java_script_enabled=scripts, color_scheme=scheme, viewport={"width": 1280, "height": 900}
        )
        context.set_default_timeout(PATIENCE)
        context.add_cookies([node.cookie(role)])
        watched = Watched(context.new_page(), node.base_url)
        opened.append((context, watched))
        watched.page.goto(node.base_url + path)
        return watched.page

    yield open_page
    for context, watched in opened:
        context.close()
        assert watched.foreign == []
        assert [text for text in watched.errors if "status of 4" not in text] == []


def assert_no_violations(page: Page) -> None:
    """Of the rules of WCAG that axe-core can check."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_curves_and_rounds_come_as_they_are_done(
    enter: Open, node: Node, artefacts: Path, scheme: str
) -> None:
    run = node.add_run().run
    node.complete(run, 1)
    page = enter("steward", f"/federation/runs/{run}", scripts=True, scheme=scheme)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "1")
    for number in (2, 3, 4):
        node.complete(run, number)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "4")
    expect(page.get_by_role("img", name=re.compile("^Main figure: .*all sites 0.82"))).to_be_visible()
    assert len((page.locator(".plot polyline").first.get_attribute("points") or "").split()) == 4
    expect(page.get_by_role("row", name=re.compile("^4 .*north, south.*west \\(away\\)"))).to_be_visible()
    assert_no_violations(page)
    page.screenshot(path=artefacts / f"federation-run-{scheme}.png", full_page=True)


def test_a_site_is_let_in_by_the_fingerprint_that_was_heard(enter: Open, node: Node) -> None:
    shown = node.add_member("east", "requested")
    page = enter("steward", "/federation")
    expect(page.locator("body")).not_to_contain_text(shown)
    page.get_by_label("Fingerprint of east").fill(shown[:-1] + ("0" if shown[-1] != "0" else "1"))
    page.get_by_role("button", name="Let east take part").click()
    expect(page.get_by_role("alert")).to_contain_text("another fingerprint")
    page.get_by_label("Fingerprint of east").fill(shown.replace(" ", "").upper())
    page.get_by_role("button", name="Let east take part").click()
    expect(page.get_by_role("row", name=re.compile("^east takes part"))).to_contain_text(shown)
    page.get_by_role("button", name="Revoke east").click()
    expect(page.get_by_role("row", name=re.compile("^east was revoked"))).to_be_visible()
    told = node.execute("select count(*) from audit where content like '%%east%%federation.member%%'")
    assert told == [(2,)]


def test_a_training_is_asked_for_and_one_that_runs_is_stopped(
    enter: Open, node: Node, artefacts: Path
) -> None:
    run = node.add_run().run
    page = enter("administrator", "/federation")
    page.locator("#train-dataset").fill("screening")
    page.get_by_label("Rounds").fill("3")
    page.get_by_role("button", name="Propose the training").click()
    expect(page.get_by_role("listitem").filter(has_text="waits for the hub's conductor")).to_have_count(1)
    (terms,) = node.execute("select terms from run_request")[0]
    assert (terms["task"], terms["rounds"], terms["dataset"]) == ("density", 3, "screening")
    page.screenshot(path=artefacts / "federation.png", full_page=True)
    page.get_by_role("link", name=run).click()
    page.get_by_label("Why").fill("the wrong dataset")
    page.get_by_role("button", name="Stop this run").click()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Stop this run")).to_have_count(0)


def test_a_site_reads_a_run_and_approves_or_refuses_it(enter: Open, node: Node, artefacts: Path) -> None:
    run = node.offer(kind=Kind.EVALUATION, initial="", packages=("a" * 64,), rounds=1).run
    page = enter("steward", "/federation")
    page.get_by_role("row", name=re.compile(run)).get_by_role("link").click()
    expect(page.get_by_text("counts of patients who are held out")).to_be_visible()
    expect(page.get_by_text("a" * 64)).to_be_visible()
    page.get_by_role("button", name="Approve this run").click()
    expect(page.get_by_text(re.compile("Approved by account:steward"))).to_be_visible()
    page.get_by_role("button", name="Refuse this run").click()
    expect(page.get_by_text(re.compile("Refused by account:steward"))).to_be_visible()
    page.screenshot(path=artefacts / "federation-offered.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_leaderboard_is_sorted_without_a_script(
    enter: Open, node: Node, artefacts: Path, scheme: str
) -> None:
    run = node.add_run(kind=Kind.EVALUATION, initial="", packages=("b" * 64,), rounds=1).run
    for model, skill in (("weak-model", 0.55), ("strong-model", 0.9)):
        node.evaluate(run, model, skill)
    page = enter("researcher", "/federation/leaderboard", scripts=scheme == "dark", scheme=scheme)
    models = page.get_by_role("rowheader").filter(has_text="model 1.0.0")
    expect(models).to_have_text([re.compile("^Strong model"), re.compile("^Weak model")])
    page.get_by_role("link", name="Calibration error").first.click()
    expect(page.get_by_role("columnheader", name="Calibration error").first).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect(page.get_by_text("AI, research use only.")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^accuracy 0.9.*95 % interval")).first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^HOLOGIC 240")).first).to_be_visible()
    page.screenshot(path=artefacts / f"leaderboard-{scheme}.png", full_page=True)
    if scheme == "dark":
        assert_no_violations(page)


def test_pages_fit_their_window_and_axe_finds_nothing(enter: Open, node: Node) -> None:
    """WCAG 2.2, 1.4.10: at 320 pixels nothing but tables is scrolled sideways."""
    node.add_member("far", "requested")
    page = enter("steward", "/federation", scripts=True)
    assert_no_violations(page)
    page.set_viewport_size({"width": 320, "height": 800})
    for path in ("/federation", "/federation/leaderboard"):
        page.goto(node.base_url + path)
        box = page.locator("main").bounding_box()
        assert box is not None
        assert box["width"] <= 320


PATHS = [
    "/federation",
    "/federation/rows",
    "/federation/events",
    "/federation/runs/{run}",
    "/federation/runs/{run}/progress",
]


@pytest.mark.parametrize("path", PATHS)
def test_who_looks_after_the_federation_is_told_and_nobody_else(node: Node, path: str) -> None:
    run = node.add_run().run
    told = {
        role: status(node, "GET", path.format(run=run), node.cookie(role))
        for role in ("steward", "clinician")
    }
    assert told == {"steward": 200, "clinician": 403}
    assert status(node, "GET", path.format(run=run), None) in (303, 401)


@pytest.mark.parametrize(
    "path",
    ["/members/east/approve", "/members/east/revoke", "/trainings", "/evaluations",
     *(f"/runs/{{run}}/{change}" for change in ("stop", "approve", "refuse"))],
)  # fmt: skip
def test_a_form_that_the_page_did_not_make_changes_nothing(node: Node, path: str) -> None:
    run = node.add_run().run
    assert status(node, "POST", "/federation" + path.format(run=run), node.cookie("steward")) == 403
    assert node.execute("select state from run where run = %s", run) == [("waiting",)]


def test_a_run_that_is_not_there_is_nothing_to_see(node: Node) -> None:
    assert status(node, "GET", "/federation/runs/R0000000000000000", node.cookie("steward")) == 404


def status(node: Node, method: str, path: str, cookie: dict[str, str] | None) -> int:
    cookies = {cookie["name"]: cookie["value"]} if cookie else {}
    headers = {"content-type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    client = httpx.Client(cookies=cookies, headers=headers, trust_env=False, timeout=30)
    with client, client.stream(method, node.base_url + path) as answer:
        return answer.status_code
