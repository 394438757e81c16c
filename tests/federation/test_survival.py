"""A real federation whose hub is broken while it trains: the run goes on by itself, and ends with the same weights."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psutil
import psycopg
import pytest

pytest.importorskip("flwr")
pytest.importorskip("torch")

from archive import approvals, runs  # noqa: E402
from archive.approvals import Bounds  # noqa: E402
from archive.errors import Unavailable  # noqa: E402
from archive.pool import connect, connection_string  # noqa: E402
from archive.runs import Run, State  # noqa: E402
from federation.hub import checkpoint  # noqa: E402
from federation.hub.checkpoint import Checkpoint  # noqa: E402
from federation.hub.proposal import folder_of  # noqa: E402
from gateway.fleet.flower import read_ports  # noqa: E402
from inference.phantom.vendor import VENDORS  # noqa: E402
from tests.federation.exams import draw_exams, labels, send_exams  # noqa: E402
from tests.federation.live import HUB, Federation, federation  # noqa: E402
from tests.live import LiveSite, eventually  # noqa: E402

pytestmark = pytest.mark.fault
ROUNDS = 5
OPTIONS = (
    *("--task", "density", "--dataset", "screening", "--rounds", str(ROUNDS), "--seed", "7"),
    *("--min-sites", "2", "--strategy", "fedadam", "--learning-rate", "0.01"),
)


@pytest.fixture(scope="module")
def fed() -> Iterator[Federation]:
    with federation(2) as made:
        for number, (name, site) in enumerate(made.sites.items()):
            prepare(site, name, number)
        yield made


def prepare(site: LiveSite, name: str, number: int) -> None:
    """Give a site exams with labels, a permit for the hub, and a policy by which it takes part."""
    exams = draw_exams(list(VENDORS)[number], "abcd" * 3, seed=number + 1)
    send_exams(site, site.home / "exams", exams)
    (site.home / "labels.csv").write_text(labels(exams))
    site.run("dataset", "create", "screening", "Modality=MG")
    site.run("label", "import", str(site.home / "labels.csv"))
    allowed = ("--action", "federation.train", "--action", "dicomweb.read", "--legal-basis", "GDPR 9(2)(j)")
    site.run(
        "permit", "grant", f"federation:{HUB}", "--dataset", "screening", "--purpose", "algorithms", *allowed
    )
    bounds = Bounds(
        *(("training",), ("density",), ("screening",), ("algorithms",)),
        *(50, None, datetime.now(UTC) + timedelta(days=1)),
    )

    async def add() -> None:
        address = connection_string(site.settings.database_url)
        async with await psycopg.AsyncConnection.connect(address) as connection:
            await approvals.add_policy(connection, bounds, by="test")

    asyncio.run(add())


class Training:
    """A run at the hub, followed from outside."""

    def __init__(self, fed: Federation) -> None:
        self.fed, self.settings = fed, fed.hub.settings
        self.run = fed.tell(HUB, "run", "start", *OPTIONS)[0]["run"]

    def look(self) -> Run | None:
        """None while PostgreSQL is away."""
        try:
            with connect(self.settings.database_url) as connection:
                return runs.find(connection, self.run)
        except (Unavailable, psycopg.Error):
            return None

    def until(self, holds: Callable[[Run], bool]) -> Run:
        last: list[Run | None] = []

        def seen() -> Run | None:
            found = self.look()
            last[:] = [found]
            assert found is None or found.state != State.FAILED, found.message
            return found if found and holds(found) else None

        try:
            return eventually(seen)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None

    def finish(self) -> Run:
        """Round after round; each may take its time."""
        for number in range(1, ROUNDS + 1):
            self.until(lambda run, done=number: run.round >= done)
        return self.until(lambda run: run.state == State.DONE)

    def checkpoint(self) -> Checkpoint:
        found = checkpoint.latest(folder_of(self.settings, self.run), self.until(lambda _: True).sha256)
        assert found
        return found


def servers(fed: Federation) -> list[int]:
    """The processes in which Flower runs the hub's servers of runs."""
    address = f":{read_ports(fed.hub.settings).superlink}"
    found = [(one.pid, " ".join(one.info["cmdline"] or ())) for one in psutil.process_iter(["cmdline"])]
    return [pid for pid, command in found if "flwr-serverapp" in command and address in command]


def kill_server(fed: Federation) -> None:
    for pid in eventually(lambda: servers(fed)):
        os.kill(pid, signal.SIGKILL)


KILLS: list[Callable[[Federation], object]] = [
    kill_server,
    lambda fed: fed.kill("superlink", HUB),
    lambda fed: fed.kill("postgresql", HUB),
    lambda fed: fed.kill("conductor", HUB),
]


def test_a_hub_that_is_killed_part_by_part_ends_with_the_weights_of_one_that_is_not(fed: Federation) -> None:
    whole = Training(fed)
    whole.finish()
    broken = Training(fed)
    for number, kill in enumerate(KILLS):
        broken.until(lambda run, done=number: run.state == State.RUNNING and run.round > done)
        kill(fed)
    ended = broken.finish()
    assert ended.submissions >= 3
    difference = np.abs(broken.checkpoint().weights - whole.checkpoint().weights)
    assert float(difference.max()) <= 1e-6


def test_the_model_of_a_run_is_at_the_hub(fed: Federation) -> None:
    listed = fed.hub.run("model", "list", "--json").stdout
    assert "federated-density" in listed


def test_a_run_that_is_stopped_leaves_flower_and_the_sites_alone(fed: Federation) -> None:
    training = Training(fed)
    training.until(lambda run: run.state == State.RUNNING)
    fed.hub.run("federation", "run", "stop", training.run, "--reason", "enough")
    assert training.until(lambda run: True).message == "enough"
    eventually(lambda: not servers(fed))
