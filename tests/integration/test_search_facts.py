"""Facts of studies as they are computed from the index; in transactions that never end, beside a site's own studies."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from archive import search_facts
from archive.search_facts import bring_studies_up_to_date, bring_up_to_date, read_kinds
from tests.live import LiveSite

FOUR = [(side, view) for side in "LR" for view in ("CC", "MLO")]
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
TOMOSYNTHESIS, MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.13.1.3", "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture
def database(site: LiveSite) -> Iterator[psycopg.Connection]:
    with site.database() as connection, connection.transaction(force_rollback=True):
        yield connection


def attributes(**values: str) -> str:
    return json.dumps({tag[1:]: {"Value": [value]} for tag, value in values.items()})


def add(
    database: psycopg.Connection, study: str, *, patient: str = "P1", date: str = "20200102", age: str = "053Y",
    modality: str = "MG", images: list[tuple[str, str]] = FOUR, sop_class: str = MAMMOGRAM, series: str = "{}",
) -> None:  # fmt: skip
    database.execute(
        "insert into study values (%s, %s, '', '', 'F', %s, '', '', '', '', '', %s, '{}', 1, 4, %s, '')",
        [study, patient, date, [modality], attributes(_00101010=age)],
    )
    database.execute(
        "insert into series values (%s, %s, %s, 1, 4, %s, '')", [f"{study}.1", study, modality, series]
    )
    for number, (side, view) in enumerate(images):
        database.execute(
            "insert into instance (sop_instance_uid, series_instance_uid, study_instance_uid, sop_class_uid,"
            " number_of_frames, transfer_syntax_uid, orthanc_id, place, size, is_image, dicom_json, metadata,"
            " attributes) values (%s, %s, %s, %s, 1, '', '', '', 1, true, '', '', %s)",
            [
                f"{study}.1.{number}",
                f"{study}.1",
                study,
                sop_class,
                attributes(_00200062=side, _00185101=view),
            ],
        )


def fact(database: psycopg.Connection, study: str) -> dict[str, Any]:
    bring_up_to_date(database)
    query = (
        "select to_jsonb(f) || jsonb_build_object('kinds', k.kinds)"
        " from search_fact f join search_kinds k on k.code = f.kinds where study_instance_uid = %s"
    )
    row = database.execute(query, [study]).fetchone()
    return dict(row[0]) if row else {}


def read(database: psycopg.Connection, study: str, kinds: list[str], *, shadow: bool = False) -> None:
    findings = {"findings": {"lesions": [{"kind": {"value": kind}} for kind in kinds]}}
    database.execute(
        "insert into reading (study_instance_uid, task, modality, state, fingerprint, findings, shadow)"
        " values (%s, 'lesions', 'MG', 'done', '', %s, %s)",
        [study, json.dumps(findings), shadow],
    )


def test_an_exam_of_four_views(database: psycopg.Connection) -> None:
    add(database, "1.2.3", series=attributes(_00080070=" Hologic, Inc."))
    found = fact(database, "1.2.3")
    assert read_kinds(found["kinds"]) == (("MG", "HOLOGIC, INC.", "BREAST"),)
    assert [found[name] for name in ("views", "laterality", "day", "age", "sex", "round")] == [
        2,
        3,
        20200102,
        53,
        1,
        1,
    ]
    assert [found[name] for name in ("density", "assessment", "diagnosis", "findings")] == [0, -1, 0, 0]


def test_views_that_lack_one(database: psycopg.Connection) -> None:
    add(database, "1.2.3", images=[*FOUR[:3], FOUR[2]])
    add(database, "1.2.4", images=FOUR[:2])
    add(database, "1.2.5", modality="US", images=[("L", "")])
    assert [fact(database, f"1.2.{number}")["views"] for number in (3, 4, 5)] == [1, 1, 0]
    assert [fact(database, f"1.2.{number}")["laterality"] for number in (3, 4, 5)] == [3, 1, 1]


def test_a_tomosynthesis(database: psycopg.Connection) -> None:
    add(database, "1.2.3", sop_class=TOMOSYNTHESIS)
    assert read_kinds(fact(database, "1.2.3")["kinds"]) == (("DBT", "", "BREAST"),)


def test_rounds_follow_when_an_earlier_exam_comes_and_goes(database: psycopg.Connection) -> None:
    rounds = lambda: [fact(database, study).get("round") for study in ("1.2.3", "1.2.4", "1.2.5")]  # noqa: E731
    add(database, "1.2.4", date="20210101")
    add(database, "1.2.5", date="20210101", modality="US")
    assert rounds() == [None, 1, 0]
    add(database, "1.2.3", date="20190101")
    assert rounds() == [1, 2, 0]
    database.execute("delete from study where study_instance_uid = '1.2.3'")
    assert rounds() == [None, 1, 0]


def test_readings_count_and_what_shadows_read_does_not(database: psycopg.Connection) -> None:
    for study, kinds in (("1.2.3", ["4147007", "44771000", "1"]), ("1.2.4", [])):
        add(database, study)
        read(database, study, kinds)
    add(database, "1.2.5")
    read(database, "1.2.5", ["4147007"], shadow=True)
    assert [fact(database, f"1.2.{number}")["findings"] >> 8 for number in (3, 4, 5)] == [7, 8, 0]


def test_a_report_of_a_reader(database: psycopg.Connection) -> None:
    add(database, "1.2.3")
    code = {"00080100": {"Value": ["397143007"]}, "00080102": {"Value": ["SCT"]}}
    report = json.dumps({"0040A730": {"Value": [{"0040A168": {"Value": [code]}}]}})
    database.execute(
        "update instance set sop_class_uid = %s, metadata = %s where sop_instance_uid = '1.2.3.1.0'",
        [COMPREHENSIVE, report.encode()],
    )
    assert fact(database, "1.2.3")["assessment"] == 3


def test_what_has_gone_leaves_a_number_alone(database: psycopg.Connection) -> None:
    add(database, "1.2.3")
    number = fact(database, "1.2.3")["number"]
    database.execute("delete from study where study_instance_uid = '1.2.3'")
    bring_studies_up_to_date(database, ["1.2.3"])
    (left,) = database.execute("select to_jsonb(f) from search_fact f where number = %s", [number]).fetchall()
    values = {value for name, value in left[0].items() if name not in ("number", "revision")}
    assert values == {None, 0, -1}
    assert not database.execute("select from search_stale where study_instance_uid = '1.2.3'").fetchall()


def test_what_changes_while_facts_are_computed_waits(
    database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a node into which studies stream, whoever asks would never be answered."""
    add(database, "1.2.3")
    plainly = search_facts._compute

    def computed(connection: psycopg.Connection, revision: int, changed: Mapping[str, bool]) -> None:
        plainly(connection, revision, changed)
        connection.execute("insert into search_stale values ('1.2.3', false)")

    monkeypatch.setattr(search_facts, "_compute", computed)
    monkeypatch.setattr(search_facts, "BATCH", 20_000)
    assert bring_up_to_date(database, most=100_000)


def test_what_did_not_change_keeps_its_revision(database: psycopg.Connection) -> None:
    add(database, "1.2.3")
    before = fact(database, "1.2.3")
    database.execute("insert into search_stale values ('1.2.3', false)")
    assert fact(database, "1.2.3") == before
    database.execute("insert into search_stale values ('1.2.3', true)")
    assert fact(database, "1.2.3")["revision"] > before["revision"]
