"""What a running site holds: memory and file handles of each part, connections, what waits, and the disk."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import psutil

from tests.live import LiveSite

MIB = 2**20
EVERY = 10.0  # seconds between two looks
Sample = dict[str, float]
_PARTS = ("gateway", "worker", "keeper", "relay", "supernode", "trainer", "superlink", "conductor")
_TOLERANCE = {"memory": 24.0, "handles": 6.0, "connections": 5.0, "waits": 8.0, "disk": 24.0}
"""What may be more at the end, in MiB or by number, whatever it was: the difference of two busy moments."""
_SHARE = 0.06  # of what it was, which may be more as well
_RECORDS = """
    select sum(pg_total_relation_size(c.oid)) from pg_class c
    where relnamespace = 'public'::regnamespace and relkind = 'r' and relname = any(%s)"""
RECORDED = (
    *("audit", "audit_pending", "audit_checkpoint", "crosswalk", "deleted", "reidentification", "spool"),
    *("training_use", "run_round", "offered_run", "run", "spool_opening", "delivery_acknowledgement"),
)
"""Tables that grow by law: what was done, who came, what has gone. All others hold what the site holds now."""
_WAITS = {
    "readings": "select count(*) from reading where state = 'due'",
    "jobs": "select count(*) from procrastinate_jobs",
    "spool": "select count(*) from spool where state in ('waiting', 'cleaning')",
    "deliveries": "select count(*) from delivery where next_try is not null",
    "removals": "select count(*) from removal",
    "facts": "select count(*) from search_stale",
}


class Gauges:
    """Looks at one site, again and again."""

    def __init__(self, site: LiveSite) -> None:
        self._site = site
        self.samples: list[Sample] = []
        self._begun = self._recorded()

    def watch(self, seconds: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Look every few seconds, for so long or until it is over, and once at the end."""
        until, pause = time.monotonic() + seconds, Event()
        while time.monotonic() < until and not is_over():
            self.samples.append(self.look())
            pause.wait(min(EVERY, max(0.0, until - time.monotonic())))
        self.samples.append(self.look())

    def look(self) -> Sample:
        """What the site holds now, by kind and part."""
        return self._processes() | self._database() | self._disk()

    def records(self) -> dict[str, float]:
        """What the records of the site have grown by since the first look, in MiB."""
        return {"grown_mib": round((self._recorded() - self._begun) / MIB, 2)}

    def _processes(self) -> Sample:
        """Memory that is a part's own, in MiB (USS), and its file handles; its children's with it."""
        found: Sample = defaultdict(float)
        top = psutil.Process(self._site.pid)
        self._add(found, "site", top)
        for child in top.children():
            try:
                name = _name(child)
                for each in (child, *child.children(recursive=True)):
                    self._add(found, name, each)
            except psutil.NoSuchProcess:
                continue
        return dict(found)

    @staticmethod
    def _add(found: Sample, name: str, process: psutil.Process) -> None:
        try:
            uss, handles = process.memory_full_info().uss, process.num_fds()
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            return
        found[f"memory {name}"] += uss / MIB
        found[f"handles {name}"] += handles

    def _database(self) -> Sample:
        with self._site.database() as connection:
            waits = {f"waits {name}": _number(connection.execute(sql)) for name, sql in _WAITS.items()}
            ours = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
            clients = _number(connection.execute(ours))
            size = _number(connection.execute("select pg_database_size(current_database())"))
            position = _number(connection.execute("select sequence from follow_position"))
        with self._site.orthanc() as orthanc:
            last = orthanc.get("/changes?last").json()["Last"]
        held = {"connections postgresql": clients, "disk database": (size - self._recorded()) / MIB}
        return waits | held | {"waits index": last - position}

    def _recorded(self) -> float:
        with self._site.database() as connection:
            return _number(connection.execute(_RECORDS, [list(RECORDED)]))

    def _disk(self) -> Sample:
        home = self._site.home
        places = {"storage": Path(self._site.settings.storage), "spool": self._site.settings.spool}
        places |= {"logs": home / "logs", "orthanc": home / "orthanc"}
        return {f"disk {name}": _size(folder) / MIB for name, folder in places.items()}


def judge(samples: Sequence[Sample]) -> list[dict[str, object]]:
    """Whether each of what was looked at is flat: the last third of the time against the one before.

    In the first third a site fills its caches, its pools and the exams that it holds. Medians, so that what came and
    went does not count.
    """
    third = max(len(samples) // 3, 1)
    before, after = samples[third : 2 * third] or samples, samples[-third:]
    rows = [_judge_one(name, before, after) for name in sorted({name for each in samples for name in each})]
    return [
        row | {"most": round(max(each.get(str(row["what"]), 0.0) for each in samples), 1)} for row in rows
    ]


def _judge_one(name: str, before: Sequence[Sample], after: Sequence[Sample]) -> dict[str, object]:
    early, late = (statistics.median(each.get(name, 0.0) for each in some) for some in (before, after))
    allowed = max(_TOLERANCE[name.split()[0]], _SHARE * early)
    grown = late - early
    return {
        "what": name,
        "before": round(early, 1),
        "after": round(late, 1),
        "grown": round(grown, 1),
        "flat": grown <= allowed,
    }


def _name(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if "postgres" in command:
        return "postgresql"
    if "Orthanc" in command:
        return "orthanc"
    return next(
        (part for part in _PARTS if f"senogate {part}" in command or f"flower-{part}" in command), "other"
    )


def _number(cursor: object) -> float:
    row = cursor.fetchone()
    return float(row[0] or 0)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return found
