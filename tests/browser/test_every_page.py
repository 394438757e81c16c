"""Every page that there is, as the routes tell: in each language, light and dark, narrow and wide, by mouse and keys.

WCAG 2.2 A and AA as far as axe-core can tell, and what it can't: focus (2.4.7, 2.4.11), keyboard traps (2.1.2),
reflow (1.4.10) and text spacing (1.4.12).
"""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from starlette.routing import Route

from gateway.portal.languages import LANGUAGES
from tests.browser.conftest import PATIENCE
from tests.browser.people import sign_in
from tests.conformance.catalogued import RECORD
from tests.live import LiveSite
from tests.unit import fake_site

OTHERS = re.compile(
    r"/(wado|dicom-web|api|oauth|\.well-known|health|metrics|federation/v1)\b.*|/openapi\.json|/fdp|/worklist"
    r"|.*\.(css|js|svg|sh)|.*/(rows|events|progress|latest|distribution|citation|callback)"
    r"|/login/{issuer}|/viewer.*"
)
"""What is no page: interfaces, scripts, parts that scripts ask for, ways to elsewhere; and OHIF, which has its own."""
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]}
NARROW = {"width": 320, "height": 640}
_TEXT_SPACING = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: .12em !important;
    word-spacing: .16em !important; } p { margin-bottom: 2em !important; }`);
  document.adoptedStyleSheets = [sheet];
}"""
_TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter((each) => each.getBoundingClientRect().right > innerWidth + 1
    && !each.closest(".wide, pre")).slice(0, 5).map((each) => each.outerHTML.slice(0, 120))"""
_CLIPPED = """() => [...document.querySelectorAll("button, label, legend, a, th, td, dt, dd, p, h1, h2, h3")]
  .filter((each) => getComputedStyle(each).overflow === "hidden" && !each.closest(".unseen") &&
    (each.scrollHeight > each.clientHeight + 1 || each.scrollWidth > each.clientWidth + 1))
  .map((each) => each.outerHTML.slice(0, 120))"""
_FOCUS = """() => {
  const all = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  const faults = [];
  for (const each of document.querySelectorAll(all)) {
    if (each.disabled || !each.checkVisibility()) continue;
    each.focus();
    if (document.activeElement !== each) { faults.push(["takes no focus", each.outerHTML.slice(0, 120)]); continue; }
    const style = getComputedStyle(each);
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1)
      faults.push(["shows no focus", each.outerHTML.slice(0, 120)]);
    const box = [...each.getClientRects()].find((one) => one.width && one.height);
    const x = box.left + Math.min(box.width, innerWidth - Math.max(box.left, 0)) / 2;
    const y = Math.min(Math.max(box.top, 0) + Math.min(box.height, innerHeight) / 2, innerHeight - 1);
    const top = document.elementFromPoint(x, y);
    if (top && !each.contains(top) && !top.contains(each) && !each.closest("label, .wide")?.contains(top))
      faults.push(["is hidden", each.outerHTML.slice(0, 120), top.outerHTML.slice(0, 120)]);
  }
  return faults;
}"""


def paths() -> list[str]:
    """The addresses of all pages, with the names of parameters."""
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        routes = fake_site.build(Path(home)).client._application.routes
    found = {each.path for each in routes if isinstance(each, Route) and "GET" in (each.methods or ())}
    return sorted(path for path in found if not OTHERS.fullmatch(path))


PAGES = paths()


@pytest.fixture(scope="module")
def named(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What stands for a parameter of an address: a dataset that is published, and things that are not there."""
    name, record = f"p{uuid.uuid4().hex[:10]}", tmp_path_factory.mktemp("record") / "record.toml"
    record.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in RECORD.items()))
    site.run("dataset", "create", name, "Modality=MG")
    site.run("catalogue", "edit", name, str(record))
    site.run("catalogue", "publish", name)
    return {"dataset": name, "version": "1", "permit": "P0", "job": "J0", "run": "R0", "issuer": "none"}


def _toml(value: Any) -> str:
    return str(list(value)) if isinstance(value, (list, tuple)) else repr(value)


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: LiveSite) -> Iterator[Page]:
    """An administrator, who is shown every page."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    sign_in(page, site, "administrator", "/access")
    yield page
    context.close()


def open_page(page: Page, site: LiveSite, path: str, language: str) -> None:
    page.context.add_cookies([{"name": "lang", "value": language, "url": site.base_url}])
    page.goto(site.base_url + path, wait_until="load")


def address(path: str, named: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: named[found[1]], path)


def test_there_are_pages() -> None:
    assert {"/", "/login", "/catalogue/{dataset}", "/worklist/", "/search", "/admin"} <= set(PAGES)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_made_in_each_language(
    visitor: Page, site: LiveSite, named: dict[str, str], path: str
) -> None:
    texts = {}
    for code in LANGUAGES:
        visitor.context.add_cookies([{"name": "lang", "value": code, "url": site.base_url}])
        answer = visitor.context.request.get(
            site.base_url + address(path, named), headers={"accept": "text/html"}
        )
        assert answer.status < 500
        texts[code] = answer.text()
        assert f'<html lang="{code}"' in texts[code]
        assert answer.headers["content-language"] == code
        shown = re.sub("data-words='.*?'", "", texts[code])  # what a script puts values into
        assert "%(" not in shown and "{{" not in shown
    assert len(set(texts.values())) == len(LANGUAGES)


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_light_or_dark(
    visitor: Page, site: LiveSite, named: dict[str, str], path: str
) -> None:
    """In German, whose words are the longest; in the dark only colours are others."""
    open_page(visitor, site, address(path, named), "de")
    for scheme, options in (("light", AXE), ("dark", COLOURS)):
        visitor.emulate_media(color_scheme=scheme)
        found = Axe().run(visitor, options=options).response["violations"]
        assert [(one["id"], [each["html"] for each in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_narrow_page_and_wide_text_lose_nothing(
    visitor: Page, site: LiveSite, named: dict[str, str], path: str
) -> None:
    """WCAG 2.2, 1.4.10 and 1.4.12: but for tables nothing is scrolled sideways, and nothing is cut off."""
    visitor.set_viewport_size(NARROW)
    try:
        open_page(visitor, site, address(path, named), "de")
        assert visitor.evaluate(_TOO_WIDE) == []
        visitor.evaluate(_TEXT_SPACING)
        assert visitor.evaluate(_TOO_WIDE) == []
        assert visitor.evaluate(_CLIPPED) == []
    finally:
        visitor.set_viewport_size({"width": 1200, "height": 800})


@pytest.mark.parametrize("path", PAGES)
def test_what_takes_the_focus_shows_it(
    visitor: Page, site: LiveSite, named: dict[str, str], path: str
) -> None:
    """WCAG 2.2, 2.4.7 and 2.4.11: the first key makes focus visible, as it is for who uses the keyboard."""
    open_page(visitor, site, address(path, named), "fr")
    visitor.keyboard.press("Tab")
    assert visitor.evaluate(_FOCUS) == []


@pytest.mark.parametrize(
    "path", [path for path in PAGES if path in ("/worklist/", "/federation", "/admin", "/search")]
)
def test_the_keyboard_leaves_every_part(visitor: Page, site: LiveSite, path: str) -> None:
    """WCAG 2.2, 2.1.2, on pages with scripts: Tab comes to the last thing of the page, the choice of a language."""
    open_page(visitor, site, path, "it")
    for _ in range(200):
        visitor.keyboard.press("Tab")
        if visitor.evaluate("document.activeElement.matches('.languages button:last-of-type')"):
            return
    pytest.fail("the last button of the page is not reached")


def test_a_choice_at_the_foot_changes_the_language_of_a_page_that_was_kept(
    browser: Browser, site: LiveSite
) -> None:
    """The catalogue is kept for a minute by whoever asked for it, in a language each."""
    context = browser.new_context(locale="fr-FR", java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(site.base_url + "/catalogue?q=nothing")
    assert page.locator("html").get_attribute("lang") == "fr"
    page.get_by_role("button", name="Italiano").click()
    assert page.url == site.base_url + "/catalogue?q=nothing"
    assert page.locator("html").get_attribute("lang") == "it"
    assert page.get_by_role("button", name="Italiano").get_attribute("aria-pressed") == "true"
    context.close()
