"""How somebody signs in, in a browser."""

import re
import uuid

from playwright.sync_api import Page, expect

from tests.integration.test_sign_in import PASSWORD, add_account
from tests.live import LiveSite


def sign_in(page: Page, site: LiveSite, role: str, path: str) -> str:
    """Sign somebody new in on the way to a page; who that is. A researcher has no role."""
    name = add_account(site, f"{role}-{uuid.uuid4().hex[:8]}")
    if role != "researcher":
        site.run("role", "grant", f"account:{name}", role)
    page.goto(site.base_url + path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).not_to_have_url(re.compile(r"/login\b"))
    return f"account:{name}"
