"""What comes of exams that can't be looked at, and of files that are away: nothing stops, and nothing wrong is kept."""

import errno
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import QueryCanceled

from archive import datasets
from archive.bucket import Access, Bucket
from archive.cache import Cache
from archive.errors import Unavailable
from archive.policy import Role
from archive.quality import exams, kept, pixels
from archive.quality.checks import Check
from archive.quality.report import MOST, report
from archive.tiers import Tiers
from tests.conformance.catalogued import browser, exam, steward
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import dataset, run
from tests.live import eventually, find_free_ports


@pytest.fixture(scope="module")
def gateway(serve_instances) -> Iterator[Gateway]:
    with serve_instances([exam(number) for number in range(3)]) as made:
        yield made


@pytest.fixture
def database(gateway: Gateway) -> Iterator[psycopg.Connection]:
    with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
        connection.execute("truncate quality_due, image_quality, study_quality, quality_attempt")
        connection.execute("insert into quality_due select study_instance_uid from study")
        yield connection


def look_at_all(database: psycopg.Connection, gateway: Gateway) -> list[str]:
    """Studies that were looked at."""
    while exams.look(database, Tiers.of(gateway.settings)):
        pass
    return [one.study_instance_uid for one in exams.of_dataset(database, 0) if one.checked_at]


def due(database: psycopg.Connection) -> set[str]:
    return {study for (study,) in database.execute("select study_instance_uid from quality_due")}


def test_one_that_cannot_be_looked_at_keeps_no_other_from_it(database, gateway) -> None:
    broken = "update instance set metadata = %s where study_instance_uid = '1.6.0'"
    (whole,) = database.execute("select metadata from instance where study_instance_uid = '1.6.0'").fetchone()
    database.execute(broken, [b"{"])
    look_at_all(database, gateway)
    assert due(database) == set()
    found = {
        one.study_instance_uid: {each.check for each in one.findings} for one in exams.of_dataset(database, 0)
    }
    assert {study for study, checks in found.items() if Check.UNREADABLE in checks} == {"1.6.0"}
    database.execute(broken, [whole])


def test_one_that_kills_who_looks_is_given_up_after_some_tries(database, gateway, monkeypatch) -> None:
    """As where its files take more memory than there is: the process is gone, and its mark stays."""

    def killed(*_: object) -> None:
        raise SystemExit(137)

    database.execute("delete from quality_due where study_instance_uid <> '1.6.0'")
    monkeypatch.setattr(exams, "look_at", killed)
    for _ in range(exams.TRIES):
        with pytest.raises(SystemExit):
            exams.look(database, Tiers.of(gateway.settings))
        assert exams.look(database, Tiers.of(gateway.settings)) == 0  # nor is it tried again at once
        exams.begin_anew(database)
        database.execute("update quality_attempt set next_try = now()")
    exams.look(database, Tiers.of(gateway.settings))
    assert [one.check for one in exams.of_study(database, "1.6.0").findings] == [Check.UNREADABLE]
    assert due(database) == set()


def test_a_keeper_that_is_ended_has_not_tried(database, gateway, monkeypatch) -> None:
    def ended(*_: object) -> None:
        raise SystemExit(0)

    with monkeypatch.context() as patch:
        patch.setattr(exams, "look_at", ended)
        with pytest.raises(SystemExit):
            exams.look(database, Tiers.of(gateway.settings), limit=1)
    exams.forgive(database)
    assert len(look_at_all(database, gateway)) == 3
    assert database.execute("select from quality_attempt").rowcount == 0


def test_a_disk_that_does_not_answer_says_nothing_of_the_image(database, gateway, monkeypatch) -> None:
    """It is tried again, and no image is told to be damaged meanwhile."""
    database.execute("delete from quality_due where study_instance_uid <> '1.6.0'")

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "no answer")

    with monkeypatch.context() as patch:
        patch.setattr(pixels, "dcmread", failing)
        exams.look(database, Tiers.of(gateway.settings))
    assert due(database) == {"1.6.0"} and exams.of_study(database, "1.6.0").checked_at is None
    database.execute("update quality_attempt set next_try = now()")
    assert look_at_all(database, gateway) == ["1.6.0"]
    assert Check.UNDECODABLE not in {one.check for one in exams.of_study(database, "1.6.0").findings}


def test_what_was_put_off_while_the_clock_was_ahead_is_looked_at(database, gateway) -> None:
    database.execute("delete from quality_due where study_instance_uid <> '1.6.0'")
    database.execute(
        "insert into quality_attempt values ('1.6.0', 1, false, now() + interval '30 minutes')",
    )
    assert exams.look(database, Tiers.of(gateway.settings)) == 0
    database.execute("update quality_attempt set next_try = now() + interval '1 year'")
    assert exams.look(database, Tiers.of(gateway.settings)) == 1


def test_what_is_withheld_waits(database, gateway) -> None:
    database.execute("update study set withheld = true where study_instance_uid = '1.6.0'")
    assert look_at_all(database, gateway) == ["1.6.1", "1.6.2"]
    assert due(database) == {"1.6.0"}
    database.execute("update study set withheld = false")


def test_files_of_a_disk_that_is_away_are_not_gone(database, gateway, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        exams.look(database, Tiers(str(tmp_path)))
    assert due(database) == {"1.6.0", "1.6.1", "1.6.2"}


def test_an_exam_in_a_bucket_that_is_away_is_put_off_and_holds_up_no_other(
    database, gateway, tmp_path: Path
) -> None:
    (port,) = find_free_ports(1)
    bucket = Bucket(Access(f"http://127.0.0.1:{port}", "images", "us-east-1", "key", "secret"))
    away = Tiers(str(tmp_path), "", bucket, Cache(str(tmp_path / "cache"), 1))
    assert exams.look(database, away) == 3
    assert due(database) == {"1.6.0", "1.6.1", "1.6.2"}
    tries = database.execute("select tries, is_begun, next_try > now() from quality_attempt").fetchall()
    assert tries == [(0, False, True)] * 3
    database.execute("delete from quality_attempt")


def test_a_file_that_is_back_is_found(database, gateway, tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    exams.check(database, Tiers(str(tmp_path)), "1.6.0")
    assert "file-missing" in json.dumps(exams.of_study(database, "1.6.0").to_json())
    exams.check(database, Tiers.of(gateway.settings), "1.6.0")
    assert "file-missing" not in json.dumps(exams.of_study(database, "1.6.0").to_json())


def test_an_odd_size_is_no_failure_of_a_report(database, gateway) -> None:
    odd = json.dumps({"00101020": {"vr": "DS", "Value": ["tall"]}})
    database.execute("update study set attributes = attributes || %s::jsonb", [odd])
    assert report(database, 0).anonymity.patients == 2


@pytest.fixture
def reported(database, gateway) -> psycopg.Connection:
    """With all exams looked at, and all reports made."""
    database.execute("truncate quality_report cascade")
    look_at_all(database, gateway)
    while kept.make_due(database):
        pass
    return database


def test_what_is_kept_of_a_report_is_all_that_it_says(reported) -> None:
    found = kept.read(reported, 0)
    assert found.report.to_json() == report(reported, 0).to_json()
    assert found.report.worst


def test_a_report_is_made_anew_when_an_exam_changed(reported, gateway) -> None:
    before = kept.read(reported, 0).made_at
    exams.check(reported, Tiers.of(gateway.settings), "1.6.0")
    eventually(lambda: kept.make_due(reported) or None)
    assert kept.read(reported, 0).made_at > before


def test_an_exam_that_is_withheld_is_named_no_more(reported) -> None:
    reported.execute("update study set withheld = true where study_instance_uid = '1.6.0'")
    assert "1.6.0" not in {one.study_instance_uid for one in kept.read(reported, 0).report.worst}
    reported.execute("update study set withheld = false")


def test_a_report_that_takes_too_long_keeps_no_other_from_being_made(reported) -> None:
    """The one of before stays, and its turn comes again after the others."""
    before = kept.read(reported, 0)
    reported.execute("update quality_report set changes = -1, tried_at = '2020-01-01' where dataset = 0")
    with reported.transaction():
        reported.execute("lock study_quality in access exclusive mode")
        with psycopg.connect(reported.info.dsn, autocommit=True) as another, pytest.raises(QueryCanceled):
            kept.make_due(another, longest=0.05)
    assert kept.read(reported, 0) == before
    (tried,) = reported.execute(
        "select max(dataset) filter (where tried_at > now() - interval '1 day') from quality_report"
    ).fetchone()
    assert tried == 0


def test_pages_and_programs_are_told_how_old_a_report_is(reported, gateway) -> None:
    with steward(gateway) as program, browser(gateway, Role.STEWARD) as person:
        told = program.get("/api/datasets/everything/quality").json()
        page = person.get("/admin/quality/everything").text
        reported.execute("truncate quality_report cascade")
        assert program.get("/api/datasets/everything/quality").json()["made_at"] is None
        assert "not made this report yet" in person.get("/admin/quality/everything").text
    assert told["made_at"].startswith("20")
    assert f"{datetime.fromisoformat(told['made_at']):%H:%M} UTC" in page


def test_studies_of_datasets_are_counted_without_looking_at_them(database, gateway) -> None:
    """By bits and by days: no plan reads the studies."""
    name = dataset(gateway.settings, "Modality=MG&PatientID=C0")
    counted = run(gateway.settings, datasets.count_each)
    number = run(gateway.settings, lambda each: datasets.show(each, name)).number
    assert (counted[number], counted[0]) == (2, 3)
    plan = database.execute(f"explain {exams.queries('dataset.sql')['count_each']}".encode()).fetchall()
    assert "dataset_study" not in str(plan)


def test_what_is_told_of_exams_is_put_together_once(database) -> None:
    """Not once more for each of a million."""
    statement = exams.queries("quality.sql")["studies"]
    plan = database.execute(f"explain {statement}".encode(), {"number": 0, "study": None})
    assert [line for (line,) in plan.fetchall() if "SubPlan" in line] == []


def test_a_dataset_that_is_none_has_a_page_that_says_so(gateway) -> None:
    """A person is shown a page, and not what programs read."""
    with browser(gateway, Role.STEWARD) as person:
        answer = person.get("/admin/quality/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_of_ten_thousand_exams_a_report_names_some_and_counts_all(reported, gateway) -> None:
    """Its page stays one that is shown at once."""
    findings = '[{"check": "views-missing", "instances": 4, "attributes": []}]'
    reported.execute("set session_replication_role = replica")  # nothing else is told of them
    reported.execute(
        """with made as (
            insert into study
            select (jsonb_populate_record(study, jsonb_build_object('study_instance_uid', '1.7.' || number))).*
            from study, generate_series(1, 10000) number where study_instance_uid = '1.6.0'
            returning study_instance_uid)
        insert into study_quality (study_instance_uid, findings) select study_instance_uid, %s::jsonb from made""",
        [findings],
    )
    try:
        eventually(lambda: kept.make_due(reported) and kept.read(reported, 0).report.studies > 10_000)
        found = kept.read(reported, 0).report
        with browser(gateway, Role.STEWARD) as person:
            page = person.get("/admin/quality/everything")
    finally:
        for table in ("quality_worst", "study_quality", "study"):
            reported.execute(f"delete from {table} where study_instance_uid like '1.7.%'".encode())
        reported.execute("set session_replication_role = origin")
    assert found.failed[Check.VIEWS] >= 10_000
    assert len(found.worst) == page.text.count("/viewer/?StudyInstanceUIDs=") == MOST
    assert len(page.content) < 100_000
