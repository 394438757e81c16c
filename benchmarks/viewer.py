"""How long a reader waits for the pictures of an exam of 68 MB after the click, and on what; Chromium, loopback.

A first visit has nothing kept; the others have OHIF's files, as every day after the first one. Graphics are drawn by
the processor where the machine has no GPU.
"""

import statistics
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.exams import write_studies
from benchmarks.report import keep
from tests.integration.test_sign_in import PASSWORD, add_account
from tests.live import LiveSite, find_free_ports, temporary_home

ROWS, COLUMNS = 3328, 2560
VISITS = 4
PATIENCE = 180_000  # milliseconds
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PICTURES = "svg.senogate-findings[data-image]:not([data-image=''])"
MOMENTS = """() => {
  const resources = performance.getEntriesByType("resource");
  const named = (part) => resources.filter((each) => each.name.includes(part));
  const ends = (part) => named(part).map((each) => each.responseEnd);
  const pictures = performance.getEntriesByName("senogate-picture").map((each) => each.startTime);
  return {
    page_ms: performance.getEntriesByType("navigation")[0].responseEnd,
    bundle_fetched_ms: Math.max(...ends("/app.bundle")),
    study_asked_ms: Math.min(...named("/metadata").map((each) => each.startTime)),
    metadata_ms: Math.max(...ends("/metadata")),
    pixels_asked_ms: Math.min(...named("/frames/").map((each) => each.startTime)),
    pixels_ms: Math.max(...ends("/frames/")),
    first_picture_ms: Math.min(...pictures),
    fourth_picture_ms: Math.max(...pictures),
  };
}"""


def main() -> None:
    with temporary_home() as home, tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        site = LiveSite(home, find_free_ports(3)).start()
        try:
            paths = write_studies(Path(folder), 1, 4, ROWS, COLUMNS)
            size = sum(path.stat().st_size for path in paths)
            (study,) = site.send(*paths)["studies"]
            rows = measure(site, study["study_instance_uid"])
        finally:
            site.stop()
    warm = rows[1:]
    median = {key: round(statistics.median(row[key] for row in warm)) for key in warm[0] if key != "visit"}
    rows.append({"visit": "median after the first", **median})
    keep("viewer", rows, exam_mb=round(size / 1e6, 1))


def measure(site: LiveSite, study: str) -> list[dict[str, Any]]:
    name = add_account(site, f"bench-{uuid.uuid4().hex[:8]}")
    site.run("role", "grant", f"account:{name}", "clinician")
    flags = FLAGS if "gpu" in sys.argv[1:] else FLAGS + SOFTWARE
    with sync_playwright() as playwright, tempfile.TemporaryDirectory(prefix="senogate-bench-") as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path="/usr/bin/chromium", args=flags, viewport={"width": 1600, "height": 1000}
        )
        page = context.new_page()
        sign_in(page, site, name)
        rows = [{"visit": number, **visit(page, site, study)} for number in range(1, VISITS + 1)]
        context.close()
    return rows


def sign_in(page: Page, site: LiveSite, name: str) -> None:
    page.goto(f"{site.base_url}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


def visit(page: Page, site: LiveSite, study: str) -> dict[str, int]:
    """Open the exam; milliseconds from the click to each moment."""
    page.goto(f"{site.base_url}/viewer/?StudyInstanceUIDs={study}")
    expect(page.locator(PICTURES)).to_have_count(4, timeout=PATIENCE)
    moments = {key: round(value) for key, value in page.evaluate(MOMENTS).items()}
    page.goto(f"{site.base_url}/access")
    return moments


if __name__ == "__main__":
    main()
