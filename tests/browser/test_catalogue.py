"""`/admin/catalogue` and `/catalogue` in Chromium: from an empty record to what a visitor reads and cites."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from playwright.sync_api import Browser, Page, expect
from psycopg.types.json import Jsonb

from archive.holdings import Holdings, published
from tests.browser.people import sign_in
from tests.browser.test_jobs import finds_nothing
from tests.live import LiveSite

HELD = Holdings(
    individuals=120, studies=151, series=300, images=803, tomosynthesis=40, modalities={"MG": 149},
    manufacturers={"GE MEDICAL SYSTEMS": 90}, sexes={"F": 118}, ages={"45": 70, "60": 81},
    years={"2019": 100, "2021": 51}, densities={"a": 20, "b": 60, "c": 50, "d": 20}, lesions={"read": 90, "marked": 25},
)  # fmt: skip


@pytest.fixture
def steward(browser: Browser, site: LiveSite) -> Iterator[Page]:
    """A steward's page, on which a form that is refused is no error."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    sign_in(page, site, "steward", "/admin/catalogue")
    yield page
    context.close()


@pytest.fixture
def dataset(site: LiveSite) -> str:
    name = f"b{uuid.uuid4().hex[:10]}"
    site.run("dataset", "create", name, "Modality=MG&PatientID=nobody-has-it")
    return name


def write(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)
    page.get_by_role("button", name="Save").click()


def hold(site: LiveSite, dataset: str) -> None:
    """Let the dataset seem to hold something, so that there is something to be drawn."""
    row = {"name": dataset, "published": Jsonb(asdict(published(HELD)))}
    with site.database() as connection:
        connection.execute(
            "update holdings set published = %(published)s"
            " where dataset = (select number from dataset where name = %(name)s and version = 0)",
            row,
        )


@pytest.mark.timeout(180)
def test_a_steward_writes_a_record_and_a_visitor_reads_it(
    site: LiveSite, steward: Page, dataset: str
) -> None:
    page = steward
    page.goto(f"{site.base_url}/admin/catalogue/{dataset}")
    write(page, **{"Title": "Screening mammograms", "Contact: e-mail": "nobody"})
    expect(page.get_by_label("Contact: e-mail")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Title", exact=True)).to_have_value("Screening mammograms")
    finds_nothing(page)
    write(
        page,
        Description="Mammograms of a programme",
        Keywords="screening\nbreast cancer",
        Where_the_data_come_from="A programme",
        **{"Contact: e-mail": "data@hospital.example"},
    )
    finds_nothing(page)
    page.get_by_role("link", name="Preview what is saved").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Screening mammograms")
    finds_nothing(page)
    page.get_by_role("link", name="Back to the record").click()
    page.get_by_label("What changed, for the list of versions").fill("First version")
    page.get_by_role("button", name="Publish what is saved").click()
    expect(page.get_by_text("Everybody sees this record as it is.")).to_be_visible()
    page.goto(site.base_url + "/admin/catalogue")
    expect(page.get_by_role("row").filter(has_text=dataset)).to_contain_text("published")
    finds_nothing(page)
    hold(site, dataset)
    page.goto(f"{site.base_url}/catalogue/{dataset}")
    table = page.get_by_role("table", name=re.compile("Age at the exam"))
    expect(table.get_by_role("row").filter(has_text="45–49")).to_contain_text("70")
    finds_nothing(page)
    page.get_by_role("link", name="all versions and what changed").click()
    expect(page.get_by_text("First version")).to_be_visible()
    finds_nothing(page)
    page.goto(f"{site.base_url}/catalogue")
    finds_nothing(page)
    page.goto(f"{site.base_url}/admin/catalogue/{dataset}")
    page.get_by_role("button", name="Withdraw it").click()
    page.goto(f"{site.base_url}/catalogue/{dataset}")
    expect(page.get_by_text("Screening mammograms")).to_be_visible()
    finds_nothing(page)


@pytest.mark.parametrize("width", [320, 1280])
def test_pages_fit_their_window(site: LiveSite, steward: Page, dataset: str, width: int) -> None:
    """WCAG 2.2, 1.4.10."""
    page = steward
    page.set_viewport_size({"width": width, "height": 800})
    for path in (f"/admin/catalogue/{dataset}", "/admin/catalogue", "/catalogue"):
        page.goto(site.base_url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
