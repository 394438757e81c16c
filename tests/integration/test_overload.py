"""A real site that has run out of something: every door says so, and is open again when there is room."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.integration.conftest import send_c_store, send_stow
from tests.live import LiveSite, eventually

CONNECTIONS = 16  # of a gateway's pool


def test_a_disk_without_room_is_told_by_each_door(
    sabotaged: tuple[LiveSite, Path], phantom_exam: Callable[[], list[bytes]]
) -> None:
    """Out of resources: 0xA700 (PS3.4 table B.2-1), and 503 with Retry-After (PS3.18 table 10.5.3-1)."""
    site, file = sabotaged
    first, second, *_ = phantom_exam()
    before = site.stored_instances()
    file.write_text("no room")
    try:
        assert send_c_store(site, first) == "A700"
        with site.client() as client:
            answer = client.post("/studies", content=second, headers={"Content-Type": "application/dicom"})
        failed = answer.json()["00081198"]["Value"]
        assert (answer.status_code, failed[0]["00081197"]["Value"]) == (503, [0xA700])
        assert int(answer.headers["retry-after"]) > 0
    finally:
        file.unlink()
    assert site.stored_instances() == before
    assert (send_c_store(site, first), send_stow(site, second)) == ("stored", "stored")


def test_more_requests_than_connections_to_postgresql_are_sent_away_and_served_later(
    sabotaged: tuple[LiveSite, Path],
) -> None:
    site, _ = sabotaged
    headers = {"Authorization": f"Bearer {site.token()}"}

    def ask(number: int) -> httpx.Response:
        address = f"{site.dicomweb_url}/studies?limit={1 + number}"
        return httpx.get(address, headers=headers, timeout=120, trust_env=False)

    assert ask(0).status_code == 200
    with site.database() as database, database.transaction():
        database.execute("lock table study in access exclusive mode")
        with ThreadPoolExecutor(2 * CONNECTIONS) as several:
            answers = list(several.map(ask, range(2 * CONNECTIONS)))
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    eventually(lambda: ask(0).status_code == 200)
