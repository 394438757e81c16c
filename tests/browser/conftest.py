"""Debian's Chromium, and people who sit at it: one without scripts, and one whose page is watched."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.browser.people import sign_in
from tests.live import LiveSite

PATIENCE = 120_000  # milliseconds: the machine may be busy with other tests
FLAGS = [
    "--no-sandbox",  # it may run as root
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--no-first-run", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
]


@dataclass
class Watched:
    """A page with scripts, and what it did that it should not."""

    page: Page
    origin: str
    foreign: list[str] = field(default_factory=list)  # requests to other origins
    errors: list[str] = field(default_factory=list)  # of the console, and exceptions that nothing caught

    def __post_init__(self) -> None:
        self.page.on("request", self._see)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)

    def _see(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.foreign.append(request.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location.get("url", "").endswith("/favicon.ico"):
            self.errors.append(message.text)


@contextmanager
def watching(browser: Browser, site: LiveSite) -> Iterator[Page]:
    """A page that runs scripts. It must ask no other origin for anything and tell of no error."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(PATIENCE)
    watched = Watched(context.new_page(), site.base_url)
    yield watched.page
    context.close()
    assert (watched.foreign, watched.errors) == ([], [])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for each module: as long as it is there, this thread runs Playwright's event loop."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed; tools/setup.sh test installs it")
    expect.set_options(PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a person of its own, on which nothing that the policy refuses and no script is tried."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    said: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    yield page
    context.close()
    assert [text for text in said if "Content Security Policy" in text or "Refused" in text] == []


@pytest.fixture
def open_as(browser: Browser, site: LiveSite) -> Iterator[Callable[[str, str], Page]]:
    """A callable: somebody new with a role ("researcher": with none) signs in on the way to a path; see `watching`."""
    with ExitStack() as stack:

        def open_page(role: str, path: str) -> Page:
            page = stack.enter_context(watching(browser, site))
            sign_in(page, site, role, path)
            return page

        yield open_page


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for screenshots that are kept."""
    folder = Path(os.environ.get("SENOGATE_TEST_ARTEFACTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
