"""`/access` and `/admin` in Chromium without JavaScript: everything is found by its label or its role."""

import uuid

import pytest
from playwright.sync_api import Page, expect

from tests.browser.people import sign_in
from tests.live import LiveSite


def test_a_patient_opts_out(page: Page, site: LiveSite) -> None:
    sign_in(page, site, "steward", "/admin/opt-outs")
    patient_id = f"BROWSER-{uuid.uuid4().hex[:12]}"
    page.get_by_label("Patient ID", exact=True).fill(patient_id)
    page.get_by_role("button", name="Withhold her studies").click()
    pseudonym = site.pseudonyms().patient_id(patient_id)
    expect(page.get_by_role("status")).to_contain_text(pseudonym)
    expect(page.locator("body")).not_to_contain_text(patient_id)
    page.get_by_role("button", name=f"Withdraw the opt-out of {pseudonym}").click()
    expect(page.get_by_role("row").filter(has_text=pseudonym)).to_have_count(0)


def test_the_keyboard_reaches_the_content_first(page: Page, site: LiveSite) -> None:
    sign_in(page, site, "researcher", "/access")
    page.goto(site.base_url + "/access")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(site.base_url + "/access#main")


@pytest.mark.parametrize("width", [320, 1280])
def test_a_page_is_no_wider_than_its_window(page: Page, site: LiveSite, width: int) -> None:
    """WCAG 2.2, 1.4.10: at 320 pixels nothing but tables is scrolled sideways."""
    page.set_viewport_size({"width": width, "height": 800})
    sign_in(page, site, "administrator", "/admin/clients")
    for element in ("header", "main"):
        box = page.locator(element).bounding_box()
        assert box is not None
        assert box["width"] <= width
