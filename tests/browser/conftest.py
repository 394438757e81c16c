"""Debian's Chromium, as a person without scripts has it."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PATIENCE = 30_000  # milliseconds


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser of its own for each module: as long as it is there, this thread runs Playwright's event loop."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed; tools/setup.sh test installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )  # it may run as root
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a person of its own, on which nothing that the policy refuses and no script is tried."""
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    yield page
    context.close()
    assert [text for text in said if "Content Security Policy" in text or "Refused" in text] == []
