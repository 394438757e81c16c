"""What a federation of real nodes needs to learn: labelled exams at its sites, a permit and a policy there, a run."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from archive import approvals
from archive.approvals import Bounds
from federation.manifest import Kind
from tests.federation.exams import Drawn, draw_exams, labels, send_exams
from tests.federation.live import HUB, Federation
from tests.live import LiveSite

DATASET = "screening"
VENDORS = ("alpha", "beta", "gamma", "delta")
CATEGORIES = "abcdabcdabcd"
_PERMIT = (
    "permit grant federation:hub --dataset screening --purpose algorithms --legal-basis consent "
    "--action federation.train --action dicomweb.read --until"
)


def teach(nodes: Federation, categories: str = CATEGORIES) -> dict[str, list[Drawn]]:
    """Give each site labelled exams, of a vendor each, and let it agree to learn from them; the exams by site."""
    vendors = zip(nodes.sites, VENDORS, strict=False)
    drawn = {name: draw_exams(vendor, categories, seed=ord(vendor[0])) for name, vendor in vendors}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: teach_site(nodes.sites[name], drawn[name]), drawn))
    return drawn


def teach_site(site: LiveSite, drawn: list[Drawn], kind: Kind = Kind.TRAINING) -> None:
    """Give a site labelled exams, a permit for the hub on them, and a policy that approves such runs."""
    send_exams(site, site.home.parent / "exams", drawn)
    file = site.home.parent / "labels.csv"
    file.write_text(labels(drawn))
    until = datetime.now(UTC) + timedelta(days=30)
    site.run("label", "import", str(file))
    site.run("dataset", "create", DATASET, "Modality=MG")
    site.run("dataset", "freeze", DATASET)
    site.run(*_PERMIT.split(), until.date().isoformat())
    asyncio.run(agree(site, until, kind))


async def agree(site: LiveSite, until: datetime, kind: Kind) -> None:
    """Let a site's policy approve runs about density on its dataset."""
    bounds = Bounds((kind,), ("density",), (DATASET,), ("algorithms",), 100, None, until)
    async with await AsyncConnection.connect(site.settings.database_url, autocommit=True) as connection:
        await approvals.add_policy(connection, bounds, by="test")


def propose(nodes: Federation, *, rounds: int, sites: int, seed: int = 0) -> str:
    """Start a run about density; its identifier."""
    command = (
        f"run start --task density --dataset {DATASET} --rounds {rounds} --min-sites {sites} --seed {seed}"
    )
    return str(nodes.tell(HUB, *command.split())[0]["run"])


def look(nodes: Federation, run: str) -> dict[str, Any]:
    """A run as the hub keeps it, with the figures of its rounds."""
    statement = "select state, round, message, submissions, flower_run from run where run = %s"
    with nodes.hub.database() as database:
        row = database.execute(statement, [run]).fetchone()
        rounds = database.execute(
            "select round, figures, sites from run_round where run = %s order by round", [run]
        )
        assert row
        found: dict[str, Any] = dict(
            zip(("state", "round", "message", "submissions", "flower_run"), row, strict=True)
        )
        return found | {"rounds": rounds.fetchall()}


def is_over(nodes: Federation, run: str) -> bool:
    return look(nodes, run)["state"] not in ("waiting", "running")
