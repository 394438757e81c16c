"""Who may see what: a gateway's answers under permits, told by value."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb
from websockets.sync.client import connect

from archive import datasets, desk, listing, permits, search
from archive.attributes import Level
from archive.errors import BadRequest, Conflict, NotFound
from archive.findings import EXAM, Code, Evaluation, Findings, Likelihood, Model, Task, to_json
from archive.policy import Action, Role, Scope
from archive.purpose import Purpose
from archive.query import parse_query
from archive.resource import Resource
from archive.workitem import READING_SCHEME
from tests.conformance.permitted import BY, Holder, dataset, run, studies
from tests.live import eventually


@pytest.fixture(scope="module")
def settings(gateway):
    return gateway.settings


@pytest.fixture(scope="module")
def mammograms_of_2020(settings):
    """A dataset of the study 1.1 alone."""
    return dataset(settings, "Modality=MG&StudyDate=20200101-20201231")


@pytest.fixture
def holder(settings):
    return Holder(settings)


@pytest.fixture
def reader(holder, mammograms_of_2020):
    """A client that sees the study 1.1 alone."""
    holder.permit(mammograms_of_2020)
    with holder.client() as client:
        yield client


class TestDatasets:
    """Which studies a query finds."""

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("Modality=MG", 2),
            ("Modality=US", 1),
            ("StudyDate=20210101-", 1),
            ("Manufacturer=ACME&Modality=MG", 1),
            ("ViewPosition=CC", 1),
            ("ImageLaterality=R&Modality=MG", 1),
            ("ImageLaterality=R&Modality=US", 0),
            ("ImageLaterality=R&ViewPosition=CC", 0),
            ("Modality=CT", 0),
            ("density=a", 0),
        ],
    )
    def test_a_study_is_in_it_whose_one_instance_has_all(self, settings, query, found):
        name = dataset(settings, query)
        shown = run(settings, lambda connection: datasets.show(connection, name))
        assert run(settings, lambda connection: datasets.count(connection, shown)) == found

    def test_what_a_model_reads_moves_a_study(self, settings):
        """Of two datasets of a density, it is in the one that was read."""
        names = [dataset(settings, f"density={label}") for label in ("b,c", "d")]
        with psycopg.connect(settings.database_url) as connection:
            row = ("1.2", "density", "due", "")
            connection.execute(
                "insert into reading (study_instance_uid, task, state, fingerprint) values (%s, %s, %s, %s)",
                row,
            )
            connection.execute("update reading set state = 'done', findings = %s", [Jsonb(read_as("c"))])
            datasets.place(connection, [])

        async def counts(connection):
            return [await datasets.count(connection, await datasets.show(connection, name)) for name in names]

        assert run(settings, counts) == [1, 0]

    @pytest.mark.parametrize("query", ["", "limit=3&Modality=MG", "Rubbish=1", "density=e", "offset=1"])
    def test_a_query_that_means_nothing_is_refused(self, settings, query):
        with pytest.raises(BadRequest):
            dataset(settings, query)

    def test_a_name_is_taken_once(self, settings, mammograms_of_2020):
        with pytest.raises(Conflict):
            run(
                settings,
                lambda connection: datasets.create(connection, mammograms_of_2020, "Modality=MG", by=BY),
            )

    def test_one_that_a_permit_names_is_not_deleted(self, settings, holder):
        name = dataset(settings, "Modality=MG")
        permit_id = holder.permit(name)
        with pytest.raises(Conflict):
            run(settings, lambda connection: datasets.delete(connection, name, by=BY))
        holder.revoke(permit_id)
        run(settings, lambda connection: datasets.delete(connection, name, by=BY))
        with pytest.raises(NotFound):
            run(settings, lambda connection: datasets.show(connection, name))

    def test_a_version_has_the_hash_that_the_documents_state(self, settings, mammograms_of_2020):
        """docs/permits.md."""
        import hashlib

        frozen = run(settings, lambda connection: datasets.freeze(connection, mammograms_of_2020, by=BY))
        lines = "".join(f"1.1 {uid}\n" for uid in sorted(["1.1.1.1", "1.1.1.2", "1.1.2.1"]))
        assert frozen.sha256 == hashlib.sha256(lines.encode()).hexdigest()
        assert (frozen.number_of_studies, frozen.number_of_instances) == (1, 3)


CHANGES = (
    "update study set number_of_series = 5, number_of_instances = 9 where study_instance_uid = '1.1'",
    "update study set study_date = '19991231' where study_instance_uid = '1.2'",
    "insert into opt_out (patient_id, added_by) values ('P2', 'test')",
    "delete from opt_out",
    "update study set withheld = true where study_instance_uid = '1.1'",
    "delete from dataset_study where study_instance_uid = '1.2' and dataset = (select min(dataset) from dataset_study)",
    "delete from study where study_instance_uid = '1.3'",
    """insert into study select (jsonb_populate_record(study, '{"study_instance_uid": "1.8"}')).*
        from study where study_instance_uid = '1.2'""",
    "insert into dataset_study select max(dataset), '19991231', '1.8' from dataset_study",
    "update study set study_date = '20200110', withheld = false where study_instance_uid = '1.1'",
)
COUNTS = """
select dataset, study_date, count(*)::bigint, sum(number_of_series)::bigint, sum(number_of_instances)::bigint
from dataset_study join study using (study_instance_uid, study_date) where not study.withheld
group by 1, 2 order by 1, 2
"""
COUNTED = """
select dataset, study_date, sum(bit_count(seen.members & day.members))::bigint,
    coalesce(sum(series.number), 0)::bigint, coalesce(sum(instances.number), 0)::bigint
from dataset_month seen join day_places day using (month, chunk),
    lateral (select sum(bit_count(members & seen.members & day.members) << power) as number from month_numbers
        where month = seen.month and chunk = seen.chunk and level = 'series') series,
    lateral (select sum(bit_count(members & seen.members & day.members) << power) as number from month_numbers
        where month = seen.month and chunk = seen.chunk and level = 'instances') instances
group by 1, 2 having sum(bit_count(seen.members & day.members)) > 0 order by 1, 2
"""


def read_as(label: str) -> dict:
    """Findings of a model that read a density."""
    code = Code("1", "SCT", "dense")
    evaluation = Evaluation(EXAM, code, code, (Likelihood(label, code, 1.0),))
    model = Model("m", "M", "1", "", "")
    found = Findings(Task.DENSITY, "1.2", model, (evaluation,), (), datetime.now(UTC), "")
    return json.loads(to_json(found))


class TestSearches:
    """Rows, counts and pages are those of the permit's datasets."""

    def test_without_a_permit_there_is_nothing(self, holder):
        with holder.client() as client:
            for path in ("/studies", "/series", "/instances"):
                assert studies(client, path) == []

    @pytest.mark.parametrize(("path", "rows"), [("/studies", 1), ("/series", 2), ("/instances", 3)])
    def test_each_level_has_the_rows_of_its_studies(self, reader, path, rows):
        assert studies(reader, path) == ["1.1"] * rows

    @pytest.mark.parametrize("level", ["series", "instances"])
    def test_below_a_hidden_study_there_is_nothing(self, reader, level):
        hidden, absent = reader.get(f"/studies/1.2/{level}"), reader.get(f"/studies/1.99/{level}")
        assert alike(hidden, absent)

    def test_pages_of_several_datasets_are_those_of_their_union(self, holder, settings):
        for query in ("Modality=MG", "Modality=US", "StudyDate=20210620"):
            holder.permit(dataset(settings, query))
        with holder.client() as client:
            assert studies(client) == ["1.2", "1.1"]
            assert [studies(client, f"/studies?limit=1&offset={page}") for page in range(3)] == [
                ["1.2"],
                ["1.1"],
                [],
            ]
            assert studies(client, "/instances?limit=2&offset=1") == ["1.1", "1.1"]

    @pytest.mark.parametrize("path", ["/studies", "/series", "/instances"])
    @pytest.mark.parametrize("dates", ["", "StudyDate=20200101-20210620&"])
    def test_a_deep_page_is_the_same_part_of_the_order(self, holder, settings, monkeypatch, path, dates):
        for query in ("Modality=MG", "StudyInstanceUID=1.1,1.3", "ViewPosition=CC"):
            holder.permit(dataset(settings, query))
        with holder.client() as client:
            whole = client.get(f"{path}?{dates}").json()
            monkeypatch.setattr(search, "DEEP", 0)
            ends = range(len(whole) + 2)
            pages = [client.get(f"{path}?{dates}limit=2&offset={at}").json() for at in ends]
        assert len(whole) > 1
        assert pages == [whole[at : at + 2] for at in ends]

    def test_places_are_kept_as_studies_come_change_and_go(self, settings, mammograms_of_2020):
        """What deep pages are found by is what a count of the datasets' studies would find."""
        dataset(settings, "StudyDate=19000101-")
        with psycopg.connect(settings.database_url) as connection:
            for change in CHANGES:
                connection.execute(change)
            assert connection.execute(COUNTED).fetchall() == connection.execute(COUNTS).fetchall() != []
            connection.rollback()

    def test_a_permit_on_everything_shows_everything(self, holder):
        holder.permit("everything")
        with holder.client() as client:
            assert len(studies(client)) == 3

    def test_more_is_said_of_what_is_seen_alone(self, reader):
        answer = reader.get("/studies?limit=1")
        assert "warning" not in answer.headers

    def test_a_version_stays_as_it_was(self, holder, settings):
        name = dataset(settings, "Modality=MG")
        frozen = run(settings, lambda connection: datasets.freeze(connection, name, by=BY))
        run(settings, lambda connection: connection.execute(
            "delete from dataset_study where dataset = (select number from dataset where name = %s and version = 0)",
            [name],
        ))  # fmt: skip
        holder.permit(frozen.full_name)
        with holder.client() as client:
            assert studies(client) == ["1.2", "1.1"]


INSTANCE = "/studies/{0}/series/{0}.1/instances/{0}.1.1"
RETRIEVALS = [
    "/studies/{0}",
    "/studies/{0}/metadata",
    "/studies/{0}/rendered",
    "/studies/{0}/thumbnail",
    "/studies/{0}/series/{0}.1",
    "/studies/{0}/series/{0}.1/metadata",
    "/studies/{0}/series/{0}.1/rendered",
    "/studies/{0}/series/{0}.1/thumbnail",
    INSTANCE,
    INSTANCE + "/metadata",
    INSTANCE + "/rendered",
    INSTANCE + "/thumbnail",
    INSTANCE + "/frames/1",
    INSTANCE + "/frames/1/rendered",
    INSTANCE + "/frames/1/thumbnail",
    INSTANCE + "/bulkdata/7FE00010",
    "/../wado?requestType=WADO&studyUID={0}&seriesUID={0}.1&objectUID={0}.1.1",
]


NUMBER = "select number from dataset where name = %s and version = 0"


@pytest.fixture
def statements(monkeypatch):
    """The statements by which a gateway in this process looks for studies, as they are sent."""
    sent = []

    def noting(fetch):
        async def noted(connection, statement, values, **more):
            sent.append((statement, sorted(values)))
            return await fetch(connection, statement, values, **more)

        return noted

    for module in (search, listing):
        monkeypatch.setattr(module, "fetch", noting(module.fetch))
    return sent


def alike(one: httpx.Response, other: httpx.Response) -> bool:
    """Whether two answers can't be told apart, but by their moment."""
    fields = [
        {name: value for name, value in each.headers.items() if name not in ("date", "x-request-id")}
        for each in (one, other)
    ]
    return (one.status_code, one.content, fields[0]) == (other.status_code, other.content, fields[1])


class TestRetrievals:
    """Hidden and absent are the same answer."""

    @pytest.mark.parametrize("path", RETRIEVALS)
    @pytest.mark.parametrize(
        "headers", [{}, {"If-None-Match": "*"}, {"Accept": "nonsense/none"}, {"Range": "bytes=0-1"}]
    )
    def test_a_hidden_study_is_one_that_never_was(self, reader, path, headers):
        hidden, absent = (reader.get(path.format(study), headers=headers) for study in ("1.2", "1.9"))
        assert alike(hidden, absent)
        assert hidden.status_code in (400, 404, 406)

    @pytest.mark.parametrize("path", RETRIEVALS)
    def test_a_permitted_study_is_there(self, reader, path):
        assert reader.get(path.format("1.1")).status_code == 200

    @pytest.mark.parametrize("path", RETRIEVALS)
    def test_hidden_and_absent_run_the_same_statements(self, reader, statements, path):
        """So that how long an answer takes tells no more than its bytes do."""
        reader.get("/studies?limit=1")  # what the reader is granted is known from now on
        asked = []
        for study in ("1.2", "1.9"):
            statements.clear()
            reader.get(path.format(study))
            asked.append(list(statements))
        assert asked[0] == asked[1] != []

    def test_so_do_searches_and_what_may_be_stored(self, settings, statements, mammograms_of_2020):
        async def ask(connection, study):
            (number,) = await (await connection.execute(NUMBER, [mammograms_of_2020])).fetchone()
            scope = Scope(False, (number,))
            query = parse_query(Level.INSTANCE, [("StudyInstanceUID", study)])
            return [
                await search.shows(connection, scope, study),
                (await search.find(connection, scope, Resource(study), query)).rows,
            ]

        asked = []
        for study in ("1.2", "1.9"):
            statements.clear()
            assert run(settings, lambda connection: ask(connection, study)) == [False, []]  # noqa: B023
            asked.append(list(statements))
        assert asked[0] == asked[1] and len(asked[0]) == 2

    def test_that_a_study_was_here_is_told_to_those_who_see_everything(self, reader, dicomweb, settings):
        run(settings, lambda connection: connection.execute(
            "insert into deleted (uid) values ('1.77') on conflict do nothing"
        ))  # fmt: skip
        assert dicomweb.get("/studies/1.77").status_code == 410
        assert alike(reader.get("/studies/1.77"), reader.get("/studies/1.78"))


class TestNarrowing:
    """A token's claims narrow what is granted."""

    def test_a_token_of_a_permit_sees_what_that_permit_names(self, holder, settings, mammograms_of_2020):
        holder.permit("everything")
        permit_id = holder.permit(mammograms_of_2020)
        with holder.client(permit=permit_id) as client:
            assert studies(client) == ["1.1"]

    def test_a_token_of_a_purpose_sees_what_permits_of_it_name(self, holder, settings, mammograms_of_2020):
        holder.permit("everything")
        holder.permit(mammograms_of_2020, purpose=Purpose.ALGORITHMS)
        with holder.client(purpose="algorithms") as client:
            assert studies(client) == ["1.1"]
            assert client.get("/studies/1.2/metadata").status_code == 404

    def test_a_token_of_a_purpose_manages_nothing(self, holder, settings):
        run(settings, lambda connection: permits.add_role(connection, holder.subject, Role.STEWARD, by=BY))
        with holder.client(purpose="operation") as client:
            assert studies(client) == []
            assert client.get(f"{settings.public_url}/api/roles").status_code == 403
            assert client.get(f"{settings.public_url}/api/datasets/everything").status_code == 403

    def test_the_purpose_is_in_the_trail(self, holder, settings):
        holder.permit("everything", purpose=Purpose.STATISTICS)
        with holder.client(purpose="statistics") as client:
            client.get("/studies?PatientID=purpose")
        last = (
            "select content from audit where content::jsonb ->> 'subject' = %s order by number desc limit 1"
        )
        with psycopg.connect(settings.database_url) as connection:
            (text,) = connection.execute(last, [holder.subject]).fetchone() or ("{}",)
        assert json.loads(text)["detail"]["purpose"] == "statistics"

    def test_a_token_of_another_ones_permit_sees_nothing(self, holder, settings):
        other = Holder(settings).permit("everything")
        with holder.client(permit=other) as client:
            assert studies(client) == []

    def test_a_permit_to_read_is_none_to_write(self, holder):
        holder.permit("everything", actions=frozenset({Action.READ}))
        with holder.client() as client:
            assert client.post("/studies").status_code == 403

    def test_a_token_without_the_scope_is_refused(self, holder):
        holder.permit("everything")
        with holder.client(scope="dicomweb.write") as client:
            assert client.get("/studies").status_code == 403


class TestEnds:
    """A permit ends when it is revoked or expires, and is there when it is granted."""

    def test_a_revoked_permit_shows_nothing_any_more(self, holder, mammograms_of_2020):
        permit_id = holder.permit(mammograms_of_2020)
        with holder.client() as client:
            assert studies(client) == ["1.1"]
            holder.revoke(permit_id)
            assert eventually(lambda: studies(client) == [])

    def test_an_expired_permit_shows_nothing_any_more(self, holder, mammograms_of_2020):
        until = datetime.now(UTC) + timedelta(seconds=1.5)
        holder.permit(mammograms_of_2020, until=until)
        with holder.client() as client:
            assert studies(client) == ["1.1"]
            eventually(lambda: studies(client) == [])
            assert until <= datetime.now(UTC)

    def test_a_permit_that_is_granted_shows_at_once(self, holder, mammograms_of_2020):
        with holder.client() as client:
            assert studies(client) == []
            holder.permit(mammograms_of_2020)
            assert eventually(lambda: studies(client) == ["1.1"])

    def test_a_revoked_client_is_refused(self, holder, mammograms_of_2020):
        holder.permit(mammograms_of_2020)
        with holder.client() as client:
            assert studies(client) == ["1.1"]
            holder.leave()
            eventually(lambda: client.get("/studies").status_code == 401)


class TestWorklist:
    """Workitems are seen by who sees the studies that they name."""

    def test_a_workitem_about_a_hidden_study_is_hidden(self, reader, dicomweb):
        hidden, seen = (ask_for(dicomweb, study) for study in ("1.2", "1.1"))
        assert alike(reader.get(f"/workitems/{hidden}"), reader.get("/workitems/1.2.3.4.5"))
        assert reader.get(f"/workitems/{seen}").status_code == 200
        found = [row["00080018"]["Value"][0] for row in reader.get("/workitems").json()]
        assert (seen in found, hidden in found) == (True, False)

    def test_nothing_can_be_done_with_it(self, reader, dicomweb):
        hidden = ask_for(dicomweb, "1.2")
        for method, path in (
            ("POST", "/workitems/{}"),
            ("PUT", "/workitems/{}/state"),
            ("POST", "/workitems/{}/cancelrequest"),
            ("POST", "/workitems/{}/subscribers/me"),
            ("DELETE", "/workitems/{}/subscribers/me"),
        ):
            answers = [send(reader, method, path.format(uid)) for uid in (hidden, "1.2.3.4.5")]
            assert alike(*answers), (method, path)
            assert answers[0].status_code == 404

    def test_a_uid_that_a_hidden_one_has_is_as_good_as_any(self, reader, dicomweb):
        """PS3.18 section 11.4: a workitem is made under the UID that its maker gives."""
        hidden, absent = ask_for(dicomweb, "1.2"), f"2.25.{uuid.uuid4().int}"
        made = [create(reader, uid) for uid in (hidden, absent)]
        assert [answer.status_code for answer in made] == [201, 201]
        assert [answer.headers["location"].rsplit("/", 1)[-1] for answer in made] == [hidden, absent]
        assert made[0].headers.keys() == made[1].headers.keys()
        assert made[0].content == made[1].content == b""
        again = [create(reader, uid) for uid in (hidden, absent)]
        assert alike(*again) and again[0].status_code == 409

    def test_who_gave_a_uid_knows_its_workitem_by_it_everywhere(self, reader, dicomweb):
        given = ask_for(dicomweb, "1.2")
        location = create(reader, given).headers["location"]
        assert location.endswith(given)
        (own,) = reader.get(location).json()
        assert own["00080018"]["Value"] == [given] and study_of(own) == "1.1"
        (found,) = reader.get(f"/workitems?SOPInstanceUID={given}").json()
        assert found == own
        changed = reader.post(f"/workitems/{given}", content="{}", headers=JSON)
        assert changed.headers["content-location"] == location

    def test_others_know_it_by_another(self, reader, dicomweb):
        """Two workitems of one UID are told apart by who sees both."""
        given = ask_for(dicomweb, "1.2")
        create(reader, given)
        assert study_of(dicomweb.get(f"/workitems/{given}").json()[0]) == "1.2"
        (last,) = dicomweb.get("/workitems?limit=1").json()
        (uid,) = last["00080018"]["Value"]
        assert uid != given and study_of(last) == "1.1"
        assert study_of(dicomweb.get(f"/workitems/{uid}").json()[0]) == "1.1"
        assert alike(reader.get(f"/workitems/{uid}"), reader.get("/workitems/1.2.3.4.5"))

    def test_a_later_one_of_the_same_uid_does_not_take_its_place(self, reader, dicomweb):
        given = f"2.25.{uuid.uuid4().int}"
        create(reader, given)
        assert create(dicomweb, given).status_code == 201
        (found,) = reader.get(f"/workitems?SOPInstanceUID={given}").json()
        assert found == reader.get(f"/workitems/{given}").json()[0]
        reader.post(f"/workitems/{given}/cancelrequest")
        assert [state_of(client, given) for client in (reader, dicomweb)] == ["CANCELED", "SCHEDULED"]

    def test_its_events_name_it_so_too(self, gateway, holder, mammograms_of_2020):
        holder.permit(mammograms_of_2020)
        with holder.client() as reader:
            given, name = f"2.25.{uuid.uuid4().int}", uuid.uuid4().hex
            create(reader, given)
            assert reader.post(f"/workitems/{given}/subscribers/{name}").status_code == 201
            reader.post(f"/workitems/{given}/cancelrequest")
            address = re.sub("^http", "ws", gateway.dicomweb_url) + f"/ws/subscribers/{name}"
            headers = {"Authorization": reader.headers["authorization"]}
            with connect(address, additional_headers=headers) as channel:
                events = [json.loads(channel.recv(timeout=20)) for _ in range(2)]
        assert [each["00001000"]["Value"] for each in events] == [[given], [given]]

    def test_a_uid_that_a_seen_one_has_is_taken(self, reader, dicomweb):
        assert create(reader, ask_for(dicomweb, "1.1")).status_code == 409

    def test_a_reading_of_a_hidden_study_can_not_be_asked_for(self, reader):
        answers = [
            reader.post("/workitems", content=json.dumps(reading(study)), headers=JSON)
            for study in ("1.2", "1.9")
        ]
        assert alike(*answers) and answers[0].status_code == 400


JSON = {"Content-Type": "application/dicom+json"}


def reading(study: str) -> dict:
    """A workitem that names a study."""

    def attribute(vr, *values):
        return {"vr": vr, "Value": list(values)}

    return {
        "00741000": attribute("CS", "SCHEDULED"),
        "00741200": attribute("CS", "MEDIUM"),
        "00741204": attribute("LO", "Read"),
        "00404005": attribute("DT", "20260101"),
        "00404041": attribute("CS", "READY"),
        "00404021": attribute("SQ", {"0020000D": attribute("UI", study)}),
        "00404018": attribute("SQ", {
            "00080100": attribute("SH", "density"),
            "00080102": attribute("SH", READING_SCHEME),
            "00080104": attribute("LO", "Breast composition"),
        }),
    }  # fmt: skip


def ask_for(client: httpx.Client, study: str) -> str:
    """Make a workitem about a study; its UID."""
    payload = reading(study)
    del payload["00404018"]  # asks this site for nothing
    answer = client.post("/workitems", content=json.dumps(payload), headers=JSON)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rsplit("/", 1)[-1]


def study_of(workitem: dict) -> str:
    """The study that a workitem names."""
    return workitem["00404021"]["Value"][0]["0020000D"]["Value"][0]


def state_of(client: httpx.Client, uid: str) -> str:
    return client.get(f"/workitems/{uid}").json()[0]["00741000"]["Value"][0]


def create(client: httpx.Client, uid: str) -> httpx.Response:
    """Make a workitem about a study that is seen, under a UID."""
    payload = reading("1.1")
    del payload["00404018"]
    return client.post(f"/workitems?workitem={uid}", content=json.dumps(payload), headers=JSON)


def send(client: httpx.Client, method: str, path: str) -> httpx.Response:
    state = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": ["1.2"]}}
    content = json.dumps(state) if method != "DELETE" else None
    return client.request(method, path, content=content, headers=JSON)


def test_a_permit_that_has_ended_is_not_shown_as_valid(settings, holder, mammograms_of_2020) -> None:
    """On the front, where data that one may use are named."""
    holder.expire(holder.permit(mammograms_of_2020))
    (case,) = run(settings, lambda connection: desk.cases_of(connection, holder.subject))
    assert case.state == "expired"
