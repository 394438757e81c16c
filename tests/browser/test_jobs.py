"""`/jobs` in Chromium: a researcher asks, a steward lets the answer out, and she reads its tables."""

import hashlib
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.people import sign_in
from tests.federation.exams import draw_exams, labels, send_exams
from tests.live import LiveSite, eventually

WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
Open = Callable[[str, str], Page]


@pytest.fixture(scope="module")
def dataset(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a dataset of ten labelled patients."""
    folder, name = tmp_path_factory.mktemp("exams"), f"b{uuid.uuid4().hex[:10]}"
    exams = draw_exams("alpha", "aabbbcccdd", seed=uuid.uuid4().int % 10**6)
    send_exams(site, folder / "sent", exams)
    (folder / "labels.csv").write_text(labels(exams))
    site.run("label", "import", str(folder / "labels.csv"))
    uids = ",".join(site.pseudonyms().uid(one.study_instance_uid) for one in exams)
    site.run("dataset", "create", name, f"StudyInstanceUID={uids}")
    return name


def permit(site: LiveSite, page: Page, dataset: str) -> None:
    """Grant who looks at the page a permit for jobs, and look again."""
    subject = page.locator(".who code").inner_text()
    named = ("--dataset", dataset, "--purpose", "research", "--legal-basis", "GDPR 6(1)(e)")
    site.run("permit", "grant", subject, *named, "--action", "jobs.run")
    eventually(lambda: page.reload() and page.locator("form[action='/jobs/packages']").count())


def finds_nothing(page: Page) -> None:
    found = Axe().run(page, options=WCAG).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def state(page: Page, text: str) -> None:
    """Load the page again until its job is there."""
    eventually(lambda: page.reload() and page.locator("dd").first.inner_text().startswith(text))


def test_a_researcher_asks_and_a_steward_lets_the_answer_out(
    site: LiveSite, open_as: Open, dataset: str
) -> None:
    page = open_as("researcher", "/jobs")
    permit(site, page, dataset)
    finds_nothing(page)
    form = page.get_by_role("region", name="Ask for features of exams")
    form.get_by_label("Area of the breast in the image").check()
    form.get_by_role("group", name="Grouped by, two at most").get_by_label("Density").check()
    form.get_by_role("button", name="Ask for features").click()
    expect(page).to_have_url(re.compile(r"/jobs/J\d+$"))
    state(page, "Checked")
    expect(page.get_by_role("heading", name="Features", exact=True)).to_have_count(0)
    steward = open_as("steward", page.url.removeprefix(site.base_url))
    finds_nothing(steward)
    expect(steward.get_by_text("No cell counts one to four patients")).to_contain_text("holds")
    steward.get_by_role("button", name="Let the answer out").click()
    state(page, "Released")
    expect(page.get_by_role("row", name=re.compile("^All"))).to_contain_text("at least 10")
    finds_nothing(page)


def test_counts_are_asked_for_on_the_page(site: LiveSite, open_as: Open, dataset: str) -> None:
    page = open_as("researcher", "/jobs")
    permit(site, page, dataset)
    form = page.get_by_role("region", name="Ask for counts of patients")
    form.get_by_label("Density").check()
    form.get_by_role("button", name="Ask for counts").click()
    state(page, "Checked")
    steward = open_as("steward", page.url.removeprefix(site.base_url))
    steward.get_by_role("button", name="Let the answer out").click()
    state(page, "Released")
    finds_nothing(page)
    expect(page.get_by_role("table")).to_contain_text("at least 5")


def test_another_ones_job_is_not_there(page: Page, site: LiveSite) -> None:
    sign_in(page, site, "researcher", "/jobs/J1")
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("J1")


def package(folder: Path) -> tuple[Path, Path, str]:
    """A package that nobody has sent: its passport, its network, and the hash that it goes by."""
    network, passport = folder / "model.onnx", folder / "passport.toml"
    network.write_bytes(uuid.uuid4().bytes * 200_000)  # more than lies in memory
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    passport.write_text(f'name = "{uuid.uuid4()}"\n[network]\nsha256 = "{digest}"\n')
    return passport, network, hashlib.sha256(passport.read_bytes()).hexdigest()


def choose(page: Page, passport: Path, network: Path, labels: tuple[str, str]) -> None:
    for label, path in zip(labels, (passport, network), strict=True):
        page.get_by_label(label, exact=True).set_input_files(path)


def test_a_package_is_sent_in_on_the_page(
    site: LiveSite, open_as: Open, dataset: str, tmp_path: Path
) -> None:
    passport, network, sha256 = package(tmp_path)
    page = open_as("researcher", "/jobs")
    permit(site, page, dataset)
    choose(page, passport, network, ("Passport", "Network"))
    page.get_by_role("button", name="Send in").click()
    expect(page).to_have_url(re.compile(f"package={sha256}#evaluation$"))
    expect(page.get_by_label("Package", exact=True)).to_have_value(sha256)
    expect(page.get_by_role("row", name=sha256)).to_contain_text("whole")
    finds_nothing(page)
    steward = open_as("steward", "/jobs")
    steward.get_by_role("button", name=f"Approve {sha256}").click()
    expect(steward.get_by_role("row", name=sha256)).to_contain_text("approved by its hash")


def test_a_package_is_sent_in_without_a_script_and_what_is_wrong_is_told_in_her_language(
    page: Page, site: LiveSite, dataset: str, tmp_path: Path
) -> None:
    passport, network, sha256 = package(tmp_path)
    sign_in(page, site, "researcher", "/jobs")
    permit(site, page, dataset)
    page.get_by_role("button", name="Deutsch").click()
    labels = ("Modellpass", "Netz")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"another network")
    choose(page, passport, other, labels)
    page.get_by_role("button", name="Einreichen").click()
    expect(page.get_by_role("alert")).to_contain_text("SHA-256")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("row", name=sha256)).to_have_count(0)
    choose(page, network, network, labels)
    page.get_by_role("button", name="Einreichen").click()
    expect(page.get_by_role("alert")).to_contain_text("höchstens 65536 Byte")
    choose(page, passport, network, labels)
    page.get_by_role("button", name="Einreichen").click()
    expect(page.get_by_role("row", name=sha256)).to_be_visible()


def test_a_package_that_is_too_large_is_refused_on_the_page(
    page: Page, site: LiveSite, dataset: str, tmp_path: Path
) -> None:
    passport, network, _ = package(tmp_path)
    sign_in(page, site, "researcher", "/jobs")
    permit(site, page, dataset)
    with open(network, "wb") as file:
        file.truncate(600 * 1024**2)
    choose(page, passport, network, ("Passport", "Network"))
    page.get_by_role("button", name="Send in").click()
    expect(page.get_by_role("alert")).to_contain_text("larger than the 512 MiB")
