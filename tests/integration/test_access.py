"""An application's way at a real site, by forms: asked, answered, voted on, granted, used; and what is refused."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from tests.integration.test_pages import Elements, Person
from tests.integration.test_whole_way import write
from tests.live import LiveSite

ENDS = str(date.today() + timedelta(days=30))


@pytest.fixture(scope="module")
def rules(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The newest version of the rules of participation."""
    version = f"v{uuid.uuid4().hex[:8]}"
    file = tmp_path_factory.mktemp("rules") / "rules.txt"
    file.write_text(f"Publish in aggregate. {version}\n")
    site.run("rules", "publish", str(file), "--version", version)
    return version


@pytest.fixture(scope="module")
def people(site: LiveSite) -> Iterator[dict[str, Person]]:
    with ExitStack() as stack:
        roles = ("steward", "committee", "researcher", "stranger", "laboratory")
        yield {role: stack.enter_context(closing(Person(site, role))) for role in roles}


@pytest.fixture
def researcher(people: dict[str, Person]) -> Person:
    return people["researcher"]


@pytest.fixture
def steward(people: dict[str, Person]) -> Person:
    return people["steward"]


@pytest.fixture
def committee(people: dict[str, Person]) -> Person:
    return people["committee"]


def form(rules: str, **changed: str) -> dict[str, str]:
    """An application's form, filled in."""
    return {
        "datasets": "everything", "title": "Density and age", "protocol": "We fit a curve.", "people": "A, B",
        "purpose": "research", "legal_basis": "GDPR 6(1)(e)", "actions": "dicomweb.read", "ends": ENDS, "rules": rules,
    } | changed  # fmt: skip


Asked = Callable[..., str]


@pytest.fixture
def ask(researcher: Person, rules: str) -> Asked:
    """A callable: somebody asks; the address of the application."""

    def asked(person: Person = researcher, **changed: str) -> str:
        answer = person.submit("/access/new", **form(rules, **changed))
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    return asked


def state(person: Person, path: str) -> str:
    return person.get(f"/api/applications/{path.rpartition('/')[2]}").json()["state"]


class TestTheWay:
    def test_from_the_dataset_to_the_form(self, researcher: Person) -> None:
        answer = researcher.get("/access?dataset=everything")
        assert answer.headers["location"] == "/access/new?dataset=everything"
        assert 'value="everything" checked' in researcher.get("/access/new?dataset=everything").text

    def test_asked_back_changed_voted_on_and_granted(
        self, ask: Asked, researcher: Person, steward: Person, committee: Person, rules: str
    ) -> None:
        path = ask()
        steward.submit(f"{path}/review")
        steward.submit(f"{path}/changes", text="For how long?")
        assert state(researcher, path) == "changes-asked"
        researcher.submit(f"{path}/messages", text="Three weeks.")
        researcher.submit(f"{path}/change", **form(rules, title="Density, age and sex"))
        assert committee.submit(f"{path}/votes", vote="for", revision="1").status_code == 409
        assert committee.submit(f"{path}/votes", vote="for", revision="2").status_code == 303
        assert steward.submit(f"{path}/grant", revision="1").status_code == 409
        assert steward.submit(f"{path}/grant", revision="2").status_code == 303
        found = researcher.get(f"/api/applications/{path.rpartition('/')[2]}").json()
        states = [each["state"] for each in found["steps"]]
        assert states == ["received", "in-review", "changes-asked", "changed", "granted"]
        assert (found["title"], found["rules_version"]) == ("Density, age and sex", rules)
        assert found["permit"]["valid_until"].startswith(ENDS)

    def test_withdrawn_nobody_decides_on_it(self, ask: Asked, researcher: Person, steward: Person) -> None:
        path = ask()
        researcher.submit(f"{path}/withdraw")
        assert state(researcher, path) == "withdrawn"
        assert steward.submit(f"{path}/grant").status_code == 409

    def test_a_permit_that_is_given_back_ends(self, ask: Asked, researcher: Person, steward: Person) -> None:
        path = ask()
        steward.submit(f"{path}/grant")
        researcher.submit(f"{path}/withdraw")
        assert state(researcher, path) == "revoked"

    def test_a_form_that_is_wrong_is_shown_again_as_it_was_filled_in(
        self, researcher: Person, rules: str
    ) -> None:
        answer = researcher.submit("/access/new", **form(rules, legal_basis=""))
        assert answer.status_code == 400
        assert "We fit a curve." in answer.text


class TestUse:
    @pytest.fixture
    def study(self, site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path) -> str:
        return site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]

    @pytest.fixture
    def dataset(self, site: LiveSite, study: str) -> str:
        name = f"d{uuid.uuid4().hex[:8]}"
        site.run("dataset", "create", name, f"StudyInstanceUID={study}")
        return name

    def token(self, person: Person, path: str) -> httpx.Client:
        page = person.submit(f"{path}/token").text
        token = page.partition('<code id="token">')[2].partition("<")[0]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=person.base_url, headers=headers, timeout=60, trust_env=False)

    def test_the_script_fetches_all_of_it_and_nothing_twice(
        self, ask: Asked, researcher: Person, steward: Person, study: str, dataset: str, tmp_path: Path
    ) -> None:
        path = ask(datasets=dataset)
        steward.submit(f"{path}/grant")
        permit, script = path.rpartition("/")[2], tmp_path / "fetch.sh"
        script.write_bytes(researcher.get(f"{path}/download.sh").content)
        with self.token(researcher, path) as client:
            listed = client.get(f"/api/permits/{permit}/manifest").json()
            token = client.headers["Authorization"].removeprefix("Bearer ")
        assert {each["study"] for each in listed["list"]} == {study}
        environment = {"SENOGATE_TOKEN": token, "PATH": "/usr/bin:/bin"}
        for _ in range(2):
            subprocess.run(["sh", str(script), str(tmp_path / "got")], env=environment, check=True)
            files = sorted(tmp_path.glob("got/*/*.dcm"))
            written = [each.stat().st_mtime_ns for each in files]
        assert [each.stat().st_mtime_ns for each in files] == written
        assert sum(each.stat().st_size for each in files) == listed["bytes"]

    def test_in_place_only_is_no_reading(
        self, ask: Asked, people: dict[str, Person], steward: Person, study: str, dataset: str
    ) -> None:
        """Of somebody who holds no other permit."""
        person = people["laboratory"]
        path = ask(person, datasets=dataset, actions="jobs.run")
        steward.submit(f"{path}/grant")
        manifest = f"/api/permits/{path.rpartition('/')[2]}/manifest"
        with self.token(person, path) as client:
            assert client.get(f"/dicom-web/studies/{study}/metadata").status_code == 403
            assert client.get(manifest).status_code == 403
        for address in (f"/dicom-web/studies/{study}/metadata", manifest, f"{path}/download.sh"):
            assert person.get(address).status_code == 404

    def test_what_is_over_lists_nothing_and_gives_no_token(
        self, site: LiveSite, ask: Asked, researcher: Person, steward: Person, dataset: str
    ) -> None:
        path = ask(datasets=dataset)
        steward.submit(f"{path}/grant")
        permit = path.rpartition("/")[2]
        with self.token(researcher, path) as client:
            with site.database() as database:
                database.execute("update permit set valid_until = now() where permit_id = %s", [permit])
            assert client.get(f"/api/permits/{permit}/manifest").status_code == 404
        assert researcher.submit(f"{path}/token").status_code == 409
        assert state(researcher, path) == "expired"

    def test_a_persons_token_is_good_for_its_permit_alone(
        self, ask: Asked, researcher: Person, steward: Person, study: str, dataset: str
    ) -> None:
        path, other = ask(datasets=dataset), ask(datasets=dataset)
        steward.submit(f"{path}/grant")
        steward.submit(f"{other}/grant")
        with self.token(researcher, path) as client:
            assert client.get(f"/dicom-web/studies/{study}/metadata").status_code == 200
            assert client.get(f"/api/permits/{other.rpartition('/')[2]}/manifest").status_code == 404
            assert client.post("/api/applications", json={}).status_code == 403
            assert client.post(f"{path}/token").status_code == 403
            assert client.delete(f"/api/applications/{path.rpartition('/')[2]}").status_code == 403
            assert len(client.get("/api/applications").json()) == 1
            assert client.get(f"/api/applications/{other.rpartition('/')[2]}").status_code == 404


class TestAttacks:
    def test_anothers_application_is_not_there(
        self, ask: Asked, people: dict[str, Person], steward: Person
    ) -> None:
        path, stranger = ask(), people["stranger"]
        assert stranger.get(path).status_code == stranger.get("/access/P99999").status_code == 404
        for action in ("messages", "withdraw", "token", "change"):
            assert stranger.submit(f"{path}/{action}", text="x").status_code == 404
        for action in ("grant", "reject", "review", "changes", "votes", "revoke"):
            assert stranger.submit(f"{path}/{action}", text="x", vote="for").status_code == 403
        assert path not in stranger.get("/access").text

    def test_a_form_without_the_sessions_token_changes_nothing(
        self, ask: Asked, researcher: Person, steward: Person
    ) -> None:
        path = ask()
        assert researcher.post(f"{path}/withdraw").status_code == 403
        assert steward.post(f"{path}/grant", data={"csrf_token": "x"}).status_code == 403
        assert state(researcher, path) == "received"

    def test_nobody_decides_on_her_own(self, ask: Asked, steward: Person, researcher: Person) -> None:
        own = ask(steward)
        for_another = ask(steward, subject=researcher.subject)
        for path in (own, for_another):
            assert steward.submit(f"{path}/grant").status_code == 403
            permit = path.rpartition("/")[2]
            headers = {"X-CSRF-Token": steward.token_of("/access")}
            answer = steward.post(f"/api/permits/{permit}/grant", json={}, headers=headers)
            assert answer.status_code == 403
            assert state(steward, path) == "received"

    def test_the_committee_votes_once_and_decides_on_nothing(self, ask: Asked, committee: Person) -> None:
        path = ask()
        assert committee.submit(f"{path}/votes", vote="for").status_code == 303
        assert committee.submit(f"{path}/votes", vote="against").status_code == 409
        assert committee.submit(f"{path}/grant").status_code == 403
        assert committee.get("/admin").status_code == 403
        assert committee.get("/dicom-web/studies").json() == []

    def test_who_voted_how_is_hidden_from_the_applicant(
        self, ask: Asked, committee: Person, researcher: Person
    ) -> None:
        path = ask()
        committee.submit(f"{path}/votes", vote="against", reason="too vague")
        assert "too vague" not in researcher.get(path).text
        assert "votes" not in researcher.get(f"/api/applications/{path.rpartition('/')[2]}").json()

    def test_what_is_written_stays_text(self, ask: Asked, researcher: Person, steward: Person) -> None:
        attack = "<script>alert(1)</script>"
        path = ask(title=attack, protocol=attack, people=attack, conditions=attack)
        researcher.submit(f"{path}/messages", text=attack)
        for page in (steward.get(path), steward.get("/access"), researcher.get(path)):
            assert Elements(page.text).scripted == []
            assert "&lt;script&gt;" in page.text

    def test_what_is_too_long_is_refused(self, ask: Asked, researcher: Person, rules: str) -> None:
        path = ask()
        assert researcher.submit(f"{path}/messages", text="x" * 2001).status_code == 400
        assert researcher.submit("/access/new", **form(rules, protocol="x" * 10_001)).status_code == 400
        assert researcher.submit("/access/new", **form(rules, protocol="x" * 1_400_000)).status_code == 413

    def test_nothing_wider_than_asked_for_is_granted(
        self, ask: Asked, researcher: Person, steward: Person
    ) -> None:
        path = ask()
        later = str(date.today() + timedelta(days=31))
        assert steward.submit(f"{path}/grant", until=later).status_code == 409
        assert steward.submit(f"{path}/grant", actions="federation.train").status_code == 409
        assert steward.submit(f"{path}/grant", until=str(date.today())).status_code == 303

    def test_rules_that_are_not_the_newest_are_agreed_to_by_nobody(
        self, researcher: Person, rules: str
    ) -> None:
        for version in ("", "another"):
            assert researcher.submit("/access/new", **form(version)).status_code == 409


class TestPages:
    def test_every_field_has_a_label_and_nothing_runs(
        self, ask: Asked, steward: Person, researcher: Person
    ) -> None:
        path = ask()
        steward.submit(f"{path}/changes", text="more")
        for person, page in (
            (researcher, path),
            (researcher, "/access/new"),
            (steward, path),
            (steward, "/access/rules"),
        ):
            found = Elements(person.get(page).text)
            assert (found.scripted, found.unlabelled) == ([], [])
            assert sorted(found.identifiers) == sorted(set(found.identifiers))

    def test_changes_are_in_the_trail(self, site: LiveSite, ask: Asked, steward: Person) -> None:
        path = ask()
        steward.submit(f"{path}/review")
        done = site.run(
            "audit", "list", "--event", "application.changed", "--subject", steward.subject, "--json"
        )
        told = [json.loads(line)["detail"] for line in done.stdout.splitlines()]
        assert {"change": "in-review"} in told
