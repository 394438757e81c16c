"""Studies that come or go together are counted together; in transactions that never end, beside the site's own."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.live import LiveSite

STUDIES = 4500  # more than a chunk of places holds
ADD = """
insert into study
select '1.7.45.' || n, 'P' || n, '', '', 'F',
    case mod(n, 3) when 0 then '19010131' when 1 then '19010202' else '19010203' end,
    '', '', '', '', '', '{MG}', '{}', 1 + mod(n, 2), mod(n, 5), '{}', ''
from generate_series(%s::integer, %s::integer) n
"""
WANTED = """
select study_date, count(*)::bigint, sum(number_of_series)::bigint, sum(number_of_instances)::bigint
from study where study_date like '1901%' group by 1 order by 1
"""
BY_DAY = """
select study_date, studies, series, instances from study_day
where study_date like '1901%' and modality = '' and studies > 0 order by 1
"""
BY_PLACE = """
select study_date, sum(bit_count(members))::bigint,
    sum((select sum(bit_count(n.members & day.members) << power) from month_numbers n
        where (n.month, n.chunk, level) = (day.month, day.chunk, 'series')))::bigint,
    sum((select sum(bit_count(n.members & day.members) << power) from month_numbers n
        where (n.month, n.chunk, level) = (day.month, day.chunk, 'instances')))::bigint
from day_places day where study_date like '1901%' group by 1 having sum(bit_count(members)) > 0 order by 1
"""
CHANGES = "select sum(n_tup_ins + n_tup_upd) from pg_stat_xact_user_tables where relname = any(%s)"
COUNTS = ["study_day", "study_month", "day_places", "month_numbers"]


@pytest.fixture
def database(site: LiveSite) -> Iterator[psycopg.Connection]:
    with site.database() as connection, connection.transaction(force_rollback=True):
        yield connection


def counts(database: psycopg.Connection) -> list[list[tuple[object, ...]]]:
    return [database.execute(query).fetchall() for query in (WANTED, BY_DAY, BY_PLACE)]


def test_studies_that_come_and_go_at_once_are_counted(database: psycopg.Connection) -> None:
    database.execute(ADD, [1, STUDIES])
    wanted, by_day, by_place = counts(database)
    assert wanted == by_day == by_place and len(wanted) == 3
    database.execute("delete from study where study_instance_uid like '1.7.45.%1'")
    database.execute(ADD, [STUDIES + 1, STUDIES + 9])
    wanted, by_day, by_place = counts(database)
    assert wanted == by_day == by_place


def test_no_count_is_changed_once_for_each_study(database: psycopg.Connection) -> None:
    """PostgreSQL would pass all versions of its row that the transaction left behind, each time."""
    before = database.execute(CHANGES, [COUNTS]).fetchone()
    database.execute(ADD, [1, STUDIES])
    after = database.execute(CHANGES, [COUNTS]).fetchone()
    assert before and after and after[0] - before[0] < 100


CHANGE = {
    "counts": "number_of_series = number_of_series + 1, number_of_instances = 7, modalities = '{MG,US}'",
    "dates": "study_date = '1901020' || 9 - right(study_date, 1)::integer",
    "sight": "withheld = not withheld",
    "everything": "study_date = '19010301', number_of_instances = 9, modalities = '{}'",
}


def shown(database: psycopg.Connection) -> list[list[tuple[object, ...]]]:
    return [[row for row in rows if row[1]] for rows in counts(database)]


@pytest.mark.parametrize("change", ["counts", "dates", "everything"])
def test_studies_that_change_at_once_are_counted(database: psycopg.Connection, change: str) -> None:
    database.execute(ADD, [1, STUDIES])
    for which in ("%1", "%"):  # the first time of some
        database.execute(
            f"update study set {CHANGE[change]} where study_instance_uid like '1.7.45.{which}'".encode()
        )
        wanted, by_day, by_place = shown(database)
        assert wanted == by_day == by_place


@pytest.mark.parametrize("change", CHANGE.values(), ids=CHANGE)
def test_no_count_is_changed_once_for_each_study_that_changes(
    database: psycopg.Connection, change: str
) -> None:
    database.execute(ADD, [1, STUDIES])
    ids = "study_instance_uid like '1.7.45.%'"
    database.execute(f"update study set {change} where {ids} and study_instance_uid like '%1'".encode())
    before = database.execute(CHANGES, [COUNTS]).fetchone()
    database.execute(f"update study set {change} where {ids}".encode())
    after = database.execute(CHANGES, [COUNTS]).fetchone()
    assert before and after and after[0] - before[0] < 200


def test_no_count_is_changed_once_for_each_member_that_is_withheld(database: psycopg.Connection) -> None:
    database.execute(ADD, [1, STUDIES])
    (number,) = database.execute(
        "insert into dataset (name, query, created_by) values ('bulk', '', 'test') returning number"
    ).fetchone() or (0,)
    fill = (
        "insert into dataset_study (dataset, study_date, study_instance_uid)"
        " select %s, study_date, study_instance_uid from study where study_instance_uid like '1.7.45.%%'"
    )
    database.execute(fill, [number])
    query = "select sum(bit_count(members))::bigint from dataset_month where dataset = %s"
    for members in (0, STUDIES):
        before = database.execute(CHANGES, [["dataset_month"]]).fetchone()
        database.execute("update study set withheld = not withheld where study_instance_uid like '1.7.45.%'")
        after = database.execute(CHANGES, [["dataset_month"]]).fetchone()
        assert before and after and after[0] - before[0] < 10
        assert database.execute(query, [number]).fetchone() == (members,)


def test_each_study_that_changes_is_summarised_and_told_of(database: psycopg.Connection) -> None:
    database.execute(ADD, [1, 9])
    database.execute("update study set study_date = '19010415' where study_instance_uid like '1.7.45.%'")
    query = """select count(*), min(study_date), max(number_of_images) from study_summary
        where study_instance_uid like '1.7.45.%'"""
    assert database.execute(query).fetchone() == (9, "19010415", 0)


def test_members_of_a_dataset_are_counted_as_they_come_and_go(database: psycopg.Connection) -> None:
    query = "select sum(bit_count(members)) from dataset_month where dataset = %s and month like '1901%%'"
    database.execute(ADD, [1, 9])
    (number,) = database.execute(
        "insert into dataset (name, query, created_by) values ('bulk', '', 'test') returning number"
    ).fetchone() or (0,)
    database.execute(
        "insert into dataset_study (dataset, study_date, study_instance_uid)"
        " select %s, study_date, study_instance_uid from study where study_instance_uid like '1.7.45.%%'",
        [number],
    )
    assert database.execute(query, [number]).fetchone() == (9,)
    database.execute("delete from study where study_instance_uid like '1.7.45.%'")
    assert database.execute(query, [number]).fetchone() == (0,)
