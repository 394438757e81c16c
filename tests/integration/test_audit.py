"""The audit trail in PostgreSQL: one chain however many write it, and no change of it that is not found."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg.conninfo import make_conninfo

from archive import audit_log, migration, secrets
from archive.audit import Event, Record, write
from archive.chain import Fault, Signers, chain
from archive.checkpoints import (
    checkpoints,
    find_faults,
    find_faults_of_file,
    kept_head,
    private_key,
    retire,
    rotate,
    sign_head,
    sign_when_due,
    signers,
)
from archive.configuration import record_configuration
from archive.errors import Unavailable
from archive.follow import FOLLOWER_LOCK
from archive.migration import migrate
from archive.pool import queries
from archive.settings import Settings
from archive.trail import Trail
from tests import databases
from tests.live import LiveSite, eventually
from tests.unit.dicom_files import dataset, part10, pixels

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def address(site: LiveSite) -> Iterator[str]:
    """The address of a database of its own with an empty trail."""
    made = databases.create(site.settings.database_url)
    yield made
    databases.drop(made)


@pytest.fixture
def connection(address: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def record_shown(address: str, *lists: list[str]) -> None:
    """A search for each list of studies that an answer had, by b0, b1 and so on, as a gateway records it."""

    async def write_all() -> None:
        trail = Trail(address)
        for number, shown in enumerate(lists):
            await trail.write(Record(Event.SEARCH, f"b{number}", detail={"results": len(shown)}, shown=shown))
        await trail.aclose()

    asyncio.run(write_all())


def record(connection: psycopg.Connection, count: int = 10) -> None:
    for number in range(count):
        write(connection, Event.READ, subject="client:a", study_instance_uid=f"1.2.{number}")


def faults(connection: psycopg.Connection, folder: Path) -> list[Fault]:
    head = kept_head(folder)
    return find_faults(connection, Signers(KEY.public_key()), [head] if head else [])


@pytest.fixture
def signed(connection: psycopg.Connection, tmp_path: Path) -> psycopg.Connection:
    """A trail of ten records, signed at the sixth and at the last, whose triggers an intruder has done away with."""
    record(connection, 6)
    sign_head(connection, KEY, tmp_path)
    record(connection, 4)
    sign_head(connection, KEY, tmp_path)
    assert faults(connection, tmp_path) == []
    connection.execute("alter table audit disable trigger user")
    connection.execute("alter table audit_checkpoint disable trigger user")
    return connection


def write_anew(connection: psycopg.Connection, number: int) -> None:
    """Give a record another content, and all from it on hashes that fit."""
    connection.execute("update audit set content = %s where number = %s", ["{}", number])
    ((previous,),) = connection.execute("select hash from audit where number = %s", [number - 1]).fetchall()
    rows = connection.execute(
        "select number, content from audit where number >= %s order by number", [number]
    )
    for place, content in rows.fetchall():
        previous = chain(bytes(previous), place, content)
        connection.execute("update audit set hash = %s where number = %s", [previous, place])


SWAP = """
    update audit set content = other.content from audit other
    where (audit.number, other.number) in ((3, 8), (8, 3))
"""
MOVE_UP = "delete from audit where number = 4; update audit set number = number - 1 where number > 4"
FORGE = "update audit_checkpoint set closes = true where number = 6; delete from audit where number <= 6"
CUT = "delete from audit where number > 8; delete from audit_checkpoint where number > 8"
TAMPERINGS: dict[str, tuple[str | Callable[[psycopg.Connection], None], tuple[int, int]]] = {
    "edited": (
        "update audit set content = replace(content, 'client:a', 'client:b') where number = 4",
        (4, 4),
    ),
    "deleted": ("delete from audit where number in (4, 5)", (4, 5)),
    "swapped": (SWAP, (3, 3)),
    "the first gone": ("delete from audit where number <= 2", (1, 2)),
    "the last gone": ("delete from audit where number > 8", (9, 10)),
    "all gone": ("truncate audit", (1, 10)),
    "gone, and others in their place": (MOVE_UP, (4, 4)),
    "written anew": (lambda connection: write_anew(connection, 5), (1, 6)),
    "written anew since it was signed": (lambda connection: write_anew(connection, 8), (7, 10)),
    "a checkpoint changed": ("update audit_checkpoint set number = 5 where number = 6", (5, 5)),
    "closed off by nobody": (FORGE, (6, 6)),
    "the last gone, with what signed them": (CUT, (9, 10)),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_an_intruder_changes_is_found_where_it_is(
    signed: psycopg.Connection, tmp_path: Path, tampering: str
) -> None:
    change, place = TAMPERINGS[tampering]
    if isinstance(change, str):
        for statement in change.split("; "):
            signed.execute(statement.encode())
    else:
        change(signed)
    assert place in [(fault.first, fault.last) for fault in faults(signed, tmp_path)]


@pytest.mark.parametrize(
    "change",
    [
        "update audit set content = ''",
        "delete from audit",
        "truncate audit",
        "update audit_checkpoint set closes = true",
        "delete from audit_checkpoint",
        "truncate audit_checkpoint",
    ],
)
def test_what_is_not_an_intruder_can_change_nothing(
    connection: psycopg.Connection, tmp_path: Path, change: str
) -> None:
    record(connection, 1)
    sign_head(connection, KEY, tmp_path)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(change.encode())


class TestWriting:
    def test_what_is_rolled_back_was_not(self, connection: psycopg.Connection, tmp_path: Path) -> None:
        with connection.transaction(force_rollback=True):
            record(connection, 3)
        record(connection, 2)
        assert [entry.number for entry in audit_log.entries(connection)] == [1, 2]
        assert faults(connection, tmp_path) == []

    def test_a_long_transaction_holds_nobody_up(
        self, address: str, connection: psycopg.Connection, tmp_path: Path
    ) -> None:
        """The end of the chain is locked during the commit alone."""
        with psycopg.connect(address) as other:
            write(other, Event.ERASURE, subject="os:root")
            record(connection, 2)
        assert [entry.event for entry in audit_log.entries(connection)] == [
            Event.READ,
            Event.READ,
            Event.ERASURE,
        ]
        assert faults(connection, tmp_path) == []

    def test_processes_that_write_at_once_make_one_chain(
        self, address: str, connection: psycopg.Connection, tmp_path: Path
    ) -> None:
        async def many(trail: Trail, name: str) -> None:
            await asyncio.gather(
                *(trail.write(Record(Event.READ, f"{name}{number}")) for number in range(60))
            )
            await trail.aclose()

        async def both() -> None:
            await asyncio.gather(
                *(many(Trail(address), name) for name in "ab"), asyncio.to_thread(record, connection)
            )

        asyncio.run(both())
        written = [entry.subject for entry in audit_log.entries(connection)]
        assert len(written) == 130
        assert [name for name in written if name.startswith("a")] == [f"a{number}" for number in range(60)]
        assert faults(connection, tmp_path) == []

    def test_what_came_together_is_one_commit(self, address: str, connection: psycopg.Connection) -> None:
        async def twenty() -> None:
            trail = Trail(address)
            await trail.write(Record(Event.READ, "first"))
            await asyncio.gather(*(trail.write(Record(Event.READ, f"{number}")) for number in range(20)))
            await trail.aclose()

        asyncio.run(twenty())
        ((commits,),) = connection.execute("select count(distinct xmin::text) from audit").fetchall()
        assert commits <= 3

    def test_a_connection_that_died_is_replaced(self, address: str, connection: psycopg.Connection) -> None:
        async def twice() -> None:
            trail = Trail(address)
            await trail.write(Record(Event.READ, "first"))
            await asyncio.to_thread(
                connection.execute,
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()",
            )
            await trail.write(Record(Event.READ, "second"))
            await trail.aclose()

        asyncio.run(twice())
        assert [entry.subject for entry in audit_log.entries(connection)] == ["first", "second"]

    def test_where_it_cannot_be_written_who_waits_is_told(
        self, address: str, connection: psycopg.Connection
    ) -> None:
        connection.execute("alter table audit rename to lost")

        async def one() -> None:
            await Trail(address).write(Record(Event.READ, "first"))

        with pytest.raises(Unavailable):
            asyncio.run(one())

    def test_the_end_of_the_chain_is_read_along_its_key_however_small_the_table_was(
        self, connection: psycopg.Connection
    ) -> None:
        connection.execute("vacuum analyze audit")
        with connection.transaction():
            connection.execute("select append_to_audit(array['{}'])")
            scans = connection.execute("select pg_stat_get_xact_numscans('audit'::regclass)").fetchall()
        assert scans == [(0,)]


class TestMigration:
    def test_a_trail_of_an_earlier_schema_goes_on(
        self, site: LiveSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = f"audit_{uuid.uuid4().hex}"
        earlier = [each for each in migration._migrations() if each[0] < "0012"]
        with site.database() as server:
            server.execute(f'create database "{name}"')  # noqa: S608
        address = make_conninfo(site.settings.database_url, dbname=name)
        with monkeypatch.context() as patch:
            patch.setattr(migration, "_migrations", lambda: iter(earlier))
            migrate(address)
        with psycopg.connect(address, autocommit=True) as connection:
            record(connection, 5)
            sign_head(connection, KEY, tmp_path)
            migrate(address)
            record(connection, 2)
            assert faults(connection, tmp_path) == []
            assert len(list(audit_log.entries(connection))) == 7


class TestCheckpoints:
    def test_one_an_hour(self, connection: psycopg.Connection, tmp_path: Path) -> None:
        assert sign_when_due(connection, KEY, tmp_path) is None
        record(connection, 1)
        assert sign_when_due(connection, KEY, tmp_path).number == 1
        record(connection, 1)
        assert sign_when_due(connection, KEY, tmp_path) is None
        assert len(checkpoints(connection)) == 1

    def test_one_that_was_signed_by_a_clock_that_was_ahead_puts_none_off(
        self, connection: psycopg.Connection, tmp_path: Path
    ) -> None:
        record(connection, 1)
        ahead = "insert into audit_checkpoint (number, hash, signed_at, closes, key_id, signature)"
        connection.execute(f"{ahead} values (1, '', '2999-01-01T00:00:00.000000Z', false, '', '')")
        assert sign_when_due(connection, KEY, tmp_path).number == 1
        assert sign_when_due(connection, KEY, tmp_path) is None

    def test_while_another_process_follows_orthanc(
        self, address: str, connection: psycopg.Connection, tmp_path: Path
    ) -> None:
        record(connection)
        with psycopg.connect(address) as following:
            following.execute("select pg_advisory_lock(%s)", [FOLLOWER_LOCK])
            assert sign_when_due(connection, KEY, tmp_path).number == 10

    def test_old_records_go_into_a_file_and_both_verify(
        self, connection: psycopg.Connection, tmp_path: Path
    ) -> None:
        record(connection)
        later = datetime.now(UTC) + timedelta(hours=1)
        first = retire(connection, KEY, tmp_path, later)
        record(connection)
        second = retire(connection, KEY, tmp_path, later)
        assert [entry.number for entry in audit_log.entries(connection)] == [20]
        assert faults(connection, tmp_path) == []
        assert [find_faults_of_file(file, Signers(KEY.public_key())) for file in (first, second)] == [[], []]
        assert retire(connection, KEY, tmp_path, datetime(2000, 1, 1, tzinfo=UTC)) is None

    def test_a_file_that_lost_a_line_is_found_out(
        self, connection: psycopg.Connection, tmp_path: Path
    ) -> None:
        record(connection)
        file = retire(connection, KEY, tmp_path, datetime.now(UTC) + timedelta(hours=1))
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[:4] + lines[5:]))
        assert find_faults_of_file(file, Signers(KEY.public_key()))

    def test_a_new_key_signs_and_both_verify(self, connection: psycopg.Connection, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        secrets.write(secrets.audit_key(settings), KEY.private_bytes_raw())
        secrets.write(tmp_path / "secrets" / secrets.AUDIT_PUBLIC_KEY, KEY.public_key().public_bytes_raw())
        record(connection)
        sign_head(connection, KEY, settings.audit)
        first = rotate(connection, settings, by="os:test")
        record(connection)
        last = sign_head(connection, private_key(settings), settings.audit)
        known = signers(settings)
        assert find_faults(connection, known, []) == []
        assert (first.number, first.key_id) == (11, last.key_id)
        late = sign_head(connection, KEY, tmp_path)
        assert [fault.first for fault in find_faults(connection, known, [])] == [late.number]

    def test_the_first_key_signs_until_a_rotation_is_whole(
        self, connection: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who is killed in between leaves two keys that verify."""
        settings = Settings(home=tmp_path)
        secrets.write(secrets.audit_key(settings), KEY.private_bytes_raw())
        secrets.write(tmp_path / "secrets" / secrets.AUDIT_PUBLIC_KEY, KEY.public_key().public_bytes_raw())
        monkeypatch.setattr(secrets, "audit_key", lambda _: tmp_path / "secrets" / "complete" / "no folder")
        (tmp_path / "secrets" / "complete").touch()
        with pytest.raises(OSError):
            rotate(connection, settings, by="os:test")
        sign_head(connection, KEY, settings.audit)
        assert find_faults(connection, signers(settings), []) == []


class TestReports:
    def test_a_patients_has_every_study_of_hers(self, connection: psycopg.Connection) -> None:
        write(connection, Event.SEARCH, subject="a", patient_id="P1")
        write(connection, Event.ERASURE, subject="b", patient_id="P1", study_instance_uid="1.2")
        write(connection, Event.READ, subject="c", study_instance_uid="1.2")
        write(connection, Event.READ, subject="d", study_instance_uid="1.3")
        assert [entry.subject for entry in audit_log.of_patient(connection, "P1")] == ["a", "b", "c"]

    def test_a_patients_has_searches_that_listed_hers_and_of_others_nothing(
        self, connection: psycopg.Connection, address: str
    ) -> None:
        hers, others = (f"2.25.{uuid.uuid4().int:039}" for _ in range(2))
        write(connection, Event.ARRIVED, subject="a", patient_id="P1", study_instance_uid=hers)
        record_shown(address, [others, hers], [others], [])
        report = list(audit_log.of_patient(connection, "P1"))
        assert [(entry.subject, entry.shown) for entry in report] == [("a", ()), ("b0", (hers[-16:],))]
        assert find_faults(connection, Signers(KEY.public_key()), []) == []

    def test_a_report_knows_of_searches_that_do_not_say_what_they_listed(
        self, connection: psycopg.Connection, address: str
    ) -> None:
        page = {"results": 2, "route": "/dicom-web/studies"}
        write(connection, Event.SEARCH, subject="a", detail=page)
        write(connection, Event.SEARCH, subject="b", detail=page | {"results": 0})
        write(connection, Event.SEARCH, subject="c", detail=page, study_instance_uid="1.2")
        write(connection, Event.SEARCH, subject="counted", detail={"criteria": "age", "route": "/api/search"})
        record_shown(address, ["1.2"], [])
        gaps = audit_log.gaps(connection)
        assert (gaps.searches, gaps.last, gaps.first) == (1, 1, 1)
        assert gaps.until == next(audit_log.entries(connection)).time

    def test_the_index_finds_what_was_listed_among_many(
        self, connection: psycopg.Connection, address: str
    ) -> None:
        record_shown(address, *([f"1.2.{number}"] for number in range(2000)))
        connection.execute("analyze audit")
        asked = {"patient": "P1", "studies": [], "marks": ["1.2.7"]}
        plan = connection.execute("explain " + queries("audit.sql")["of_patient"], asked).fetchall()
        assert any("audit_by_shown" in line for (line,) in plan)

    def test_a_permits_has_every_use_of_it(self, connection: psycopg.Connection) -> None:
        write(connection, Event.PERMIT_GRANTED, subject="a", permits=["P-1"])
        write(connection, Event.READ, subject="b", permits=["P-2", "P-1"])
        write(connection, Event.READ, subject="c", permits=["P-10"])
        assert [entry.subject for entry in audit_log.of_permit(connection, "P-1")] == ["a", "b"]


class TestSite:
    def test_a_search_and_a_refusal_are_recorded(self, site: LiveSite) -> None:
        name = uuid.uuid4().hex
        with site.client() as client:
            client.get("/studies", params={"PatientName": name})
            client.get(f"/studies/1.2.{int(name[:12], 16)}")
        listed = site.run("audit", "list", "--json", "--last", "20").stdout
        assert name not in listed
        entries = [json.loads(line) for line in listed.splitlines()]
        searched = next(entry for entry in entries if entry["event"] == "access.search")
        assert searched["detail"]["keys"] == "PatientName"
        assert any(
            entry["study"] == f"1.2.{int(name[:12], 16)}"
            for entry in entries
            if entry["event"] == "access.denied"
        )

    def test_verifies(self, site: LiveSite) -> None:
        assert "as it was written" in site.run("audit", "verify").stdout

    def test_verifies_across_keys(self, site: LiveSite) -> None:
        before = json.loads(site.run("audit", "head").stdout)
        assert "signs, from record" in site.run("audit", "rotate-key").stdout
        after = json.loads(site.run("audit", "head").stdout)
        assert before["key_id"] != after["key_id"]
        assert site.run("audit", "verify").returncode == 0

    def test_a_signed_head_proves_what_was(self, site: LiveSite, tmp_path: Path) -> None:
        kept = tmp_path / "head"
        kept.write_text(site.run("audit", "head").stdout)
        assert site.run("audit", "verify", "--head", str(kept)).returncode == 0
        other = json.loads(kept.read_text())
        kept.write_text(json.dumps(other | {"number": other["number"] + 1}))
        assert site.run("audit", "verify", "--head", str(kept), check=False).returncode == 1
        assert (
            "it was changed" not in site.run("status", check=False).stdout
        )  # a forged head is no word against it

    @pytest.mark.parametrize("form", ["fhir", "dicom"])
    def test_is_exported_and_that_is_recorded(self, site: LiveSite, form: str) -> None:
        lines = site.run("audit", "export", "--as", form).stdout.splitlines()
        assert all(
            line.startswith({"fhir": '{"resourceType": "AuditEvent"', "dicom": "<AuditMessage>"}[form])
            for line in lines
        )
        last = json.loads(site.run("audit", "list", "--event", "export", "--last", "1", "--json").stdout)
        assert (last["detail"]["form"], last["subject"][:3]) == (form, "os:")

    def test_exported_records_verify_elsewhere(self, site: LiveSite, tmp_path: Path) -> None:
        exported = tmp_path / "records"
        exported.write_text(site.run("audit", "export", "--as", "records").stdout)
        assert site.run("audit", "verify", str(exported)).returncode == 0

    def test_a_report_takes_the_original_patient_id_and_shows_its_pseudonym(self, site: LiveSite) -> None:
        done: subprocess.CompletedProcess[str] = site.run(
            "audit", "report", "--patient", "4711-anna", "--json"
        )
        (entry,) = map(json.loads, done.stdout.splitlines())
        assert entry["patient"] == site.pseudonyms().patient_id("4711-anna")
        assert "4711-anna" not in done.stdout

    def test_what_the_site_was_configured_to_be_is_recorded(self, site: LiveSite) -> None:
        listed = site.run("audit", "list", "--event", "configuration.changed", "--json").stdout
        assert json.loads(listed.splitlines()[-1])["detail"] == {"changed": "all"}

    def test_what_arrives_is_recorded(self, site: LiveSite, tmp_path: Path) -> None:
        uid = f"2.25.{uuid.uuid4().int}"
        image = dataset(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2", StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1",
            SOPInstanceUID=f"{uid}.2", PatientID=uid[-30:], Modality="MG", BurnedInAnnotation="NO", **pixels(16, 16),
        )  # fmt: skip
        (tmp_path / "one.dcm").write_bytes(part10(image))
        site.send(tmp_path)
        study, patient = site.pseudonyms().uid(uid), site.pseudonyms().patient_id(uid[-30:])

        def arrivals() -> list[tuple[str | None, int]]:
            with site.database() as connection:
                found = [
                    each for each in audit_log.entries(connection, event=Event.ARRIVED) if each.study == study
                ]
            return [(each.patient, int(each.detail["instances"])) for each in found]

        assert eventually(arrivals) == [(patient, 1)]


class TestConfiguration:
    def test_names_what_changed_and_no_value(self, connection: psycopg.Connection) -> None:
        settings = Settings(home=Path("/x"), database_url="postgresql://secret@/")
        assert record_configuration(connection, settings, {}, subject="os:a")
        assert record_configuration(connection, settings, {}, subject="os:a") == []
        other = replace(settings, host="10.11.12.13", database_url="postgresql://other@/")
        assert record_configuration(connection, other, {"profile": b"x"}, subject="os:a") == [
            "host",
            "profile",
        ]
        last = list(audit_log.entries(connection))[-1]
        assert (last.event, last.detail) == (Event.CONFIGURATION_CHANGED, {"changed": "host profile"})
