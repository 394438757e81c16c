"""The state of a node: what each thing calls for, and that one that can't be asked hinders no other."""

import asyncio
import datetime
import json
from contextlib import nullcontext
from datetime import UTC, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from archive import state, state_files
from archive.settings import Settings
from archive.state_item import Item, Level, marked, unknown, worst
from tests.unit import fake_site

NOW = datetime.datetime.now(UTC)
LONG_AGO, LATELY = timedelta(days=400), timedelta(seconds=30)


def ago(value):
    """What a query would tell now of a thing that is so old."""
    return datetime.datetime.now(UTC) - value if isinstance(value, timedelta) else value


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return fake_site.build(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(
    ("name", "row", "level"),
    [
        ("keeper", (LATELY,), Level.FINE),
        ("keeper", (LONG_AGO,), Level.LOOK),
        ("keeper", (), Level.LOOK),
        ("exams", (0, 3), Level.FINE),
        ("exams", (0, 0), Level.LOOK),
        ("held", (1, LATELY, 0, None), Level.FINE),
        ("held", (1, LONG_AGO, 0, None), Level.LOOK),
        ("held", (0, None, 2, LATELY), Level.LOOK),
        ("held", (0, None, 2, LONG_AGO), Level.ACT),
        ("index", (LATELY, 0), Level.FINE),
        ("index", (LATELY, 2), Level.LOOK),
        ("index", (LONG_AGO, 0), Level.ACT),
        ("index", (), Level.ACT),
        ("readings", (5, LATELY, 0), Level.FINE),
        ("readings", (5, LONG_AGO, 0), Level.LOOK),
        ("readings", (0, None, 1), Level.LOOK),
        ("deliveries", (1, LATELY, 0), Level.FINE),
        ("deliveries", (1, LONG_AGO, 0), Level.LOOK),
        ("deliveries", (0, None, 1), Level.ACT),
        ("webhooks", (2, []), Level.FINE),
        ("webhooks", (2, ["pacs"]), Level.LOOK),
        ("requests", (0, 1), Level.FINE),
        ("requests", (1, 0), Level.LOOK),
        ("jobs", (0, 0, 3), Level.FINE),
        ("jobs", (1, 0, 0), Level.LOOK),
        ("catalogue", (3, 0), Level.FINE),
        ("catalogue", (3, 1), Level.LOOK),
        ("members", (2, 0), Level.FINE),
        ("members", (0, 1), Level.LOOK),
        ("offered", (1, 0), Level.FINE),
        ("offered", (1, 1), Level.LOOK),
        ("audit", (0, None, None, None), Level.FINE),
        ("audit", (9, LATELY, None, None), Level.LOOK),
        ("audit", (9, LATELY, LATELY, 0), Level.FINE),
        ("audit", (9, LATELY, LONG_AGO, 0), Level.LOOK),
        ("audit", (9, LONG_AGO, LATELY, 0), Level.ACT),
        ("audit", (9, LATELY, LATELY, 1), Level.ACT),
        ("database", (3 * 1024**3,), Level.FINE),
        ("backup", (), Level.ACT),
        ("backup", (LONG_AGO,), Level.LOOK),
        ("backup", (LATELY,), Level.FINE),
    ],
)
def test_each_thing_is_judged(name, row, level):
    title, judge = state.QUESTIONS[name]
    item = judge(name, title, tuple(map(ago, row)))
    assert item.level == level
    assert "%" not in item.text
    assert bool(item.todo) == (level != Level.FINE)


@pytest.mark.parametrize("name", ["members", "offered"])
def test_what_a_node_has_nothing_to_do_with_is_not_told(name):
    title, judge = state.QUESTIONS[name]
    assert judge(name, title, (0, 0)) is None


def test_what_calls_for_most_counts():
    assert worst([Level.FINE, Level.LOOK, Level.ACT, Level.UNKNOWN]) == Level.ACT
    assert worst([Level.FINE, Level.UNKNOWN]) == Level.UNKNOWN
    assert worst([]) == Level.FINE


def test_an_item_is_json_with_moments_as_text():
    item = Item("a", "A", Level.LOOK, marked("since %(at)s"), {"at": NOW}, "Do it.", "/x")
    told = json.loads(json.dumps(item.to_json()))
    assert told["said"] == f"since {NOW.date()}"
    assert told["values"] == {"at": NOW.isoformat()}
    assert (told["todo"], told["link"], "command" in told) == ("Do it.", "/x", False)


def test_a_site_without_postgresql_tells_everything_else(site):
    """Nothing that is wrong with a site keeps its state from being told."""
    answer = site.client.get("/api/state", headers=site.bearer())
    found = {item["name"]: item["level"] for item in answer.json()["items"]}
    assert answer.status_code == 200
    assert (found["orthanc"], found["plugin"]) == ("fine", "fine")
    assert {found[name] for name in state.QUESTIONS} == {"unknown"}
    assert answer.json()["level"] == "act"
    assert "federation" in found


def test_a_database_that_hangs_holds_up_nothing_else(monkeypatch):
    """One deadline for all questions: what has been answered until then is told, the rest is unknown."""

    class Hanging:
        async def execute(self, statement):
            if statement == state.queries("state.sql")["exams"]:
                await asyncio.Event().wait()
            return self

        async def fetchone(self):
            return [datetime.datetime.now(UTC)]

    monkeypatch.setattr(state, "TOGETHER", 0.1)
    monkeypatch.setattr(state, "PATIENCE", 1000.0)
    found = asyncio.run(state._look_at_database(lambda: nullcontext(Hanging())))
    told = {item.name: item.level for item in found}
    assert told.pop("keeper") == Level.FINE
    assert set(told.values()) == {Level.UNKNOWN}


def test_the_state_is_for_administrators(site):
    assert site.client.get("/api/state").status_code == 401
    assert site.client.get("/api/state", headers=site.bearer("dicomweb.read")).status_code == 403


def certificate(days: int) -> bytes:
    key, name = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, NOW - LONG_AGO, NOW + timedelta(days=days)
    )
    return made.sign(key, None).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("days", "level"), [(-1, Level.ACT), (3, Level.ACT), (20, Level.LOOK), (90, Level.FINE)]
)
def test_a_certificate_calls_for_another_in_time(tmp_path, days, level):
    (tmp_path / "tls.pem").write_bytes(certificate(days))
    settings = Settings(home=tmp_path, tls_certificate="tls.pem", tls_key="tls.key")
    found = {item.name: item for item in state_files.look_at_files(settings)}
    assert found["certificate"].level == level


def test_files_that_cannot_be_read_are_unknown(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "enabled.json").write_text("{")
    settings = Settings(home=tmp_path, tls_certificate="absent.pem", tls_key="tls.key")
    found = {item.name: item.level for item in state_files.look_at_files(settings)}
    assert found["certificate"] == found["models"] == found["keys"] == Level.UNKNOWN
    assert found["federation"] == Level.FINE


def test_one_file_system_is_told_once(tmp_path):
    (tmp_path / "spool").mkdir()
    disks = [
        item for item in state_files.look_at_files(Settings(home=tmp_path)) if item.name.startswith("disk")
    ]
    assert len(disks) == 1


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [(1, 1000, Level.ACT), (40, 1000, Level.LOOK), (400, 1000, Level.FINE), (900, 20_000, Level.FINE)],
)
def test_a_disk_calls_for_room(tmp_path, monkeypatch, free, total, level):
    """A share alone says little of a large disk."""
    usage = type("Usage", (), {"free": free * 1024**3, "total": total * 1024**3})
    monkeypatch.setattr(state_files.shutil, "disk_usage", lambda path: usage)
    (disk,) = (
        item for item in state_files.look_at_files(Settings(home=tmp_path)) if item.name == "disk-home"
    )
    assert disk.level == level


def test_what_is_unknown_says_so():
    assert unknown("a", "A").text == "It could not be asked."
