"""After a day's exams nothing on the disk and nothing that is answered names anybody (PS3.15 Annex E)."""

import base64
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from psycopg import Connection, sql
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from tests.integration.conftest import edit
from tests.integration.traces import Traces
from tests.live import LiveSite, eventually
from tests.unit.part10_bytes import DEFLATED, IMPLICIT, mammogram, part10
from tests.unit.test_deidentify_canary import DESCRIPTION, PLACES, SYNTAXES, encode, hidden_in, planted

NAME, NUMBER = b"Qumranet", b"ZX4711QW"  # in every name and text, in every identifier
UIDS = b"1.2.752.99.1", b"1.2.752.98"


def _deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


TRACES = Traces([NAME, NUMBER, b"CaNaRy", *UIDS])


@pytest.mark.parametrize(
    "hidden",
    [
        b"x" + NAME,
        NAME.decode().upper().encode("utf-16-le"),
        NAME.decode().encode("utf-16-be"),
        base64.b64encode(b"a" + NAME),
        base64.b64encode(b"ab" + NAME + b"c"),
        b"head" + zlib.compress(b"-" + NAME) + b"tail",
        b"head" + gzip.compress(NAME, mtime=0),
        part10(_deflated(NAME), DEFLATED),
    ],
    ids=["plain", "upper UTF-16", "UTF-16", "base64", "base64 inside", "zlib", "gzip", "deflated"],
)
def test_traces_are_found(hidden: bytes) -> None:
    """The search itself is put to the test, too."""
    assert TRACES.found_in(hidden)


def instances(shared: Path, phantoms: list[bytes]) -> Iterator[bytes]:
    """A day's instances: sound, odd and broken, each with identity in places of its own."""
    for number, place in enumerate(PLACES):
        yield _numbered(hidden_in(place), number)
    for number, syntax in enumerate(SYNTAXES):
        elements, _ = planted(syntax != IMPLICIT)
        kept = {tag: value for tag, value in mammogram().items() if tag in DESCRIPTION | {0x00080016}}
        uids = {
            tag: ("UI", b"1.2.752.98.%d.%d" % (number, tag)) for tag in (0x00080018, 0x0020000D, 0x0020000E)
        }
        yield part10(encode(elements | kept | uids, syntax), syntax)
    for number, phantom in enumerate(phantoms):
        yield edit(phantom, lambda dataset, number=number: _name(dataset, number))
    for number, path in enumerate(sorted((shared / "data" / "dicom").rglob("*"))):
        if path.is_file() and path.stat().st_size < 500_000:
            yield from _named(path.read_bytes(), number)
    yield hidden_in("overlay")[:-30]
    yield NAME * 100
    yield part10(NAME * 10)


def _numbered(instance: bytes, number: int) -> bytes:
    return instance.replace(b"1.2.752.99.1.2.3.4", b"1.2.752.98%04d.3.4" % number)


def _named(instance: bytes, number: int) -> Iterator[bytes]:
    """A real instance under our names, where it can be read."""
    try:
        yield edit(instance, lambda dataset: _name(dataset, number))
    except (InvalidDicomError, ValueError, AttributeError, KeyError, TypeError, NotImplementedError):
        return


def _name(dataset: Dataset, number: int) -> None:
    text, identifier = NAME.decode(), NUMBER.decode()
    dataset.PatientName = f"{text}^Erika{number}"
    dataset.PatientID = dataset.AccessionNumber = dataset.StudyID = f"{identifier}{number}"
    dataset.ReferringPhysicianName = dataset.OperatorsName = f"Dr^{text}"
    dataset.InstitutionName = f"{text} Hospital"
    dataset.StudyDescription = dataset.SeriesDescription = dataset.PatientComments = f"{text} was here"


@pytest.fixture(scope="module")
def day(
    new_home: Callable[[], Path],
    free_ports: Callable[[int], list[int]],
    shared: Path,
    phantom_exam: Callable[[], list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LiveSite, Path]]:
    """A site that took a day's instances by each way in, and its temporary folder."""
    home = new_home()
    temporary = home.parent / "tmp"
    temporary.mkdir(mode=0o1777)
    site = LiveSite(home, free_ports(3), {"TMPDIR": str(temporary)}).start()
    outside = tmp_path_factory.mktemp("scanner")
    day = list(instances(shared, phantom_exam()))
    with site.client() as client, site.orthanc() as orthanc:
        for instance in day[0::3]:
            client.post("/studies", content=instance, headers={"Content-Type": "application/dicom"})
        for instance in day[1::3]:
            orthanc.post("/instances", content=instance)
    for number, instance in enumerate(day[2::3]):
        (outside / f"{number}.dcm").write_bytes(instance)
    site.send(outside, wait=False)
    with site.database() as database, site.orthanc() as orthanc:
        last = orthanc.get("/changes?last").json()["Last"]
        eventually(
            lambda: database.execute("select sequence >= %s from follow_position", [last]).fetchone()[0]
        )
        assert not database.execute("select from unindexed where reason = 'Unproven'").fetchall()
    yield site, temporary
    assert site.stop() == 0


class TestADay:
    def test_many_were_stored(self, day: tuple[LiveSite, Path]) -> None:
        assert day[0].stored_instances() > 30

    def test_nothing_on_the_disk(self, day: tuple[LiveSite, Path]) -> None:
        """Storage, PostgreSQL's files and WAL, Orthanc's database, logs, temporary files."""
        site, temporary = day
        assert TRACES.found_below(site.home) + TRACES.found_below(temporary) == []
        with site.database() as database:
            database.execute("checkpoint")
        assert TRACES.found_below(site.home) == []

    def test_nothing_in_the_database(self, day: tuple[LiveSite, Path]) -> None:
        """Its files hold large values compressed; here they are whole."""
        with day[0].database() as database:
            tables = _tables(database)
            assert len(tables) > 10
            assert [table for table in tables if TRACES.found_in(_rows(database, table))] == []

    def test_nothing_in_what_the_gateway_answers(self, day: tuple[LiveSite, Path]) -> None:
        site, _ = day
        with site.client() as client:
            paths = ["/studies", "/series", "/instances?limit=1000&includefield=all"]
            for study in client.get("/studies?limit=1000").json():
                paths += [f"/studies/{study['0020000D']['Value'][0]}{below}" for below in ("", "/metadata")]
            answers = [client.get(path, headers={"Accept": "*/*"}) for path in paths]
            answers += [client.get(f"{site.base_url}{path}") for path in ("/", "/health/ready")]
        assert not any(map(_names_somebody, answers))

    def test_nothing_in_what_orthanc_answers(self, day: tuple[LiveSite, Path]) -> None:
        with day[0].orthanc() as orthanc:
            paths = [
                "/changes?limit=1000",
                "/instances?expand",
                "/series?expand",
                "/studies?expand",
                "/statistics",
            ]
            paths += [f"/instances/{identifier}/file" for identifier in orthanc.get("/instances").json()]
            answers = [orthanc.get(path) for path in paths]
        assert not any(map(_names_somebody, answers))

    def test_nothing_in_what_the_commands_say(self, day: tuple[LiveSite, Path]) -> None:
        site, _ = day
        said = [site.run(*words).stdout for words in (["crosswalk", "list"], ["status"], ["reindex"])]
        assert not TRACES.found_in("".join([site.output, *said]).encode())


def _names_somebody(answer: httpx.Response) -> bool:
    assert answer.is_success, (re.sub(r"[0-9.]{9,}", "UID", str(answer.url)), answer.status_code)
    parts = re.split(
        rb"\r\n--", answer.content
    )  # so that each file of a multipart answer is opened by itself
    bodies = [part.partition(b"\r\n\r\n")[2] for part in parts]
    return any(map(TRACES.found_in, [answer.content, repr(answer.headers).encode(), *bodies]))


def _tables(database: Connection) -> list[str]:
    rows = database.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
    return [name for (name,) in rows]


def _rows(database: Connection, table: str) -> bytes:
    statement = sql.SQL("copy {} to stdout (format binary)").format(sql.Identifier(table))
    content = BytesIO()
    with database.cursor().copy(statement) as copy:
        for block in copy:
            content.write(block)
    return content.getvalue()
