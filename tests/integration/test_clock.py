"""What was put off until tomorrow by a clock that was ahead is done today."""

from collections.abc import Callable
from pathlib import Path

from archive.pool import queries
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually


def test_a_study_that_came_tomorrow_settles(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    study = site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]
    with site.database() as database:
        database.execute("insert into unsettled values (%s, now() + interval '1 day')", [study])
        waits = "select from unsettled where study_instance_uid = %s"
        eventually(lambda: not database.execute(waits, [study]).fetchall())


def test_a_worker_that_was_alive_tomorrow_counts_as_dead(site: LiveSite) -> None:
    """Else the jobs that it had would be its own until then."""
    tomorrow = (
        "insert into procrastinate_workers (last_heartbeat) values (now() + interval '1 day') returning id"
    )
    later = "select from procrastinate_workers where id = %s and last_heartbeat > now() + interval '1 hour'"
    with site.database() as database:
        ((worker,),) = database.execute(tomorrow).fetchall()
        eventually(lambda: not database.execute(later, [worker]).fetchall())


def test_a_delivery_that_is_put_off_until_tomorrow_is_due(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    study = site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]
    with site.database() as database, database.transaction(force_rollback=True):
        database.execute(
            """insert into delivery (destination, study_instance_uid, series_instance_uid, sop_instance_uid,
                                     sop_class_uid, kind, content, next_try)
               select 'nowhere', study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, 'sr', 'x',
                      now() + interval '1 day'
               from instance where study_instance_uid = %s limit 1""",
            [study],
        )
        values = {"destination": "nowhere", "limit": 9}
        assert len(database.execute(queries("delivery.sql")["due"], values).fetchall()) == 1
