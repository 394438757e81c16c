"""When each page of the portal is painted, how many bytes it takes, and how long the state of a node is asked for.

Chromium on loopback. A first visit has nothing kept; the others have the style sheet, as on every day after the first.
"""

import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.exams import write_studies
from benchmarks.report import keep
from benchmarks.viewer import FLAGS, sign_in
from tests.integration.test_sign_in import add_account
from tests.live import LiveSite, find_free_ports, temporary_home

VISITS = 5  # of each page after the first
ASKED = 50  # times that the state is asked for
PATHS = (
    *("/", "/catalogue", "/programs", "/access", "/worklist/", "/jobs", "/federation", "/search"),
    *("/admin", "/admin/datasets", "/admin/catalogue", "/admin/accounts", "/admin/roles"),
)
MOMENTS = """async () => {
  const painted = await new Promise((tell) => new PerformanceObserver((list) => {
    const found = list.getEntriesByName("first-contentful-paint");
    if (found.length) tell(found[0]);
  }).observe({ type: "paint", buffered: true }));
  const [page] = performance.getEntriesByType("navigation");
  const loaded = performance.getEntriesByType("resource");
  return {
    paint_ms: painted.startTime,
    answered_ms: page.responseEnd,
    bytes: loaded.reduce((sum, each) => sum + each.transferSize, page.transferSize),
  };
}"""


def main() -> None:
    with temporary_home() as home, tempfile.TemporaryDirectory(prefix="senogate-bench-") as folder:
        site = LiveSite(home, find_free_ports(3)).start()
        try:
            site.send(*write_studies(Path(folder), 3, 4, 512, 512))
            rows = measure(site)
            rows.append({"page": "GET /api/state", **time_state(site)})
        finally:
            site.stop()
    keep("portal", rows)


def measure(site: LiveSite) -> list[dict[str, Any]]:
    """A row for each page: the first visit, and the median of those after it."""
    name = add_account(site, f"bench-{uuid.uuid4().hex[:8]}")
    for role in ("administrator", "clinician"):
        site.run("role", "grant", f"account:{name}", role)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        rows = [_measure_page(browser.new_context(), site, name, path) for path in PATHS]
        browser.close()
    return rows


def _measure_page(context: BrowserContext, site: LiveSite, name: str, path: str) -> dict[str, Any]:
    page = context.new_page()
    sign_in(page, site, name)
    context.new_cdp_session(page).send("Network.clearBrowserCache")
    visits = []
    for _ in range(VISITS + 1):
        page.goto(site.base_url + path, wait_until="load")
        visits.append(page.evaluate(MOMENTS))
    context.close()
    first, later = visits[0], visits[1:]
    return {
        "page": path,
        "first_paint_ms": round(first["paint_ms"]),
        "later_paint_ms": round(statistics.median(each["paint_ms"] for each in later)),
        "answered_ms": round(statistics.median(each["answered_ms"] for each in later), 1),
        "first_bytes": first["bytes"],
        "later_bytes": round(statistics.median(each["bytes"] for each in later)),
    }


def time_state(site: LiveSite) -> dict[str, float]:
    """Milliseconds to the whole answer."""
    taken = []
    with httpx.Client(headers={"Authorization": f"Bearer {site.token()}"}, trust_env=False) as client:
        for _ in range(ASKED):
            begun = time.perf_counter()
            client.get(f"{site.base_url}/api/state").raise_for_status()
            taken.append((time.perf_counter() - begun) * 1000)
    taken.sort()
    return {"median_ms": round(statistics.median(taken), 1), "p95_ms": round(taken[int(0.95 * ASKED)], 1)}


if __name__ == "__main__":
    main()
