"""A new release finds the database of an older one: nothing is lost by the way there, nor by the way back.

`tests/data/site_0029.sql.gz` is what pg_dump wrote of a site with synthetic exams, before there was a migration 0030.
"""

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from archive import migration
from archive.errors import ConfigurationError, Unavailable
from archive.settings import Settings
from senogate.backup import database, upgrade
from senogate.cluster import locate
from tests.live import temporary_home

FIXTURE = Path(__file__).parent.parent / "data" / "site_0029.sql.gz"
NEWCOMER = "insert into crosswalk (pseudonym, kind, sealed) values ('2.25.77', 'study', 'sealed')"

ERASED = """
    insert into erasure (id, kind, pseudonyms, asked_at, asked_by, reason, completed_at, receipt)
    select named, 'study', array[study_instance_uid], now() + make_interval(secs => number), 'os:somebody', 'a test',
        now(), '{}'
    from (select min(study_instance_uid) study_instance_uid from study) s,
        (values ('first', 1), ('second', 2)) as erasures (named, number)"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Settings]:
    """A home with a database that runs."""
    with temporary_home() as home:
        home.mkdir()
        with database.answering(Settings(home=home)) as connected:
            yield connected


@pytest.fixture
def settings(cluster: Settings) -> Settings:
    """A home whose database is the older release's."""
    ask(
        cluster,
        "drop schema public cascade; create schema public; drop schema if exists senogate_aside cascade",
    )
    shutil.rmtree(cluster.home / "upgrades", ignore_errors=True)
    psql = str(locate(cluster.home).binary("psql"))
    command = [psql, "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", cluster.database_url]
    subprocess.run(
        command, input=gzip.decompress(FIXTURE.read_bytes()), check=True, capture_output=True, cwd="/"
    )
    return cluster


def ask(settings: Settings, statement: str) -> list[Any]:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def columns_of(settings: Settings) -> dict[str, str]:
    """The columns of each table, by its name."""
    return dict(
        ask(
            settings,
            "select table_name, string_agg(quote_ident(column_name), ', ' order by ordinal_position)"
            " from information_schema.columns join information_schema.tables using (table_schema, table_name)"
            " where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> 'migration'"
            " group by table_name",
        )
    )


def rows(settings: Settings, columns: dict[str, str]) -> dict[str, list[Any]]:
    """What the tables hold in these columns."""
    return {
        name: ask(settings, f"select x from (select {of_it} from {name}) x order by x::text")
        for name, of_it in columns.items()
    }


def test_no_row_of_an_older_release_is_lost(settings: Settings) -> None:
    columns = columns_of(settings)
    before = rows(settings, columns)
    upgrade.migrate(settings, lambda said: None)
    assert all(
        before[name] for name in ("study", "crosswalk", "spool", "permit", "opt_out", "audit", "account")
    )
    assert rows(settings, columns) == before
    assert migration.find_pending(settings.database_url)[1] == []


def test_what_was_received_since_the_upgrade_stays_when_it_is_taken_back(settings: Settings) -> None:
    columns = columns_of(settings)
    before = rows(settings, columns)
    upgrade.migrate(settings, lambda said: None)
    ask(settings, NEWCOMER)
    upgrade.roll_back(settings, "", lambda said: None)
    after = rows(settings, columns)
    assert migration.find_pending(settings.database_url)[0] == "0029_fleet_poll"
    known = before.pop("crosswalk")
    assert [row for row in after.pop("crosswalk") if row not in known][0][0][0] == "2.25.77"
    assert len(after.pop("audit")) == len(before.pop("audit")) + 1  # that it was rolled back
    assert after == before


def test_what_was_erased_since_the_upgrade_is_erased_again(settings: Settings) -> None:
    """The dump has the patient's identities, which are not to stay."""
    upgrade.migrate(settings, lambda said: None)
    ask(settings, ERASED)
    upgrade.roll_back(settings, "", lambda said: None)
    due = (
        "select id, receipt, withheld from erasure join study on study_instance_uid = pseudonyms[1]"
        " where reason = 'a test' and completed_at is null"
    )
    assert ask(settings, due) == [("second", None, True)]


REVOKE = """
    update permit set state = 'revoked', revoked_at = now(), revoked_by = 'os:somebody' where state = 'granted';
    update client set revoked_at = now();
    update account set disabled_at = now();
    delete from role_grant"""
SPEND = """
    insert into offered_run (run, hub, manifest, signature, state) values ('r', 'h', 'm', 's', 'running');
    insert into privacy_spent (part, dataset, run, round, noise_multiplier, sample_rate, steps, delta)
        select 'part ' || number, 'd', 'r', number, 1, 0.1, 10, 1e-5 from generate_series(1, %s) number"""
ASK = """
    insert into job (subject, permit, dataset, kind, question, sha256, submitted_by)
        values ('client:one', 'P1', 'd', 'counts', '{}', 'x', 'client:one');
    insert into search_asked values ('client:one', now()::date, 'one', 3), ('client:one', now()::date, 'two', 4)"""


def test_what_was_revoked_since_the_upgrade_stays_revoked(settings: Settings) -> None:
    assert ask(settings, "select 1 from permit where state = 'granted'") != []
    upgrade.migrate(settings, lambda said: None)
    ask(settings, REVOKE)
    upgrade.roll_back(settings, "", lambda said: None)
    assert ask(settings, "select 1 from permit where state = 'granted'") == []
    assert ask(settings, "select 1 from client where revoked_at is null") == []
    assert ask(settings, "select 1 from account where disabled_at is null") == []
    assert ask(settings, "select 1 from role_grant") == []


def test_a_budget_that_was_spent_since_the_upgrade_is_not_given_back(settings: Settings) -> None:
    ask(settings, SPEND % 1)
    upgrade.migrate(settings, lambda said: None)
    ask(settings, "delete from privacy_spent; delete from offered_run")
    ask(settings, SPEND % 3)
    upgrade.roll_back(settings, "", lambda said: None)
    assert ask(settings, "select part from privacy_spent order by 1") == [
        ("part 1",),
        ("part 2",),
        ("part 3",),
    ]
    ask(settings, (SPEND % 4).partition(";")[2] + " on conflict do nothing")  # by a number of its own


def test_questions_that_were_asked_since_a_dump_stay_asked(settings: Settings) -> None:
    """Of a release that has the tables, too: what a permit's jobs and an asker's questions have used up."""
    upgrade.migrate(settings, lambda said: None)
    ask(settings, ASK.replace("'one', 3), ('client:one', now()::date, 'two', 4)", "'one', 3)"))
    dump = upgrade._dump(settings, migration.newest())
    ask(settings, "update job set state = 'cancelled'; delete from search_asked")
    ask(settings, ASK.replace("'x'", "'y'"))
    upgrade.roll_back(settings, dump.name, lambda said: None)
    assert ask(settings, "select sha256, state from job order by 1") == [
        ("x", "cancelled"),
        ("y", "submitted"),
    ]
    assert ask(settings, "select sum(cost) from search_asked") == [(7,)]


def test_a_rollback_that_was_cut_short_is_gone_on_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade.migrate(settings, lambda said: None)
    ask(settings, NEWCOMER)
    with monkeypatch.context() as broken:
        broken.setattr(
            database, "restore", lambda *arguments: (_ for _ in ()).throw(Unavailable("cut short"))
        )
        with pytest.raises(Unavailable):
            upgrade.roll_back(settings, "", lambda said: None)
    with pytest.raises(ConfigurationError, match="rollback was cut short"):
        upgrade.migrate(settings, lambda said: None)  # as the start of the site does
    upgrade.roll_back(settings, "", lambda said: None)
    assert ask(settings, "select 1 from crosswalk where pseudonym = '2.25.77'") == [(1,)]
    assert ask(settings, "select 1 from pg_namespace where nspname = 'senogate_aside'") == []


def test_without_room_for_the_dump_nothing_is_migrated(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(database, "dump", full)
    with pytest.raises(Unavailable, match="No space left"):
        upgrade.migrate(settings, lambda said: None)
    assert migration.find_pending(settings.database_url)[0] == "0029_fleet_poll"
    assert list((settings.home / "upgrades").iterdir()) == []


def test_the_database_of_a_newer_release_is_refused(settings: Settings) -> None:
    ask(settings, "insert into migration (name) values ('9999_tomorrow')")
    with pytest.raises(ConfigurationError, match="9999_tomorrow.*rollback"):
        upgrade.migrate(settings, lambda said: None)
