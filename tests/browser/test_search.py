"""`/search` in Chromium: a researcher signs in, asks, sees counts as they come, and goes on to a dataset."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from archive import secrets
from archive.federation_keys import FEDERATION_KEY
from gateway.accounts import create_account
from tests.browser.conftest import PATIENCE, Watched
from tests.browser.federation import Node, serve_node
from tests.conformance.conftest import fill
from tests.conformance.permitted import dataset, run
from tests.conformance.test_search import RECORD, exam
from tests.integration.test_sign_in import PASSWORD
from tests.live import LiveSite

Open = Callable[..., Page]


def apart(function: Callable[..., Any], *values: Any) -> Any:
    """What it returns, called in another thread: in this one Playwright's event loop runs."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(function, *values).result()


@pytest.fixture(scope="module")
def node(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of a federation in which another one says nothing."""
    with serve_node(site, tmp_path_factory.mktemp("node")) as made:
        for key in (secrets.SITE_KEY, FEDERATION_KEY):
            secrets.write(Path(made.settings.secrets, key), bytes(32))
        fill(made.settings, [exam(number) for number in range(60)])
        made.add_member("far", "active")
        yield made


@pytest.fixture(scope="module")
def name(node: Node) -> str:
    """A published dataset of many patients."""
    made, cookie = apart(dataset, node.settings, "Modality=MG"), node.cookie("steward")
    with httpx.Client(
        base_url=node.base_url, cookies={cookie["name"]: cookie["value"]}, trust_env=False
    ) as client:
        headers = {"X-CSRF-Token": client.get("/api/session").json()["csrf_token"]}
        assert client.put(f"/api/catalogue/{made}", json=RECORD, headers=headers).is_success
        assert client.put(f"/api/catalogue/{made}/publication", headers=headers).is_success
    return made


@pytest.fixture
def enter(browser: Browser, node: Node) -> Iterator[Open]:
    """A callable: somebody opens a path, on a desk or a phone, by day or by night."""
    opened = []

    def open_page(path: str, *, width: int = 1280, scheme: str = "light", role: str = "") -> Page:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        context.set_default_timeout(PATIENCE)
        if role:
            context.add_cookies([node.cookie(role)])
        watched = Watched(context.new_page(), node.base_url)
        opened.append((context, watched))
        watched.page.goto(node.base_url + path)
        return watched.page

    yield open_page
    for context, watched in opened:
        context.close()
        assert (watched.foreign, [text for text in watched.errors if "status of 4" not in text]) == ([], [])


def finds_nothing(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_researcher_finds_a_dataset(enter: Open, node: Node, name: str) -> None:
    apart(run, node.settings, lambda connection: create_account(connection, "ada", PASSWORD))
    page = enter("/search")
    criteria = page.get_by_role("region", name="Studies with all of this")
    criteria.get_by_label("Mammography").check()
    criteria.get_by_label("Siemens").check()
    page.get_by_role("button", name="Count").click()
    page.get_by_role("alert").get_by_role("link", name="Sign in").click()
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="What was found")).to_be_visible()
    expect(page.get_by_label("Mammography").first).to_be_checked()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Ask for access"))
    assert int(row.get_by_role("cell").first.inner_text()) > 20
    expect(page.get_by_role("row", name=re.compile("No answer came in time"))).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("1 of 2 nodes have answered")
    row.get_by_role("link", name=re.compile("^Screening")).click()
    expect(page).to_have_url(f"{node.base_url}/catalogue/{name}")


def test_an_alternative_is_added_and_something_is_left_out(enter: Open, name: str) -> None:
    page = enter("/search", role="researcher")
    page.get_by_label("Mammography").first.check()
    page.get_by_role("button", name="Add an alternative").click()
    other = page.get_by_role("region", name="Or with all of this")
    other.get_by_label("Ultrasound").check()
    page.get_by_text("But with none of this").click()
    page.get_by_role("group").filter(has_text="But with none of this").get_by_label(
        "Male", exact=True
    ).check()
    page.get_by_role("button", name="Count").click()
    page.get_by_role("link", name="Link to this search").click()
    expect(page).to_have_url(re.compile(r"\?modality=MG&2\.modality=US&not\.sex=M&.*ask=1$"))
    expect(page.get_by_role("table")).to_contain_text("Screening")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (320, "light")])
def test_it_fits_its_window_and_axe_finds_nothing(
    enter: Open, name: str, artefacts: Path, width: int, scheme: str
) -> None:
    """WCAG 2.2, 1.4.10: at 320 pixels nothing but tables is scrolled sideways."""
    page = enter("/search?modality=MG&not.density=a&ask=1", width=width, scheme=scheme, role="researcher")
    page.screenshot(path=artefacts / f"search-{width}-{scheme}.png", full_page=True)
    finds_nothing(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
