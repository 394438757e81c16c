"""Counts at a real site: of what lies in its index at that moment, and put down for each asker."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archive.errors import TooManyRequests
from gateway.search.budget import forget_spent
from gateway.search.counting import Counting
from gateway.search.question import EVERYTHING, All, Condition, Not, Question
from tests.integration.test_erasure import rows_with
from tests.integration.test_whole_way import write
from tests.live import LiveSite

DATASET = f"counted-{uuid.uuid4().hex[:8]}"
MG = Condition("modality", ("MG",))


@pytest.fixture(scope="module")
def counting(site: LiveSite) -> Iterator[Counting]:
    """All mammograms, as a dataset of the catalogue."""
    site.run("dataset", "create", DATASET, "Modality=MG")
    with site.database() as database:
        database.execute(
            "insert into catalogue_record (dataset, fields, edited_by, published_at)"
            " select number, '{}', 'x', now() from dataset where name = %s",
            [DATASET],
        )
    made = Counting()
    yield made
    made.close()
    with site.database() as database:
        database.execute(
            "delete from catalogue_record where dataset in (select number from dataset where name = %s)",
            [DATASET],
        )
    site.run("dataset", "delete", DATASET)


@pytest.fixture
def sent(site: LiveSite, exam: list[bytes], tmp_path: Path) -> str:
    return str(site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"])


def count(site: LiveSite, counting: Counting, question: Question = EVERYTHING) -> tuple[int, int]:
    rows = {row.dataset: row for row in counting.exact(site.settings, question)}
    return rows[DATASET].studies, rows[DATASET].patients


def fact(site: LiveSite, counting: Counting, study: str) -> dict[str, Any]:
    counting.exact(site.settings, EVERYTHING)
    with site.database() as database:
        found = database.execute(
            "select to_jsonb(f) from search_fact f where study_instance_uid = %s", [study]
        )
        row = found.fetchone()
    return dict(row[0]) if row else {}


def test_counts_are_those_of_the_index(site: LiveSite, counting: Counting, sent: str) -> None:
    expected = (
        "select count(*), count(distinct patient_id) from study"
        " where not withheld and exists (select from series s where s.study_instance_uid = study.study_instance_uid"
        " and modality = 'MG' {})"
    )
    with site.database() as database:
        for question, also in (
            (EVERYTHING, ""),
            (MG, ""),
            (Condition("sex", ("F",)), "and patient_sex = 'F'"),
            (Not(Condition("sex", ("F",))), "and patient_sex <> 'F'"),
            (Condition("year", None, None, 2020), "and study_date > '' and study_date < '2021'"),
        ):
            (told,) = database.execute(expected.format(also).encode()).fetchall()
            assert count(site, counting, question) == told


def test_what_an_exam_is_known_by(site: LiveSite, counting: Counting, sent: str) -> None:
    found = fact(site, counting, sent)
    assert (found["views"], found["laterality"], found["round"]) == (2, 3, 1)
    assert found["day"] > 19000101 and found["findings"] >= 0


def test_an_opt_out_counts_no_more(
    site: LiveSite,
    counting: Counting,
    sent: str,
    patient_id: str,
) -> None:
    before = count(site, counting)
    site.run("optout", "add", patient_id)
    assert count(site, counting) == (before[0] - 1, before[1] - 1)
    site.run("optout", "withdraw", patient_id)
    assert count(site, counting) == before


def test_a_label_counts_at_once_and_before_a_reading(
    site: LiveSite, counting: Counting, sent: str, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        f"StudyInstanceUID,Density,Assessment,Cancer,View,Kind,Left,Top,Right,Bottom\n{sent},d,4A,yes,,none,,,,\n"
    )
    site.run("label", "import", str(file))
    found = fact(site, counting, sent)
    assert (found["density"], found["assessment"], found["diagnosis"], found["findings"] & 15) == (4, 4, 1, 8)
    asked = All((Condition("assessment", ("4",)), Condition("diagnosis", ("breast-cancer",))))
    assert count(site, counting, asked)[0] >= 1


def test_of_an_erased_study_nothing_is_left(site: LiveSite, counting: Counting, sent: str) -> None:
    before = count(site, counting)
    site.run("erase", "study", sent, "--reason", "asked", "--yes")
    assert not rows_with(site, sent) & {"search_fact", "search_stale"}
    assert count(site, counting) == (before[0] - 1, before[1] - 1)


def test_two_processes_tell_the_same(site: LiveSite, counting: Counting, sent: str) -> None:
    other = Counting()
    settings = replace(site.settings, search_noise=0, search_budget=0)
    try:
        assert other.answer(settings, MG, "x").rows == counting.answer(settings, MG, "y").rows
        assert other.facts.states == counting.facts.states
    finally:
        other.close()


def test_what_a_steward_writes_is_told_when_it_is_published(
    site: LiveSite, counting: Counting, sent: str
) -> None:
    with site.database() as database:
        database.execute(
            'update catalogue_record r set fields = \'{"title": "A draft", "description": "A draft"}\''
            " from dataset d where d.number = r.dataset and d.name = %s",
            [DATASET],
        )
    rows = counting.answer(replace(site.settings, search_budget=0), MG, "x").rows
    assert "A draft" not in {told for row in rows for told in (row.title, row.description)}


def test_a_lost_connection_is_made_anew(site: LiveSite, counting: Counting, sent: str) -> None:
    before = count(site, counting)
    with site.database() as database:
        database.execute("select pg_terminate_backend(%s)", [counting._connection.info.backend_pid])
    assert count(site, counting) == before


def test_a_budget_is_of_a_day_and_what_was_asked_is_free(
    site: LiveSite, counting: Counting, sent: str
) -> None:
    asker, cost = uuid.uuid4().hex, counting.overlap(site.settings)
    settings = replace(site.settings, search_budget=2 * cost)
    years = [Condition("year", None, year) for year in (2001, 2002, 2003)]
    for asked in (years[0], years[1], Not(Not(years[0])), years[1]):
        counting.answer(settings, asked, asker)
    with pytest.raises(TooManyRequests) as refused:
        counting.answer(settings, years[2], asker)
    assert 0 < refused.value.retry_after <= 86_400
    assert counting.answer(settings, years[2], uuid.uuid4().hex).rows


@pytest.mark.parametrize("second", ["a linked identity", "a program of hers", "a program of the linked one"])
def test_a_person_has_one_budget(site: LiveSite, counting: Counting, sent: str, second: str) -> None:
    name = uuid.uuid4().hex[:12]
    first, linked, program = f"account:{name}", f"https://login.example#{name}", f"client:{name}"
    with site.database() as database:
        if second != "a program of hers":
            database.execute(
                "insert into linked_identity (subject, person, linked_by) values (%s, %s, 'test'), (%s, %s, 'test')",
                [first, name, linked, name],
            )
        database.execute(
            "insert into client (client_id, secret_sha256, scope, owner) values (%s, '', 'search.count', %s)",
            [name, linked if second == "a program of the linked one" else first],
        )
    settings = replace(site.settings, search_budget=counting.overlap(site.settings))
    asked = [Condition("year", None, year) for year in (2001, 2002)]
    counting.answer(settings, asked[0], first)
    other = linked if second == "a linked identity" else program
    for one, another in ((other, first), (first, other)):
        assert counting.answer(settings, asked[0], one).rows
        with pytest.raises(TooManyRequests):
            counting.answer(settings, asked[1], another)
    assert counting.answer(settings, asked[1], f"account:{uuid.uuid4().hex}").rows


def test_of_askers_whom_a_hub_has_no_budget_for_nothing_is_put_down(
    site: LiveSite, counting: Counting, sent: str
) -> None:
    hub, cost = uuid.uuid4().hex, counting.overlap(site.settings)
    settings = replace(site.settings, search_budget=cost, search_hub_budget=cost)
    counting.answer(settings, MG, f"{hub}#1", hub)
    for asker, asked in (("2", EVERYTHING), ("1", EVERYTHING), ("3", Not(MG))):
        with pytest.raises(TooManyRequests):
            counting.answer(settings, asked, f"{hub}#{asker}", hub)
    with site.database() as database:
        rows = database.execute("select asker from search_asked where starts_with(asker, %s)", [hub])
        assert sorted(asker for (asker,) in rows) == [hub, f"{hub}#1"]


def test_what_was_asked_on_days_before_is_forgotten(site: LiveSite, counting: Counting, sent: str) -> None:
    with site.database() as database, database.transaction(force_rollback=True):
        database.execute("insert into search_asked values ('x', current_date - 2, '', 1)")
        forget_spent(database)
        assert database.execute("select count(*) from search_asked where asker = 'x'").fetchone() == (0,)


def test_the_command_counts(site: LiveSite, counting: Counting, sent: str) -> None:
    site.run("search", "rebuild")
    told = json.loads(
        site.run("search", "count", '{"is": "modality", "in": ["MG"]}', "--exactly", "--json").stdout
    )
    assert (DATASET, *count(site, counting, MG)) in [tuple(row.values()) for row in told]
    assert DATASET in site.run("search", "count").stdout
    assert site.run("search", "count", "{", check=False).returncode
