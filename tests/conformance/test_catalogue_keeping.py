"""The keeper: numbers follow by themselves and hold up nothing, and what has come apart raises an alarm once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from archive import catalogue, datasets, holdings
from archive.catalogue_fields import Node
from archive.errors import BadRequest
from archive.policy import Role
from gateway.catalogue import keeping
from gateway.catalogue.keeping import Keeper
from gateway.catalogue.publishing import edit_node
from tests.conformance import catalogued
from tests.conformance.catalogued import RECORD, count, exam, published
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import BY, run

BOUND = 20  # seconds that a step of a test may take


@pytest.fixture(scope="module")
def gateway(serve_instances) -> Iterator[Gateway]:
    with serve_instances([exam(number) for number in range(40)]) as made:
        yield made


@pytest.fixture
def name(gateway: Gateway, steward: httpx.Client) -> str:
    return published(gateway, steward)


def execute(gateway: Gateway, statement: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def look(gateway: Gateway, **arguments: float) -> int:
    keeper = Keeper(gateway.settings, **arguments)
    found: int = run(gateway.settings, keeper.look)
    return found


def number_of(gateway: Gateway, name: str) -> int:
    made: int = run(gateway.settings, lambda each: datasets.show(each, name)).number
    return made


def entry(gateway: Gateway, name: str) -> catalogue.Entry:
    found: catalogue.Entry = run(gateway.settings, lambda each: catalogue.entry(each, name, published=True))
    return found


@contextmanager
def without(gateway: Gateway, name: str, patients: int) -> Iterator[None]:
    """The dataset without the first of its patients, each of whom has two studies."""
    gone = [f"C{number}" for number in range(patients)]
    execute(
        gateway,
        "delete from dataset_study using study where dataset = %s and patient_id = any(%s)"
        " and study.study_instance_uid = dataset_study.study_instance_uid",
        *(number_of(gateway, name), gone),
    )
    yield


def a_day_later(gateway: Gateway) -> None:
    execute(gateway, "update holdings set told_at = told_at - interval '25 hours'")


def test_what_has_not_changed_is_not_counted(gateway: Gateway, name: str) -> None:
    look(gateway)
    assert look(gateway) == 0


def test_a_dataset_is_counted_when_its_studies_change(gateway: Gateway, name: str) -> None:
    look(gateway)
    with without(gateway, name, 1):
        assert look(gateway) == 1
    assert entry(gateway, name).holdings.studies == 38


def test_the_same_number_of_other_studies_is_a_change(gateway: Gateway, name: str) -> None:
    number = number_of(gateway, name)
    was = run(gateway.settings, lambda each: holdings.mark_of(each, number))
    execute(
        gateway,
        "update dataset_study set withheld = not withheld where dataset = %s and study_instance_uid = '1.6.0'",
        number,
    )
    assert run(gateway.settings, lambda each: holdings.mark_of(each, number)) != was


def test_a_day_old_count_is_made_again(gateway: Gateway, name: str) -> None:
    look(gateway)
    execute(
        gateway,
        "update holdings set counted_at = now() - interval '25 hours' where dataset = %s",
        number_of(gateway, name),
    )
    assert look(gateway) == 1


def test_published_numbers_follow_after_a_day(gateway: Gateway, name: str) -> None:
    with without(gateway, name, 6):
        look(gateway)
        assert entry(gateway, name).told.individuals == 20
        a_day_later(gateway)
        count(gateway, name)
        assert entry(gateway, name).told.individuals == 15  # 14, rounded


def test_fewer_than_five_patients_change_nothing(gateway: Gateway, name: str) -> None:
    """Else what is published on two days tells of one of them."""
    a_day_later(gateway)
    with without(gateway, name, 4):
        count(gateway, name)
    assert entry(gateway, name).told.individuals == 20


def test_to_publish_again_tells_no_new_numbers(gateway: Gateway, steward: httpx.Client, name: str) -> None:
    """A steward who publishes day by day shows no more than the rule lets."""
    a_day_later(gateway)
    with without(gateway, name, 3):
        steward.put(f"/api/catalogue/{name}/publication", json={"notes": "again"})
    assert entry(gateway, name).told.individuals == 20


@contextmanager
def held(gateway: Gateway) -> Iterator[None]:
    """Counts do not end while this lasts: what they read first waits for a lock that nothing else of the site takes."""
    execute(
        gateway,
        "create or replace function pg_temp_hold() returns boolean language sql volatile as"
        " $$ select pg_advisory_xact_lock_shared(4711) is null $$",
    )
    with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(4711)")
        yield


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every count waits for that lock."""
    statements = dict(holdings.queries("holdings.sql"))
    statements["count"] = statements["count"].replace(
        "where not withheld", "where not withheld and pg_temp_hold() is not null", 1
    )
    monkeypatch.setattr(holdings, "queries", lambda file: statements)


def place(gateway: Gateway, study: str) -> None:
    """Index's own transaction, for a study that is there already."""
    with psycopg.connect(gateway.settings.database_url) as connection:
        connection.execute("set lock_timeout = '10s'")
        connection.execute(
            "update study set indexed_at = now(), study_description = 'new' where study_instance_uid = %s",
            [study],
        )
        datasets.place(connection, [study])


def test_a_slow_count_delays_no_indexing(
    gateway: Gateway, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        gateway,
        "delete from dataset_study where dataset = %s and study_instance_uid = '1.6.39'",
        number_of(gateway, name),
    )
    with held(gateway):
        slow(monkeypatch)
        counting = threading.Thread(target=look, args=[gateway])
        counting.start()
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711 and not granted"
        while not execute(gateway, waiting)[0][0]:
            assert counting.is_alive()
        place(gateway, "1.6.39")
        assert counting.is_alive()
        members = "select count(*) from dataset_study where dataset = %s"
        assert execute(gateway, members, number_of(gateway, name)) == [(40,)]
    counting.join(BOUND)
    assert not counting.is_alive()


def test_a_count_that_takes_too_long_is_ended(
    gateway: Gateway, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = entry(gateway, name).holdings
    slow(monkeypatch)
    with held(gateway), pytest.raises(QueryCanceled):
        count(gateway, name, longest=0.05)
    assert entry(gateway, name).holdings == before


def test_one_that_takes_too_long_does_not_keep_the_others(
    gateway: Gateway, steward: httpx.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(gateway, "update holdings set mark = ''")
    slow(monkeypatch)
    with held(gateway):
        assert look(gateway, longest=0.05) == 0


def findings(gateway: Gateway, name: str) -> str:
    return " ".join(entry(gateway, name).findings)


def test_drift_raises_an_alarm_once(gateway: Gateway, steward: httpx.Client) -> None:
    name = published(gateway, steward, title="Mammograms 1999")
    look(gateway)
    assert "title:" in findings(gateway, name)
    execute(gateway, "update catalogue_record set checked_at = null")
    assert not run(gateway.settings, lambda each: noted_again(each, name))


async def noted_again(connection: AsyncConnection, name: str) -> bool:
    found = await catalogue.entry(connection, name, published=True)
    return await catalogue.note(connection, found, found.findings, by="test")


def test_an_alarm_ends_when_the_record_is_mended(gateway: Gateway, steward: httpx.Client) -> None:
    name = published(gateway, steward, title="Mammograms 1999")
    look(gateway)
    steward.put(f"/api/catalogue/{name}", json=RECORD)
    steward.put(f"/api/catalogue/{name}/publication")
    look(gateway)
    assert findings(gateway, name) == ""


def test_a_dataset_without_studies_raises_an_alarm(gateway: Gateway, name: str) -> None:
    with without(gateway, name, 20):
        look(gateway)
    assert "no studies are left" in findings(gateway, name)


def test_a_record_that_fails_the_shapes_now_raises_an_alarm(gateway: Gateway, name: str) -> None:
    """As where official shapes came to the node after it was published."""
    execute(
        gateway, "update record_version set fields = fields || '{\"legislation\": []}' where name = %s", name
    )
    run(gateway.settings, lambda each: keeping.check(each, gateway.settings, name))
    assert "legislation:" in findings(gateway, name)


@pytest.mark.parametrize("text", [None, "no Turtle ["])
def test_shapes_that_cannot_be_read_end_no_look(
    gateway: Gateway, tmp_path: Path, name: str, text: str
) -> None:
    """One record that can't be checked keeps no dataset from being counted."""
    for folder in ("dcat-ap-3.0.0/shapes.ttl", "healthdcat-ap-r8/ranges/range.ttl"):
        (tmp_path / folder).parent.mkdir(parents=True)
        if text:
            (tmp_path / folder).write_text(text)
    execute(gateway, "update catalogue_record set checked_at = null")
    broken = replace(gateway.settings, catalogue_shapes=str(tmp_path))
    run(gateway.settings, Keeper(broken).look)
    assert findings(gateway, name) == ""


def test_a_node_that_breaks_a_published_record_is_refused(gateway: Gateway, shared: Path, name: str) -> None:
    """HealthDCAT-AP release 8 asks for an access body; the node's description has it, and all records with it."""
    official = replace(gateway.settings, catalogue_shapes=str(shared / "reference"))
    page, email = "https://hdab.example", "data@hospital.example"
    whole = Node(title="N", hdab_name="A body", hdab_page=page, publisher_email=email)
    assert run(gateway.settings, lambda each: edit_node(each, official, whole, by=BY))
    with pytest.raises(BadRequest, match="hdab"):
        run(gateway.settings, lambda each: edit_node(each, official, Node(title="N"), by=BY))


def test_an_alarm_shows_on_the_edit_page(gateway: Gateway, steward: httpx.Client) -> None:
    name = published(gateway, steward, title="Ultrasound")
    look(gateway)
    with catalogued.browser(gateway, Role.STEWARD) as person:
        assert "names US, of which no study is held" in person.get(f"/admin/catalogue/{name}").text
        assert "1 alarm" in person.get("/admin/catalogue").text
