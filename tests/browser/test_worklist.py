"""`/worklist/` in Chromium: by hand, by keyboard, without scripts, and as results come."""

import hashlib
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from inference.demo import demo_exam
from tests.browser.conftest import PATIENCE, Watched
from tests.browser.exams import changed, store
from tests.integration.test_whole_way import write
from tests.live import LiveSite

Open = Callable[[str, str], Page]
Enter = Callable[[str], Page]


@pytest.fixture(scope="module")
def study(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A phantom exam of a patient of her own that was sent and read."""
    exam = [changed(each, PatientID=uuid.uuid4().hex) for each in demo_exam(seed=uuid.uuid4().hex)]
    folder = write(tmp_path_factory.mktemp("exam"), exam)
    uid: str = site.send(folder)["studies"][0]["study_instance_uid"]
    return uid


@pytest.fixture(scope="module")
def patient(site: LiveSite, study: str) -> str:
    with site.database() as database:
        row = database.execute(
            "select patient_id from study where study_instance_uid = %s", [study]
        ).fetchone()
    assert row
    return str(row[0])


def set_reading(site: LiveSite, study: str, state: str, reason: str) -> None:
    with site.database() as database:
        database.execute(
            "update reading set state = %s, reason = %s, changed_at = now() where task = 'density'"
            " and study_instance_uid = %s",
            [state, reason, study],
        )


@pytest.fixture
def cookie(site: LiveSite) -> dict[str, str]:
    """The cookie of a clinician who is signed in."""
    subject, value = f"account:reader-{uuid.uuid4().hex[:8]}", secrets.token_urlsafe(32)
    with site.database() as database:
        database.execute(
            "insert into account (name, password_hash) values (split_part(%s, ':', 2), '')", [subject]
        )
        database.execute(
            "insert into role_grant (subject, role, granted_by) values (%s, 'clinician', 'test')", [subject]
        )
        database.execute(
            "insert into session (id_sha256, subject, roles, expires_at) values (%s, %s, '{}', now() + interval '1 h')",
            [hashlib.sha256(value.encode()).digest(), subject],
        )
    return {"name": "senogate", "value": value, "url": site.base_url}


@pytest.fixture
def enter(browser: Browser, site: LiveSite, cookie: dict[str, str]) -> Iterator[Enter]:
    """A callable: the clinician opens a path; the page has asked for its rows once, as it does when it hears."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(PATIENCE)
    context.add_cookies([cookie])
    watched = Watched(context.new_page(), site.base_url)

    def open_page(path: str) -> Page:
        with watched.page.expect_response(re.compile("/worklist/rows")):
            watched.page.goto(site.base_url + path)
        return watched.page

    yield open_page
    context.close()
    assert (watched.foreign, watched.errors) == ([], [])


def test_a_study_is_found_read_about_and_opened_by_keyboard(
    open_as: Open, site: LiveSite, study: str, patient: str, artefacts: Path
) -> None:
    page = open_as("clinician", "/worklist/")
    page.get_by_label("Patient ID", exact=True).fill(patient)
    page.get_by_label("Patient ID", exact=True).press("Enter")
    row = page.get_by_role("row").filter(has_text=patient)
    expect(row).to_have_count(1)
    assert "PatientID=" in page.url
    expect(row.locator("img")).to_have_js_property("complete", True)
    assert row.locator("img").evaluate("image => image.naturalWidth") > 0
    expect(row.get_by_role("cell", name=re.compile("^[A-D] phantom-trained$"))).to_be_visible()
    page.screenshot(path=artefacts / "worklist.png", full_page=True)
    link = row.get_by_role("link", name=re.compile(f"{patient} of .*: open in the viewer"))
    link.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row.get_by_text(re.compile("Phantom-trained density model"))).to_be_visible()
    page.route(re.compile(r"/viewer/\?"), lambda route: route.fulfill(response=route.fetch(), body="opened"))
    link.press("Enter")
    page.wait_for_url(re.compile(f"/viewer/.*StudyInstanceUIDs={study}"))
    page.goto(f"{site.base_url}/worklist/?PatientID={patient}")
    expect(page.get_by_role("button", name=re.compile(f"Mark unread: {patient} of"))).to_be_visible()


def test_what_changes_is_shown_without_loading_again(
    enter: Enter, site: LiveSite, study: str, patient: str, artefacts: Path
) -> None:
    page = enter(f"/worklist/?PatientID={patient}")
    page.evaluate("window.isLoadedOnce = true")
    summary = page.locator("summary").filter(has_text="Density (MG)")
    summary.focus()
    set_reading(site, study, "failed", "for a test")
    expect(page.get_by_text("Density (MG): failed")).to_be_visible()
    expect(summary).to_be_focused()
    expect(page.get_by_role("status").filter(has_text=f"Changed: {patient}")).to_have_count(1)
    page.screenshot(path=artefacts / "worklist-failed.png", full_page=True)
    set_reading(site, study, "done", "")
    expect(page.get_by_text("Density (MG): done")).to_be_visible()
    assert page.evaluate("window.isLoadedOnce")


def test_new_studies_are_told_of_and_shift_nothing(enter: Enter, site: LiveSite, study: str) -> None:
    page = enter("/worklist/")
    before = page.locator("th[scope=row]").all_text_contents()
    store(site, demo_exam(seed=uuid.uuid4().hex)[:1])
    expect(page.locator("#news")).to_contain_text("new stud")
    assert page.locator("th[scope=row]").all_text_contents() == before
    page.get_by_role("link", name="Show the first page").click()
    expect(page.locator("#news")).to_be_empty()
    expect(page.locator("th[scope=row]")).to_have_count(len(before) + 1)


def test_the_list_is_usable_without_scripts(
    page: Page, site: LiveSite, patient: str, cookie: dict[str, str]
) -> None:
    page.context.add_cookies([cookie])
    page.goto(f"{site.base_url}/worklist/?PatientID={patient}")
    row = page.get_by_role("row").filter(has_text=patient)
    expect(row).to_contain_text("Unread")
    row.get_by_role("button", name="Mark").click()
    expect(row.get_by_role("button", name=re.compile("Mark unread"))).to_be_visible()
    assert f"PatientID={patient}" in page.url
    page.get_by_label("Unread only").check()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No study that you may see is in this list.")).to_be_visible()


def test_arrows_go_from_study_to_study(enter: Enter, study: str) -> None:
    page = enter("/worklist/")
    links = page.locator("a.open")
    links.first.focus()
    page.keyboard.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(links.first).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(enter: Enter, study: str, scheme: str) -> None:
    """WCAG 2.2 A and AA, as far as a program can tell."""
    page = enter("/worklist/")
    page.emulate_media(color_scheme=scheme)
    page.locator("summary").first.click()
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert [each["id"] for each in found.response["violations"]] == [], found.generate_report()


def test_a_stream_ends_with_the_session(enter: Enter, study: str) -> None:
    page = enter("/worklist/")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in again")).to_be_visible()
