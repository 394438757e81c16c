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
