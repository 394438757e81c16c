"""The portal in Chromium: each role from its first visit, by keyboard, on a telephone, in light and dark."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.people import sign_in
from tests.live import LiveSite

OpenAs = Callable[[str, str], Page]
FRONT = "/login?next=/"  # which asks nobody to sign in by itself
PAGES = {
    "visitor": ["/", "/catalogue", "/programs", "/login"],
    "researcher": ["/", "/access"],
    "clinician": ["/"],
    "steward": ["/", "/admin", "/admin/datasets", "/admin/opt-outs"],
    "administrator": ["/", "/admin", "/admin/accounts", "/admin/clients", "/admin/roles"],
}


def problems_of(page: Page) -> list[str]:
    """What axe-core finds of WCAG 2.2 A and AA."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found.response["violations"]]


def overflow_of(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("role", PAGES)
def test_pages_are_for_everybody(open_as: OpenAs, site: LiveSite, role: str) -> None:
    """WCAG 2.2 A and AA in both schemes, and 1.4.10: at 320 pixels nothing but tables is scrolled sideways."""
    page = open_as("researcher" if role == "visitor" else role, FRONT)
    if role == "visitor":
        page.context.clear_cookies()
    for path in PAGES[role]:
        page.goto(site.base_url + path, wait_until="networkidle")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert problems_of(page) == [], (path, scheme)
        page.set_viewport_size({"width": 320, "height": 640})
        assert overflow_of(page) <= 0, path
        page.set_viewport_size({"width": 1280, "height": 800})
        assert page.get_by_role("heading", level=1).count() == 1


def test_a_visitor_finds_how_to_ask(page: Page, site: LiveSite) -> None:
    page.goto(site.base_url)
    expect(page.get_by_role("navigation", name="Site").get_by_role("link", name="Catalogue")).to_be_visible()
    page.get_by_label("Find a dataset").fill("mammograms")
    page.get_by_role("button", name="Find", exact=True).click()
    expect(page).to_have_url(re.compile(r"/catalogue\?q=mammograms"))
    expect(page.get_by_role("navigation", name="Site").locator("[aria-current=page]")).to_have_text(
        "Catalogue"
    )
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_researcher_is_led_to_ask_for_access(page: Page, site: LiveSite) -> None:
    subject = sign_in(page, site, "researcher", "/access")
    page.goto(site.base_url)
    expect(page.get_by_role("banner")).to_contain_text(subject)
    mine = page.get_by_role("region", name="Your requests and permits")
    expect(mine).to_contain_text("You have asked for none")
    mine.get_by_role("link", name="Access to data").click()
    expect(page).to_have_url(site.base_url + "/access")


def test_a_clinician_sees_the_latest_exams(open_as: OpenAs) -> None:
    page = open_as("clinician", FRONT)
    latest = page.get_by_role("region", name="Latest exams")
    expect(latest.get_by_role("link", name=re.compile("All of them"))).to_be_visible()
    page.get_by_role("link", name="Open the worklist").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")


def test_a_steward_goes_from_what_waits_to_the_requests(page: Page, site: LiveSite) -> None:
    sign_in(page, site, "steward", "/admin")
    page.goto(site.base_url)
    waiting = page.get_by_role("region", name="Waiting for a steward")
    waiting.get_by_role("link", name=re.compile("requests for access")).click()
    expect(page).to_have_url(site.base_url + "/access")


def test_an_administrator_goes_from_what_calls_to_what_to_do(page: Page, site: LiveSite) -> None:
    sign_in(page, site, "administrator", "/admin")
    page.goto(site.base_url)
    page.get_by_role("region", name="The node").get_by_role("link", name="Last backup").click()
    expect(page).to_have_url(site.base_url + "/admin#backup")
    row = page.get_by_role("row").filter(has_text="Last backup")
    expect(row).to_contain_text("Copy secrets, database and images elsewhere")


def test_dark_stays_chosen_from_page_to_page(page: Page, site: LiveSite) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(site.base_url + "/programs")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark").click()
    expect(page).to_have_url(site.base_url + "/programs")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(site.base_url + "/catalogue")
    assert dark != light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")


def test_all_is_reached_by_keyboard(page: Page, site: LiveSite) -> None:
    """WCAG 2.1.1, 2.4.1, 2.4.7: the way to the content comes first, and each link shows that it is focused."""
    page.goto(site.base_url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    wanted = page.locator("a:visible, button:visible, input:visible").count()
    reached = set()
    for _ in range(wanted + 5):
        focused = page.evaluate(
            "(e => e === document.body ? '' : (e.href || e.value || e.id) + e.textContent)(document.activeElement)"
        )
        if focused:
            reached.add(focused)
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", focused
        page.keyboard.press("Tab")
    named = page.locator("a, button, input:not([type=hidden])").evaluate_all(
        "all => all.map(e => (e.href || e.value || e.id) + e.textContent)"
    )
    assert set(named) <= reached
