"""A dataset that wants a consent, over a known index: what is withheld in it is withheld in every way of asking."""

from datetime import UTC, datetime

import psycopg
import pytest

from archive import consents, datasets, holdings
from archive.consents import Decision, Scope, Statement
from archive.errors import Conflict
from gateway.search.facts import Facts
from tests.conformance.conftest import exams
from tests.conformance.permitted import BY, Holder, dataset, run, studies
from tests.conformance.test_catalogue import RECORD
from tests.live import eventually

GIVEN = Statement(Decision.GIVEN, Scope.TRAINING, "0" * 64, "folder 7", datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def gateway(serve_instances):
    """One of its own, since a consent is for all who look."""
    with serve_instances(exams()) as made:
        yield made


@pytest.fixture(scope="module")
def connection(gateway):
    with psycopg.connect(gateway.settings.database_url, autocommit=True) as made:
        yield made


@pytest.fixture(scope="module")
def patient(connection):
    ((found,),) = connection.execute(
        "select patient_id from study where study_instance_uid = '1.1'"
    ).fetchall()
    return found


@pytest.fixture
def wanting(gateway, connection):
    """A dataset of the studies 1.1 and 1.2, of two patients, in the catalogue, that wants a consent to training."""
    name = dataset(gateway.settings, "Modality=MG")
    with gateway.client() as client:
        record = f"{gateway.settings.public_url}/api/catalogue/{name}"
        assert client.put(record, json=RECORD).status_code == 200
        assert client.put(f"{record}/publication").status_code == 204
    consents.demand(connection, name, Scope.TRAINING, by=BY)
    return name


def seen(gateway, name):
    """What a holder of a permit on it is told by searches, counts, retrieval, the catalogue's numbers."""
    holder = Holder(gateway.settings)
    holder.permit(name)

    async def counted(connection):
        found = await datasets.show(connection, name)
        return await datasets.count(connection, found), (
            await holdings.count(connection, found.number)
        ).studies

    with holder.client() as client:
        found = {
            "rows": studies(client),
            "pages": studies(client, "/studies?limit=9&offset=0&StudyDate=19000101-20991231"),
            "series": sorted({row["0020000D"]["Value"][0] for row in client.get("/series").json()}),
            "retrieved": [
                uid for uid in ("1.1", "1.2") if client.get(f"/studies/{uid}/metadata").status_code == 200
            ],
        }
    return found, run(gateway.settings, counted)


def searched(connection, facts):
    facts.refresh(connection)
    return {each.name: int((facts.members[each.number] & facts.is_present).sum()) for each in facts.published}


def test_only_who_consented_is_seen_counted_and_searched(gateway, connection, wanting, patient):
    facts = Facts()
    assert seen(gateway, wanting) == ({"rows": [], "pages": [], "series": [], "retrieved": []}, (0, 0))
    assert searched(connection, facts)[wanting] == 0
    consents.record(connection, [patient], GIVEN, by=BY)
    one = ["1.1"]
    assert seen(gateway, wanting) == ({"rows": one, "pages": one, "series": one, "retrieved": one}, (1, 1))
    assert searched(connection, facts)[wanting] == 1
    consents.demand(connection, wanting, None, by=BY)
    assert seen(gateway, wanting)[1] == (2, 2)
    assert searched(connection, facts)[wanting] == 2


def test_the_whole_node_may_want_it(gateway, connection, patient):
    consents.record(connection, [patient], GIVEN, by=BY)
    with gateway.client() as client:
        before = studies(client)
        consents.demand(connection, datasets.EVERYTHING, Scope.TRAINING, by=BY)
        assert eventually(lambda: studies(client) == ["1.1"])
        consents.demand(connection, datasets.EVERYTHING, None, by=BY)
        assert studies(client) == before


def test_of_several_issuers_nobody_is_taken_for_another(connection):
    """Two patients have the Patient ID that this pseudonym without an issuer stands for."""
    for study in ("1.1", "1.2"):
        connection.execute(
            "insert into patient_alias select 'alias', patient_id from study where study_instance_uid = %s"
            " on conflict do nothing",
            [study],
        )
    with pytest.raises(Conflict, match="issuer"):
        consents.record(connection, ["alias"], GIVEN, by=BY)


def test_under_which_permits_she_was_read_is_looked_up(connection):
    """In the trail's indexes by patient and by study: it grows with everything that is read."""
    statement = f"explain {consents.queries('consents.sql')['permits']}"
    with connection.transaction():
        connection.execute("set local enable_seqscan = off")
        plan = str(connection.execute(statement.encode(), {"patients": ["P1"]}).fetchall())
    assert "audit_by_patient" in plan and "audit_by_study" in plan and "Seq Scan on audit" not in plan
