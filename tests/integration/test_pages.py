"""`/access` and `/admin` at a real site, as a browser without JavaScript uses them: forms alone."""

import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from html.parser import HTMLParser

import httpx
import pytest

from tests.integration.test_sign_in import Browser, add_account
from tests.live import LiveSite


class Person(Browser):
    """Somebody who is signed in, with a role or none."""

    def __init__(self, site: LiveSite, role: str) -> None:
        super().__init__(site)
        self.name = add_account(site, f"{role}-{uuid.uuid4().hex[:8]}")
        self.subject = f"account:{self.name}"
        if role in ("administrator", "steward", "clinician", "committee"):
            site.run("role", "grant", self.subject, role)
        assert self.sign_in(self.name).status_code == 303

    def submit(self, path: str, **fields: str | list[str]) -> httpx.Response:
        """Send a form of a page, with the page's token."""
        return self.post(path, data={"csrf_token": self.token_of("/access"), **fields})

    def row_of(self, page: str, text: str) -> str:
        """The row of a page's tables that has the text in it, as a word of its own."""
        rows = re.findall(r"<tr>.*?</tr>", self.get(page).text, re.DOTALL)
        return next((row for row in rows if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", row)), "")


@pytest.fixture(scope="module")
def people(site: LiveSite) -> Iterator[dict[str, Person]]:
    with ExitStack() as stack:
        roles = ("administrator", "steward", "researcher")
        yield {role: stack.enter_context(closing(Person(site, role))) for role in roles}


@pytest.fixture
def steward(people: dict[str, Person]) -> Person:
    return people["steward"]


@pytest.fixture
def researcher(people: dict[str, Person]) -> Person:
    return people["researcher"]


@pytest.fixture
def administrator(people: dict[str, Person]) -> Person:
    return people["administrator"]


class TestAccess:
    @pytest.mark.parametrize("page", ["/access", "/admin"])
    def test_leads_to_the_sign_in_and_back(self, site: LiveSite, page: str) -> None:
        with Browser(site) as browser:
            answer = browser.get(page)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=%2F{page[1:]}")


class TestAdmin:
    def test_is_for_stewards_and_administrators(self, researcher: Person, steward: Person) -> None:
        assert (researcher.get("/admin").status_code, steward.get("/admin").status_code) == (403, 200)
        assert researcher.submit("/admin/datasets", name="x", query="Modality=MG").status_code == 403

    def test_accounts_programs_and_roles_are_for_administrators(self, steward: Person) -> None:
        assert 'href="/admin/accounts"' not in steward.get("/admin").text
        assert steward.get("/admin/accounts").status_code == 403
        for path in ("/admin/accounts", "/admin/clients", "/admin/roles", "/admin/roles/take"):
            assert steward.submit(path).status_code == 403

    def test_a_dataset_is_made_frozen_and_deleted(self, steward: Person) -> None:
        name = f"d{uuid.uuid4().hex[:8]}"
        steward.submit("/admin/datasets", name=name, query="Modality=MG", description="Mammograms")
        assert "Mammograms" in steward.row_of("/admin/datasets", name)
        steward.submit(f"/admin/datasets/{name}/freeze")
        assert "SHA-256" in steward.row_of("/admin/datasets", f"{name}@1")
        steward.submit(f"/admin/datasets/{name}/delete")
        assert not steward.row_of("/admin/datasets", name)

    def test_a_patient_opts_out_and_is_named_by_her_pseudonym(self, site: LiveSite, steward: Person) -> None:
        patient_id = f"PAGE-{uuid.uuid4().hex[:12]}"
        pseudonym = site.pseudonyms().patient_id(patient_id)
        answer = steward.submit("/admin/opt-outs", patient_id=patient_id)
        assert (answer.status_code, pseudonym in answer.text, patient_id in answer.text) == (200, True, False)
        assert steward.subject in steward.row_of("/admin/opt-outs", pseudonym)
        steward.submit("/admin/opt-outs/withdraw", patient_id=pseudonym)
        assert not steward.row_of("/admin/opt-outs", pseudonym)
        assert not [
            log for log in (site.home / "logs").iterdir() if patient_id in log.read_text("utf-8", "replace")
        ]

    def test_a_bad_patient_id_is_not_repeated(self, steward: Person) -> None:
        answer = steward.submit("/admin/opt-outs", patient_id="secret\\id")
        assert (answer.status_code, "secret" in answer.text) == (400, False)

    def test_a_programs_secret_is_shown_once(self, administrator: Person) -> None:
        name = f"c{uuid.uuid4().hex[:8]}"
        answer = administrator.submit("/admin/clients", client_id=name, actions=["dicomweb.read"])
        (secret,) = re.findall(r"<p><code>([\w-]{43})</code></p>", answer.text)
        assert secret not in administrator.get("/admin/clients").text
        administrator.submit(f"/admin/clients/{name}/revoke")
        assert "revoked" in administrator.row_of("/admin/clients", name)

    def test_a_person_is_added_given_a_role_and_let_in_no_more(
        self, site: LiveSite, administrator: Person
    ) -> None:
        name, password = f"p{uuid.uuid4().hex[:8]}", "correct horse battery"
        administrator.submit("/admin/accounts", name=name, password=password)
        administrator.submit("/admin/roles", subject=f"account:{name}", role="clinician")
        with Browser(site) as browser:
            browser.sign_in(name, password)
            assert browser.studies() == 200
            administrator.submit(f"/admin/accounts/{name}/disable")
            assert browser.studies() == 401
        assert "clinician" in administrator.row_of("/admin/roles", f"account:{name}")

    def test_changes_are_in_the_trail(self, site: LiveSite, administrator: Person) -> None:
        name = f"t{uuid.uuid4().hex[:8]}"
        administrator.submit("/admin/clients", client_id=name, actions=["dicomweb.read"])
        administrator.submit("/admin/accounts", name=name, password="correct horse battery")
        administrator.submit("/admin/roles", subject=f"account:{name}", role="clinician")
        with site.database() as database:
            rows = database.execute(
                "select distinct content::jsonb ->> 'event' from audit where content::jsonb ->> 'subject' = %s",
                [administrator.subject],
            )
            assert {"account.changed", "client.changed", "role.changed"} <= {event for (event,) in rows}


class TestPages:
    @pytest.mark.parametrize("path", ["/access/new", "/admin/opt-outs", "/admin/roles"])
    def test_a_form_without_the_sessions_token_changes_nothing(
        self, administrator: Person, path: str
    ) -> None:
        assert administrator.post(path, data={"patient_id": "x"}).status_code == 403

    @pytest.mark.parametrize("path", ["/", "/access", "/admin", "/admin/roles"])
    def test_nothing_runs_in_them_and_every_field_has_a_label(self, administrator: Person, path: str) -> None:
        answer = administrator.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        found = Elements(answer.text)
        assert found.scripted == []
        assert found.unlabelled == []
        assert len(found.identifiers) == len(set(found.identifiers))
        assert answer.headers["cache-control"] == "no-store"


class Elements(HTMLParser):
    """A page's elements, as far as accessibility and the policy ask about them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripted: list[str] = []
        self.identifiers: list[str] = []
        self._fields: list[str] = []
        self._labels: set[str] = set()
        self._in_label = 0
        self.feed(page)
        self.unlabelled = [name for name in self._fields if name not in self._labels]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag in ("script", "style") or any(name == "style" or name.startswith("on") for name in named):
            self.scripted.append(tag)
        self.identifiers += [named["id"]] if "id" in named else []
        if tag == "label":
            self._in_label += 1
            self._labels.add(named.get("for", ""))
        is_field = tag in ("select", "textarea") or (tag == "input" and named.get("type") != "hidden")
        if is_field and not self._in_label:
            self._fields.append(named.get("id", f"{tag} without an id"))

    def handle_endtag(self, tag: str) -> None:
        self._in_label -= tag == "label"
