"""What has to hold of a site once it has recovered: when it has, and what is wrong with it then."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from archive import checkpoints
from archive.errors import Unavailable
from archive.orthanc import Orthanc
from deidentification.pseudonym import Pseudonyms
from tests.fault.exams import MARKS, Arrivals, pixels_of
from tests.integration.traces import Traces
from tests.live import LiveSite

_TRACES = Traces(MARKS)
_OPEN = {
    "studies that wait to settle": "select count(*) from unsettled",
    "readings that are due": "select count(*) from reading where state = 'due'",
    "readings that failed": "select count(*) from reading where state = 'failed'",
    "instances that wait to be cleaned": "select count(*) from spool where state in ('waiting', 'cleaning')",
    "jobs on the queue": "select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
}


@dataclass
class Ledger:
    """What a site has acknowledged so far, by its pseudonyms; and how many damaged ones it was sent."""

    pseudonyms: Pseudonyms
    studies: dict[str, str] = field(default_factory=dict)
    pixels: dict[str, str] = field(default_factory=dict)  # of mammograms: they must be stored as they came
    damaged: int = 0

    def note(self, arrivals: Arrivals) -> None:
        for item in arrivals.sound:
            uid = self.pseudonyms.uid(item.sop_instance_uid)
            self.studies[uid] = self.pseudonyms.uid(item.study_instance_uid)
        self.damaged += len(arrivals.damaged)

    def of(self, study: str) -> set[str]:
        return {uid for uid, of in self.studies.items() if of == study}


def unfinished(site: LiveSite) -> str:
    """What the site still has to do; empty when it has recovered, and has nothing left to do."""
    try:
        answer = httpx.get(f"{site.base_url}/health/ready", timeout=10, trust_env=False)
        if not answer.is_success:
            parts = answer.json().get("parts", {})
            return "parts not ready: " + ", ".join(name for name, part in parts.items() if not part["ok"])
        with closing(Orthanc(site.settings)) as orthanc, site.database() as database:
            last = orthanc.last_change()
            counted = {name: _count(database, statement) for name, statement in _OPEN.items()}
            if _count(database, "select sequence from follow_position") < last:
                return "the index is behind"
            return ", ".join(f"{number} {name}" for name, number in counted.items() if number)
    except (httpx.HTTPError, psycopg.OperationalError, Unavailable, ValueError) as error:
        return f"it does not answer ({type(error).__name__})"


def judge(site: LiveSite, ledger: Ledger, arrivals: Arrivals) -> Iterator[str]:
    """What is wrong with a site that has recovered: a sentence for each, none where nothing is."""
    with site.database() as database:
        indexed = database.execute(
            "select sop_instance_uid, study_instance_uid, is_image, place from instance"
        ).fetchall()
        yield from _judge_index(site, ledger, arrivals, indexed)
        yield from _judge_files(site, {place for *_, place in indexed})
        head = checkpoints.kept_head(site.settings.audit)
        faults = checkpoints.find_faults(database, checkpoints.signers(site.settings), [head] if head else [])
        yield from (f"the audit trail is broken: {fault}" for fault in faults[:1])
    yield from _judge_answers(site, ledger, arrivals)


def _judge_index(
    site: LiveSite, ledger: Ledger, arrivals: Arrivals, indexed: Sequence[tuple[str, str, bool, str]]
) -> Iterator[str]:
    """Everything acknowledged is there once, beside one report for each study of mammograms."""
    images = {uid: study for uid, study, is_image, _ in indexed if is_image}
    if lost := {uid for uid, study in ledger.studies.items() if images.get(uid) != study}:
        yield f"{len(lost)} acknowledged instances are not in the index"
    if (more := len(images.keys() - ledger.studies.keys())) > ledger.damaged:
        yield f"{more} images are in the index that nobody sent"
    with site.orthanc() as orthanc:
        held = [each["MainDicomTags"]["SOPInstanceUID"] for each in orthanc.get("/instances?expand").json()]
    if doubled := [uid for uid, number in Counter(held).items() if number > 1]:
        yield f"{len(doubled)} instances are stored more than once"
    if (differing := len(set(held) ^ {uid for uid, *_ in indexed})) > 0:
        yield f"{differing} instances are in Orthanc or in the index alone"
    reports = Counter(study for _, study, is_image, _ in indexed if not is_image)
    for study in {ledger.pseudonyms.uid(one) for one in arrivals.studies}:
        wanted = 1 if len(ledger.of(study)) > 1 else 0  # an ultrasound is read by nobody
        if reports[study] != wanted:
            yield f"a study has {reports[study]} reports instead of {wanted}"


def _judge_files(site: LiveSite, places: set[str]) -> Iterator[str]:
    """The storage folder holds what the index names and nothing else, and so does the spool."""
    storage = Path(site.settings.storage)
    files = {path.name for path in storage.glob("??/??/*")}
    if missing := places - files:
        yield f"{len(missing)} files are missing"
    if orphaned := files - places:
        yield f"{len(orphaned)} files are stored that nobody knows of"
    with site.database() as database:
        rows = database.execute(
            "select id::text from spool where state in ('waiting', 'cleaning', 'quarantined')"
        )
        held = {identifier for (identifier,) in rows}
    if held - {path.name for path in site.settings.spool.glob("*")}:
        yield "a file of the spool is missing"


def _judge_answers(site: LiveSite, ledger: Ledger, arrivals: Arrivals) -> Iterator[str]:
    """What is retrieved of this round's studies is what was sent, pixel for pixel (PS3.18 10.4)."""
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    with site.client() as client:
        for original in sorted(arrivals.studies):
            study = ledger.pseudonyms.uid(original)
            answer = client.get(f"/studies/{study}", headers=headers)
            if not answer.is_success:
                yield f"a study is answered with {answer.status_code}"
                continue
            sent = {pixels_of(item.path.read_bytes()) for item in arrivals.of(original)}
            if len(sent) > 1 and not sent <= {pixels_of(one) for one in _instances(answer) if _is_image(one)}:
                yield "a mammogram is not retrieved as it was sent"


def _instances(answer: httpx.Response) -> list[bytes]:
    boundary = re.search(r'boundary="?([^";]+)', answer.headers["Content-Type"])
    assert boundary
    parts = answer.content.split(b"\r\n--" + boundary[1].encode())
    return [part.partition(b"\r\n\r\n")[2] for part in parts if b"\r\n\r\n" in part]


def _is_image(part10: bytes) -> bool:
    return b"1.2.840.10008.5.1.4.1.1.1.2" in part10[:1000]


def find_identity(folders: Iterable[Path], since: float, arrivals: Arrivals) -> list[str]:
    """The files changed since a moment in which somebody is named, or a UID that was sent."""
    uids = {item.sop_instance_uid for item in arrivals.sound} | arrivals.studies
    named = [uid.encode() for uid in uids]
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        try:
            if path.stat().st_mtime < since:
                continue
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        if _TRACES.found_in(content) or any(uid in content for uid in named):
            found.append(str(path))
    return found


def find_identity_in_tables(database: psycopg.Connection) -> list[str]:
    """The tables in which somebody is named: here large values are whole that their files hold compressed."""
    tables = database.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    return [table for (table,) in tables if _TRACES.found_in(_rows(database, table))]


def _rows(database: psycopg.Connection, table: str) -> bytes:
    content = BytesIO()
    statement = sql.SQL("copy {} to stdout (format binary)").format(sql.Identifier(table))
    with database.cursor().copy(statement) as copy:
        for block in copy:
            content.write(block)
    return content.getvalue()


def _count(database: psycopg.Connection, statement: str) -> int:
    row = database.execute(statement).fetchone()
    return int(row[0]) if row else 0
