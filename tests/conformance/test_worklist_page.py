"""`/worklist/` over a known index: what it lists for whom, its filters and pages, and what it tells live."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from archive import summaries
from archive.audit import Event
from archive.findings import EXAM, Evaluation, Likelihood, Measurement, Task, to_json
from archive.policy import Role
from gateway import announcements
from gateway.sessions import Sessions
from inference.answers.risk import PERCENT, within
from inference.density import BREAST_COMPOSITION, CATEGORIES
from inference.quality.codes import PGMI, PGMI_GRADES
from tests.conformance.permitted import Holder, dataset, run
from tests.unit.dicom_files import dataset as data_set
from tests.unit.dicom_files import part10, pixels
from tests.unit.findings import lesion_findings

MG, US = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"
LIST = "/worklist/"


def exam(number: int, **values: object) -> bytes:
    """A study of one image; the greater its number, the newer it is."""
    study, day = f"1.5.{number}", f"2024{1 + number // 28:02}{1 + number % 28:02}"
    named = {
        "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": f"{study}.1.1",
        "SOPClassUID": MG, "Modality": "MG", "PatientID": f"W{number}", "StudyDate": day,
        "StudyDescription": f"Exam {number}",
    }  # fmt: skip
    return part10(data_set(**named | values, **pixels(8, 8)))


@pytest.fixture(scope="module")
def gateway(serve_instances):
    """120 studies, the newest two of which models have read."""
    parts = [exam(number) for number in range(120)]
    parts.append(
        exam(
            200,
            StudyDate="20200101",
            SOPClassUID=US,
            Modality="US",
            PatientID="W<b>",
            StudyDescription="<script>",
        )
    )
    with serve_instances(parts) as made:
        with psycopg.connect(made.settings.database_url) as connection:
            connection.execute("delete from unsettled")
            connection.execute(
                "update study_summary set score = (length(study_instance_uid) + number % 5) / 100.0"
                " where study_instance_uid < '1.5.115' collate \"C\""
            )
        for task, findings in read().items():
            add_reading(made, "1.5.119", task, "done", findings=findings)
        add_reading(made, "1.5.118", Task.DENSITY, "failed", reason="the model ended its process")
        add_reading(made, "1.5.117", Task.DENSITY, "not-applicable", reason="the exam has implants")
        add_reading(made, "1.5.116", Task.DENSITY, "due")
        add_reading(made, "1.5.115", Task.LESIONS, "done", shadow=True, findings=lesion_findings())
        yield made


def read():
    """Findings of each task about one study."""
    lesions = lesion_findings()
    likelihoods = tuple(Likelihood(label, code, 0.25) for label, code in CATEGORIES.items())
    density = Evaluation(EXAM, BREAST_COMPOSITION, CATEGORIES["c"], likelihoods)
    risk = Measurement(EXAM, within(5), 1.7321, PERCENT)
    empty = replace(lesions, evaluations=(), measurements=(), lesions=())
    return {
        Task.LESIONS: lesions,
        Task.DENSITY: replace(empty, evaluations=(density,)),
        Task.RISK: replace(
            empty, measurements=(risk,), model=replace(empty.model, trained_on="published figures")
        ),
        Task.QUALITY: replace(empty, evaluations=(Evaluation(EXAM, PGMI, PGMI_GRADES["G"]),)),
    }


def add_reading(gateway, study, task, state, *, reason="", findings=None, shadow=False):
    kept = Jsonb(json.loads(to_json(findings))) if findings else None
    with psycopg.connect(gateway.settings.database_url) as connection:
        connection.execute(
            "insert into reading (study_instance_uid, task, state, fingerprint, reason, model, findings, shadow)"
            " values (%s, %s, %s, '', nullif(%s, ''), 'Model 1.0', %s, %s) on conflict (study_instance_uid, task,"
            " modality, shadow) do update set state = excluded.state, reason = excluded.reason,"
            " findings = excluded.findings, changed_at = now()",
            [study, task, state, reason, kept, shadow],
        )


@contextmanager
def signed_in(gateway, role: Role | None = Role.CLINICIAN) -> Iterator[httpx.Client]:
    """A person's browser."""
    name = f"person-{uuid.uuid4().hex[:10]}"
    sessions = Sessions(gateway.settings, lambda: None)

    async def enter(connection):
        await connection.execute("insert into account (name, password_hash) values (%s, '')", [name])
        if role:
            statement = "insert into role_grant (subject, role, granted_by) values (%s, %s, 'test')"
            await connection.execute(statement, [f"account:{name}", role])
        return await sessions.start(connection, f"account:{name}")

    cookies = {sessions.cookie: run(gateway.settings, enter)}
    address = gateway.settings.public_url
    with httpx.Client(base_url=address, cookies=cookies, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def clinician(gateway):
    with signed_in(gateway) as client:
        yield client


@pytest.fixture
def holder(gateway):
    """A program that may see the studies 1.5.119 and 1.5.7."""
    made = Holder(gateway.settings)
    made.permit(dataset(gateway.settings, "StudyInstanceUID=1.5.119,1.5.7"))
    return made


def listed(answer: httpx.Response) -> list[int]:
    """The numbers of the studies on a page, in their order."""
    assert answer.status_code == 200, answer.text
    return [int(number) for number in re.findall(r'data-study="1\.5\.(\d+)"', answer.text)]


def row(answer: httpx.Response, study: str) -> str:
    """What the row of a study says, without markup."""
    found = re.search(rf'<tr id="study-{study}".*?</tr>', answer.text, re.DOTALL)
    assert found
    return " ".join(re.sub("<[^>]+>", " ", found[0]).split())


def link(answer: httpx.Response, label: str) -> str:
    found = re.search(rf'<a href="([^"]+)"[^>]*>{label}</a>', answer.text)
    assert found, label
    return found[1].replace("&amp;", "&")


class TestRows:
    def test_what_models_found_and_that_it_is_for_research(self, clinician):
        answer = clinician.get(LIST)
        told = row(answer, "1.5.119")
        assert "W119 of 8 May 2024" in told and "Exam 119 MG 1 C phantom-trained 87% phantom-trained" in told
        assert "Quality: Good phantom-trained Risk in 5 years: 1.7% Density (MG): done" in told
        assert "AI, research use only." in answer.text

    @pytest.mark.parametrize(
        ("study", "told"),
        [
            ("1.5.118", "Density (MG): failed the model ended its process"),
            ("1.5.117", "Density (MG): not applicable the exam has implants"),
            ("1.5.116", "Density (MG): waiting"),
            ("1.5.115", "– – no model"),
        ],
    )
    def test_what_became_of_a_reading_and_why(self, clinician, study, told):
        """What a shadow answers is told nobody."""
        assert told in row(clinician.get(LIST), study)

    def test_a_study_opens_in_the_viewer_and_has_a_thumbnail(self, clinician):
        page = clinician.get(LIST).text
        assert 'href="/viewer/?StudyInstanceUIDs=1.5.119"' in page
        picture = re.search(r'src="(/dicom-web/studies/1\.5\.119/[^"]+)" alt="" [^>]*loading="lazy"', page)
        assert picture and clinician.get(picture[1]).headers["content-type"] == "image/jpeg"

    def test_what_a_header_says_stays_text(self, clinician):
        page = clinician.get(LIST, params={"Modality": "US"}).text
        assert "&lt;script&gt;" in page and "W&lt;b&gt;" in page and "<script>" not in page

    def test_scripts_run_of_this_site_alone(self, clinician):
        policy = clinician.get(LIST).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy

    def test_who_is_not_signed_in_is_led_to_the_sign_in_and_back(self, gateway):
        answer = httpx.get(f"{gateway.settings.public_url}{LIST}?density=c", trust_env=False)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/login?next=%2Fworklist%2F%3Fdensity%3Dc",
        )

    def test_a_search_is_on_record_without_its_values(self, gateway, clinician):
        listed(clinician.get(LIST, params={"PatientID": "W119", "density": "c"}))
        with psycopg.connect(gateway.settings.database_url) as connection:
            (content,) = connection.execute(
                "select content from audit order by number desc limit 1"
            ).fetchone()
        record = json.loads(content)
        assert record["event"] == Event.SEARCH and record["detail"]["results"] == 1
        assert record["detail"]["keys"] == "PatientID density" and "W119" not in content


def test_a_site_that_has_studies_already_has_the_same_rows(gateway):
    """The end of the migration, done again in place of what triggers kept."""
    migration = resources.files("archive").joinpath("schema", "0018_study_summary.sql").read_text("utf-8")
    rows = (
        "select study_instance_uid, study_date, patient_id, withheld, modalities, number_of_images, picture, states,"
        " phantoms, density, risk, quality from study_summary order by 1"
    )
    with psycopg.connect(gateway.settings.database_url) as connection:
        before = connection.execute(rows).fetchall()
        connection.execute("delete from study_summary")
        picture = migration[migration.index("create function picture_of") :].partition("\n$$;")
        connection.execute("".join(picture[:2]).encode())  # which later migrations do without
        connection.execute(migration.partition("-- What is here already.")[2].encode())
        assert connection.execute(rows).fetchall() == before
        connection.rollback()


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("from=2024-05-07", [119, 118]),
            ("from=2024-05-06&to=2024-05-07", [118, 117]),
            ("Modality=US", [200]),
            ("PatientID=W11*&to=2024-05-01", [112, 111, 110, 11]),
            ("density=c&density=d", [119]),
            ("density=a", []),
            ("score=87", [119]),
            ("score=88", []),
            ("status=failed", [118]),
            ("status=failed&status=not-applicable", [118, 117]),
            ("status=done&task=risk", [119]),
            ("status=failed&task=risk", []),
            ("status=none&from=2024-05-02", [115, 114, 113]),
            ("from=&to=&Modality=&PatientID=W7&score=&status=&task=&sort=date", [7]),
            ("from=2024-05-07&sort=arrival", [119, 118]),
        ],
    )
    def test_what_is_found(self, clinician, query, found):
        assert sorted(listed(clinician.get(f"{LIST}?{query}"))) == sorted(found)

    @pytest.mark.parametrize(
        "query",
        [
            *("from=yesterday", "from=2024-05-02&to=2024-05-01", "score=101", "score=nan", "score=-1"),
            *("density=e", "status=unknown", "task=risk", "sort=name", "unread=yes", "unread=1&unread=1"),
            *("Modality=mg'", "PatientName=Doe"),
            *("behind=x", "behind=20240101~1.2~3", "behind=20240101~1.2%00", "sort=score&behind=x~20240101~1.2"),
            *("sort=arrival&behind=never~1.2", "from=2024-01-01%00", "PatientID=%ff", "behind=2024~1&before=2024~1"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_on_the_page(self, clinician, query):
        answer = clinician.get(f"{LIST}?{query}")
        assert answer.status_code == 400
        assert '<p class="problem" role="alert">' in answer.text and 'id="studies"' in answer.text

    def test_the_form_shows_what_is_asked_for(self, clinician):
        page = clinician.get(
            LIST, params={"from": "2024-01-01", "density": "c", "score": "5", "unread": "1"}
        ).text
        assert 'type="date" value="2024-01-01"' in page and 'value="c" checked' in page
        assert 'size="5" value="5"' in page and 'name="unread" value="1" checked' in page

    def test_by_the_highest_score(self, clinician):
        assert listed(clinician.get(LIST, params={"sort": "score"}))[0] == 119


class TestPages:
    @pytest.mark.parametrize(("sort", "number"), [("date", 121), ("score", 20), ("arrival", 121)])
    def test_lead_through_the_whole_list_and_back(self, clinician, sort, number, monkeypatch):
        monkeypatch.setattr(summaries, "PAGE", number // 2 - 3)
        pages, address = [], f"{LIST}?sort={sort}"
        while True:
            answer = clinician.get(address)
            pages.append(listed(answer))
            if "Next page" not in answer.text:
                break
            address = link(answer, "Next page")
        assert [len(page) for page in pages[:-1]] == [number // 2 - 3] * 2
        assert len({each for page in pages for each in page}) == sum(map(len, pages)) == number
        back = clinician.get(link(answer, "Page before"))
        assert listed(back) == pages[1]
        assert listed(clinician.get(link(back, "Page before"))) == pages[0]
        assert listed(clinician.get(link(back, "First page"))) == pages[0]

    def test_keep_their_filters(self, clinician):
        answer = clinician.get(LIST, params={"to": "2024-04-30", "status": "none"})
        asked = parse_qs(urlsplit(link(answer, "Next page")).query)
        assert (asked["to"], asked["status"]) == (["2024-04-30"], ["none"])

    def test_do_not_shift_when_studies_come(self, gateway, clinician):
        address = link(clinician.get(LIST), "Next page")
        before = listed(clinician.get(address))
        with come(gateway, "1.6.1"):
            assert listed(clinician.get(address)) == before


@contextmanager
def come(gateway, study: str, day: str = "20251231") -> Iterator[None]:
    """A study comes, and goes at the end."""
    with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into study select %s, patient_id, patient_name, patient_birth_date, patient_sex, %s, study_time,"
            " accession_number, study_id, referring_physician_name, study_description, modalities, sop_classes,"
            " number_of_series, number_of_instances, attributes, dicom_json"
            " from study where study_instance_uid = '1.5.7'",
            [study, day],
        )
        yield
        connection.execute("delete from study where study_instance_uid = %s", [study])


class TestScope:
    def test_a_program_sees_its_studies_alone(self, gateway, holder):
        assert listed(ask(gateway, holder, LIST)) == [119, 7]
        assert listed(ask(gateway, holder, f"{LIST}?status=failed")) == []
        assert "2 studies, newest first" in ask(gateway, holder, LIST).text

    def test_who_has_no_permit_sees_none(self, gateway):
        assert listed(ask(gateway, Holder(gateway.settings), LIST)) == []

    def test_a_withheld_study_is_seen_by_nobody(self, gateway, clinician):
        with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
            withhold = "update study set withheld = %s where study_instance_uid = '1.5.119'"
            connection.execute(withhold, [True])
            try:
                assert 119 not in listed(clinician.get(LIST))
                assert listed(clinician.get(f"{LIST}?density=c")) == []
                assert clinician.get("/worklist/rows?StudyInstanceUID=1.5.119").text.strip() == ""
            finally:
                connection.execute(withhold, [False])
        assert listed(clinician.get(f"{LIST}?density=c")) == [119]

    def test_rows_by_name_are_those_of_the_scope(self, gateway, holder):
        assert listed(ask(gateway, holder, "/worklist/rows?StudyInstanceUID=1.5.119,1.5.118,1.9")) == [119]

    @pytest.mark.parametrize("asked", ["", "x", "1.5.1,", ",".join(["1.5.1"] * 101)])
    def test_rows_of_no_studies(self, clinician, asked):
        assert clinician.get("/worklist/rows", params={"StudyInstanceUID": asked}).status_code == 400


def ask(gateway, holder, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {holder.token()}"}
    return httpx.get(gateway.settings.public_url + path, headers=headers, timeout=30, trust_env=False)


class TestMarks:
    def send(self, client: httpx.Client, query: str = "", **fields: str) -> httpx.Response:
        token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(LIST).text)
        assert token
        return client.post(f"/worklist/marks{query}", data={"csrf_token": token[1], **fields})

    def test_a_study_is_read_and_set_back_by_whom_it_concerns(self, gateway, clinician):
        answer = self.send(clinician, "?density=c", read="1.5.119")
        assert (answer.status_code, answer.headers["location"]) == (303, "/worklist/?density=c#study-1.5.119")
        assert row(clinician.get(LIST), "1.5.119").endswith("Read Mark unread")
        assert 119 not in listed(clinician.get(f"{LIST}?unread=1"))
        with signed_in(gateway) as another:
            assert 119 in listed(another.get(f"{LIST}?unread=1"))
        self.send(clinician, unread="1.5.119")
        assert 119 in listed(clinician.get(f"{LIST}?unread=1"))

    @pytest.mark.parametrize("study", ["1.5.118", "1.9", "x"])
    def test_hidden_is_as_absent(self, gateway, study):
        with signed_in(gateway, None) as nobody:
            assert self.send(nobody, read=study).status_code == 404

    def test_a_mark_needs_the_pages_token(self, clinician):
        assert clinician.post("/worklist/marks", data={"read": "1.5.119"}).status_code == 403


class Told:
    """What a stream of events says."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self, name: str) -> dict:
        """The data of the next event of that name."""
        for line in self._lines:
            if line == f"event: {name}":
                return json.loads(next(self._lines).removeprefix("data: "))
        raise AssertionError("the stream has ended")

    def rest(self) -> list[str]:
        return list(self._lines)


@contextmanager
def listening(client: httpx.Client, query: str = "", **options: object) -> Iterator[Told]:
    """The stream of a page, once it is heard."""
    page = client.get(f"{LIST}?{query}", **options).text
    found = re.search(r'data-events="([^"]+)"', page)
    assert found
    address = f"/worklist/events?{found[1].replace('&amp;', '&')}"
    with client.stream("GET", address, timeout=20, **options) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        told = Told(answer)
        told.next("all")
        yield told


class TestEvents:
    def test_a_result_is_told(self, gateway, clinician):
        with listening(clinician) as told:
            add_reading(gateway, "1.5.20", Task.DENSITY, "due")
            assert told.next("changed") == {"studies": ["1.5.20"]}
        assert "Density (MG): waiting" in row(
            clinician.get("/worklist/rows?StudyInstanceUID=1.5.20"), "1.5.20"
        )

    def test_studies_that_come_are_counted_as_far_as_they_pass_the_filters(self, gateway, clinician):
        with listening(clinician, "from=2025-01-01") as told:
            with come(gateway, "1.6.2", day="20241231"), come(gateway, "1.6.3"):
                assert told.next("new")["number"] == 1
            assert told.next("new")["number"] == 0

    def test_what_came_before_the_connection_is_told(self, gateway, clinician):
        page = clinician.get(LIST).text
        query = re.search(r'data-events="([^"]+)"', page)[1].replace("&amp;", "&")
        with (
            come(gateway, "1.6.4"),
            clinician.stream("GET", f"/worklist/events?{query}", timeout=20) as answer,
        ):
            assert Told(answer).next("new")["number"] == 1

    def test_nobody_hears_of_what_is_hidden(self, gateway, holder):
        headers = {"Authorization": f"Bearer {holder.token()}"}
        with (
            httpx.Client(base_url=gateway.settings.public_url, headers=headers, trust_env=False) as client,
            listening(client) as told,
            come(gateway, "1.6.5"),
        ):
            add_reading(gateway, "1.5.21", Task.DENSITY, "due")
            add_reading(gateway, "1.5.7", Task.DENSITY, "due")
            assert told.next("changed") == {"studies": ["1.5.7"]}

    def test_the_stream_ends_with_the_session(self, clinician):
        with listening(clinician) as told:
            token = re.search(r'name="csrf_token" value="([^"]+)"', clinician.get(LIST).text)[1]
            assert clinician.post("/logout", data={"csrf_token": token}).status_code == 303
            assert told.next("over") == {}
            assert not any(told.rest())

    def test_the_stream_ends_when_the_permit_is_revoked(self, gateway):
        made = Holder(gateway.settings)
        permit = made.permit("everything")
        headers = {"Authorization": f"Bearer {made.token()}"}
        with (
            httpx.Client(base_url=gateway.settings.public_url, headers=headers, trust_env=False) as client,
            listening(client) as told,
        ):
            made.revoke(permit)
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                told.rest()

    def test_listening_does_not_keep_a_session_from_idling(self, gateway, clinician):
        digest = Sessions(gateway.settings, lambda: None).name_of(clinician.cookies["senogate"])
        with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
            old = "update session set last_seen_at = now() - interval '100 s' where encode(id_sha256, 'hex') = %s"
            connection.execute(old, [digest])
            clinician.get("/worklist/rows?StudyInstanceUID=1.5.1")
            seen = "select last_seen_at < now() - interval '99 s' from session where encode(id_sha256, 'hex') = %s"
            assert connection.execute(seen, [digest]).fetchone() == (True,)

    def test_a_principal_has_so_many_and_no_more(self, gateway, clinician, monkeypatch):
        monkeypatch.setattr(announcements, "MOST_WATCHES", 1)
        with listening(clinician):
            answer = clinician.get("/worklist/events?since=1:1:")
            assert answer.status_code == 429 and "retry-after" in answer.headers

    @pytest.mark.parametrize(
        "query", ["", "since=x", "since=2:1:", "since=1:1:&density=e", "since=1:1:&behind=1~1"]
    )
    def test_no_stream_of_a_page_that_is_none(self, clinician, query):
        assert clinician.get(f"/worklist/events?{query}").status_code == 400

    def test_it_goes_on_after_postgresql_was_away(self, gateway, clinician):
        with listening(clinician) as told:
            cut = (
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'listen%'"
            )
            with psycopg.connect(gateway.settings.database_url, autocommit=True) as connection:
                assert connection.execute(cut).rowcount
            told.next("all")
