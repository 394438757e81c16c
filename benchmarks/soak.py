"""Everything a site does, together and for long: is what it holds as much at the end as it was when it had begun?

python -m benchmarks.soak [--minutes M] [--exams-per-minute N] [--kept N] [--training]

A site takes in exams by C-STORE and STOW-RS, reads them, and removes the oldest when it holds `--kept`; meanwhile it is
searched and exams are retrieved. With `--training` it is a site of a federation of its own and a hub, too, which has it
train without a pause. What it holds is looked at all the time (`benchmarks.gauges`), and judged: memory and handles of
each part, connections, what waits, and the disk. Exit status 1 where something is not flat, or was refused.
"""

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import httpx
from pydicom import dcmread

from benchmarks.gauges import Gauges, judge
from benchmarks.report import keep
from inference.demo import build_exam
from inference.phantom import draw_exam
from inference.phantom.mammogram import to_part10
from senogate import scu
from tests.live import LiveSite, find_free_ports, temporary_home

SHARED = "The machine was shared with other work meanwhile. No figure here is a timing."
SEARCHES, RETRIEVALS = 5.0, 1.0  # a second
_TOKEN = 300.0  # seconds that a client keeps its token, less than it is good for
_MULTIPART = 'multipart/related; type="application/dicom"'
_QUERIES = (
    "/studies?ModalitiesInStudy=MG&limit=50",
    "/studies?StudyDate=20200101-20301231&limit=100",
    "/series?Modality=MG&limit=20&offset=5",
    "/instances?limit=20&includefield=all",
    "/studies?PatientID=nobody",
    "/workitems?limit=10",
)


@dataclass
class Exam:
    """What was sent: four instances as files, and the study as the site knows it."""

    study: str
    files: list[Path]


@dataclass
class Load:
    """What is done to a site, until `ended`. Every answer is counted by what was asked and its status."""

    site: LiveSite
    folder: Path
    per_minute: float
    kept: int
    ended: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)
    held: deque[str] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._images = [draw_exam(seed, glandular_fraction=0.2 + seed / 10).images for seed in range(5)]
        self._pseudonyms = self.site.pseudonyms()
        self._number = 0

    def ingest(self) -> None:
        """Send an exam by one way and the next by the other; remove the oldest of too many."""
        client = _Client(self.site)
        while not self.ended.wait(60 / self.per_minute):
            exam = self._draw()
            by_stow = self._number % 2
            send = self._stow if by_stow else self._c_store
            self._count("STOW-RS" if by_stow else "C-STORE", send(client, exam))
            self.held.append(exam.study)
            for file in exam.files:
                file.unlink()
            if len(self.held) > self.kept:
                self._remove(self.held.popleft())

    def search(self) -> None:
        client, random = _Client(self.site), Random(1)
        while not self.ended.wait(1 / SEARCHES):
            self._count("QIDO-RS", client.get(random.choice(_QUERIES)))

    def retrieve(self) -> None:
        """Of the newer half of what is held, which is not removed meanwhile."""
        client, random = _Client(self.site), Random(2)
        while not self.ended.wait(1 / RETRIEVALS):
            if len(self.held) < 6:
                continue
            study = random.choice(list(self.held)[len(self.held) // 2 : -2])
            rows = client.rows(f"/studies/{study}/instances?Modality=MG")
            if not rows:  # sent a moment ago
                continue
            instance = random.choice(rows)["00081190"]["Value"][0]
            self._count("WADO-RS study", client.get(f"/studies/{study}", _MULTIPART))
            self._count("metadata", client.get(f"/studies/{study}/metadata"))
            self._count("frame", client.get(f"{instance}/frames/1", "*/*"))
            self._count("rendered", client.get(f"{instance}/rendered", "image/jpeg"))

    def _draw(self) -> Exam:
        self._number += 1
        images = self._images[self._number % len(self._images)]
        files = []
        for number, each in enumerate(build_exam(images, seed=f"soak {self._number}")):
            dataset = dcmread(BytesIO(each))
            dataset.PatientID = f"SOAK-{self._number // 3}"  # who comes three times
            dataset.AccessionNumber = f"S{self._number}"
            files.append(self.folder / f"{self._number}-{number}.dcm")
            files[-1].write_bytes(to_part10(dataset))
        return Exam(self._pseudonyms.uid(str(dataset.StudyInstanceUID)), files)

    def _c_store(self, _: "_Client", exam: Exam) -> int:
        """The worst status; 200 stands for success."""
        outcomes: list[scu.Outcome] = []
        receiver = scu.Receiver("127.0.0.1", self.site.settings.dicom_port, self.site.settings.dicom_aet)
        scu.send(scu.find_items(exam.files), receiver, 2, outcomes.append)
        return 200 if all(outcome.is_stored for outcome in outcomes) else 0xA700

    def _stow(self, client: "_Client", exam: Exam) -> int:
        head = b"--boundary\r\nContent-Type: application/dicom\r\n\r\n"
        body = b"".join(head + file.read_bytes() + b"\r\n" for file in exam.files) + b"--boundary--\r\n"
        return client.post("/studies", body, f"{_MULTIPART}; boundary=boundary")

    def _remove(self, study: str) -> None:
        with self.site.database() as database, self.site.orthanc() as orthanc:
            found = database.execute("select orthanc_id from instance where study_instance_uid = %s", [study])
            for (identifier,) in found.fetchall():
                self._count("removal", orthanc.delete(f"/instances/{identifier}").status_code)

    def _count(self, what: str, status: int) -> None:
        self.answers[f"{what} {status}"] += 1


class _Client:
    """Asks with a token that is new every few minutes."""

    def __init__(self, site: LiveSite) -> None:
        self._site = site
        self._client = site.client()
        self._until = time.monotonic() + _TOKEN

    def get(self, path: str, accept: str = "*/*") -> int:
        """The status of an answer that is read to its end; 0 where none came."""
        try:
            with self._fresh().stream("GET", path, headers={"Accept": accept}) as answer:
                for _ in answer.iter_raw():
                    pass
                return answer.status_code
        except httpx.TransportError:
            return 0

    def rows(self, path: str) -> list[dict[str, Any]]:
        answer = self._fresh().get(path)
        return answer.json() if answer.status_code == 200 else []

    def post(self, path: str, body: bytes, media_type: str) -> int:
        return self._fresh().post(path, content=body, headers={"Content-Type": media_type}).status_code

    def _fresh(self) -> httpx.Client:
        if time.monotonic() > self._until:
            self._until = time.monotonic() + _TOKEN
            self._client.headers["Authorization"] = f"Bearer {self._site.token()}"
        return self._client


def soak(
    site: LiveSite,
    seconds: float,
    per_minute: float,
    kept: int,
    beside: tuple[Callable[[Load], None], ...] = (),
    ended: threading.Event | None = None,
) -> tuple[Load, Gauges]:
    """Put the load on a site for so long, and look at it meanwhile. Raises what one of the clients raised."""
    with tempfile.TemporaryDirectory(prefix="senogate-soak-") as folder:
        load, gauges = Load(site, Path(folder), per_minute, kept), Gauges(site)
        is_over = ended.is_set if ended else lambda: False
        work = [load.ingest, load.search, load.retrieve, *(lambda one=one: one(load) for one in beside)]
        with ThreadPoolExecutor(len(work)) as pool:
            working = [pool.submit(one) for one in work]
            try:
                gauges.watch(seconds, lambda: is_over() or any(one.done() for one in working))
            finally:
                load.ended.set()
        for one in working:
            one.result()
    return load, gauges


@contextmanager
def _alone() -> Iterator[tuple[LiveSite, tuple[Callable[[Load], None], ...]]]:
    with temporary_home() as home:
        site = LiveSite(home, find_free_ports(3), {"SENOGATE_STABLE_AGE": "2"}).start()
        try:
            yield site, ()
        finally:
            site.stop()


@contextmanager
def _training() -> Iterator[tuple[LiveSite, tuple[Callable[[Load], None], ...]]]:
    """A site that trains for a hub, run after run."""
    from tests.federation.live import federation
    from tests.federation.teaching import is_over, look, propose, teach

    with federation(1, {"SENOGATE_STABLE_AGE": "2"}) as nodes:
        teach(nodes)

        def train(load: Load) -> None:
            number = 0
            while not load.ended.is_set():
                number += 1
                run = propose(nodes, rounds=3, sites=1, seed=number)
                while not is_over(nodes, run) and not load.ended.wait(2.0):
                    pass
                if not load.ended.is_set():
                    load.answers[f"training {200 if look(nodes, run)['state'] == 'done' else 500}"] += 1

        (site,) = nodes.sites.values()
        yield site, (train,)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--exams-per-minute", type=float, default=6.0)
    parser.add_argument("--kept", type=int, default=60, help="exams that the site holds at most")
    parser.add_argument("--training", action="store_true", help="with a hub, which has the site train")
    parser.add_argument(
        "--shared", action="store_true", help="say that the machine was shared with other work"
    )
    arguments = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())  # judged is what was seen until then
    with ExitStack() as stack:
        site, beside = stack.enter_context(_training() if arguments.training else _alone())
        per_minute, began = arguments.exams_per_minute, time.monotonic()
        load, gauges = soak(site, 60 * arguments.minutes, per_minute, arguments.kept, beside, ended)
        minutes, records = round((time.monotonic() - began) / 60, 1), gauges.records()
    rows = judge(gauges.samples)
    refused = {asked: count for asked, count in load.answers.items() if not asked.endswith(" 200")}
    more: dict[str, Any] = {"minutes": minutes, "looks": len(gauges.samples), "exams_per_minute": per_minute}
    more |= {"kept": arguments.kept, "answers": dict(sorted(load.answers.items())), "records": records}
    more |= {"note": SHARED} if arguments.shared else {}
    keep("soak", rows, **more)
    if refused or not all(row["flat"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
