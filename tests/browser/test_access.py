"""From a dataset's page to its data, in Chromium without JavaScript; and axe-core on each page of the way."""

import re
import uuid
from collections.abc import Callable
from datetime import date, timedelta

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE
from tests.browser.people import sign_in
from tests.conformance.test_catalogue import RECORD
from tests.integration.conftest import phantom_exam  # noqa: F401 - a fixture
from tests.integration.test_sign_in import PASSWORD
from tests.integration.test_whole_way import write
from tests.live import LiveSite

ENDS = str(date.today() + timedelta(days=30))


@pytest.fixture(scope="module")
def dataset(
    site: LiveSite,
    phantom_exam: Callable[[], list[bytes]],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A dataset of one instance, in the catalogue; its name."""
    sent = site.send(write(tmp_path_factory.mktemp("exam"), phantom_exam()[:1]))
    name = f"d{uuid.uuid4().hex[:8]}"
    site.run("dataset", "create", name, f"StudyInstanceUID={sent['studies'][0]['study_instance_uid']}")
    with site.client() as client:
        record = f"{site.base_url}/api/catalogue/{name}"
        assert client.put(record, json=RECORD).status_code == 200
        assert client.put(f"{record}/publication").status_code == 204
    return name


@pytest.fixture(scope="module")
def rules(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    version = f"b{uuid.uuid4().hex[:8]}"
    file = tmp_path_factory.mktemp("rules") / "rules.txt"
    file.write_text("Publish in aggregate.\nShow nobody the data.\n")
    site.run("rules", "publish", str(file), "--version", version)
    return version


def leave(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()


def come_back(page: Page, site: LiveSite, subject: str, path: str) -> None:
    page.goto(site.base_url + path)
    page.get_by_label("Name").fill(subject.removeprefix("account:"))
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Application")


def ask(page: Page, rules: str) -> str:
    """Fill the form in and send it; the address of the application."""
    page.get_by_label("Title of the project").fill("Density and age")
    page.get_by_label("Purpose").select_option("research")
    page.get_by_label("What the data are for").fill("We ask whether density falls with age.")
    page.get_by_label("Who will use them").fill("Ada, Institute of Numbers")
    page.get_by_label("Download the images").check()
    page.get_by_label("Until the end of").fill(ENDS)
    page.get_by_label("Legal basis").fill("GDPR 6(1)(e)")
    page.get_by_label(f"version {rules}").check()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Application")
    return re.sub(".*(/access/)", r"\1", page.url)


def test_from_the_datasets_page_to_an_instance(page: Page, site: LiveSite, dataset: str, rules: str) -> None:
    researcher = sign_in(page, site, "researcher", "/access")
    page.goto(f"{site.base_url}/catalogue/{dataset}")
    page.get_by_role("link", name="Ask for access").click()
    expect(page.get_by_label(dataset)).to_be_checked()
    path = ask(page, rules)
    leave(page)

    steward = sign_in(page, site, "steward", path)
    page.get_by_role("button", name="Begin the review").click()
    page.get_by_label("What is to be changed").fill("How many people are you?")
    page.get_by_role("button", name="Ask for changes").click()
    expect(page.locator("[aria-current=step]")).to_contain_text("Changes asked for")
    leave(page)

    come_back(page, site, researcher, path)
    expect(page.locator("article")).to_contain_text(["began the review", "How many people are you?"])
    page.get_by_label("Your message").fill("Two.")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_label("Who will use them").fill("Ada and Grace, Institute of Numbers")
    page.get_by_label(f"version {rules}").check()
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_role("main")).to_contain_text("Ada and Grace")
    leave(page)

    sign_in(page, site, "committee", path)
    page.get_by_label("For it").check()
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_role("main")).to_contain_text("Votes for it: 1")
    expect(page.get_by_role("button", name="Grant")).to_have_count(0)
    leave(page)

    come_back(page, site, steward, path)
    page.get_by_label("Granted until the end of").fill(ENDS)
    page.get_by_role("button", name="Grant", exact=True).click()
    leave(page)

    come_back(page, site, researcher, path)
    expect(page.locator("[aria-current=step]")).to_contain_text("Granted")
    manifest = page.get_by_role("link", name="CSV").get_attribute("href")
    page.get_by_role("button", name="Get a token").click()
    token = page.locator("#token").inner_text()
    fetch(f"{site.base_url}{manifest}", token)


def fetch(manifest: str, token: str) -> None:
    """The one instance that the manifest lists, of the length that it says."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
        names, (row,) = (lines := client.get(manifest).text.splitlines())[0], lines[1:]
        listed = dict(zip(names.split(","), row.split(","), strict=True))
        kind = {"Accept": "application/dicom; transfer-syntax=*"}
        instance = client.get(listed["url"], headers=kind)
    assert (instance.status_code, len(instance.content)) == (200, int(listed["bytes"]))
    assert instance.content[128:132] == b"DICM"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, site: LiveSite, dataset: str, rules: str, scheme: str) -> None:
    """WCAG 2.2 A and AA, as far as a program can tell."""
    context = browser.new_context(color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    sign_in(page, site, "researcher", f"/access?dataset={dataset}")
    look(page, f"/access/new?dataset={dataset}")
    path = ask(page, rules)
    for each in (path, "/access", "/access/rules"):
        look(page, each, site)
    leave(page)
    sign_in(page, site, "steward", path)
    page.get_by_label("What is to be changed").fill("More.")
    page.get_by_role("button", name="Ask for changes").click()
    for each in (path, "/access", "/admin/consents"):
        look(page, each, site)
    context.close()


def look(page: Page, path: str, site: LiveSite | None = None) -> None:
    if site:
        page.goto(site.base_url + path)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert [each["id"] for each in found.response["violations"]] == [], found.generate_report()


def test_a_consent_is_recorded_and_names_a_pseudonym(page: Page, site: LiveSite) -> None:
    sign_in(page, site, "steward", "/admin/consents")
    patient_id = f"BROWSER-{uuid.uuid4().hex[:12]}"
    page.get_by_label("Patient ID", exact=True).fill(patient_id)
    page.get_by_label("Her consent is").select_option("withdrawn")
    page.get_by_label("SHA-256 of the text").fill("0" * 64)
    page.get_by_label("Where the evidence is").fill("folder 7")
    page.get_by_role("button", name="Record it").click()
    pseudonym = site.pseudonyms().patient_id(patient_id)
    expect(page.get_by_role("status")).to_contain_text(pseudonym)
    expect(page.get_by_role("row").filter(has_text=pseudonym)).to_contain_text("Withdrawn")
    expect(page.locator("body")).not_to_contain_text(patient_id)
