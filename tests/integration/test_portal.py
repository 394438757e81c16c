"""The portal at a real site: the front for each role, the state of the node, and how much a page weighs."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import httpx
import pytest

from tests.integration.test_pages import Person
from tests.integration.test_sign_in import Browser
from tests.live import LiveSite

ROLES = ("administrator", "steward", "clinician", "researcher")
MOST_BYTES = 100_000  # of a page with all that it loads
FOR_ANYBODY = ["/", "/catalogue", "/programs", "/login"]
FOR_PEOPLE = ["/", "/access", "/worklist/", "/federation/leaderboard"]
FOR_MANAGERS = ["/admin", "/admin/datasets", "/admin/opt-outs", "/admin/catalogue", "/federation"]
FOR_ADMINISTRATORS = ["/admin/accounts", "/admin/clients", "/admin/roles"]

As = Callable[[str], Person]


@pytest.fixture(scope="module")
def person(site: LiveSite) -> Iterator[As]:
    """A callable: somebody who is signed in, the same for each role."""
    people: dict[str, Person] = {}
    with ExitStack() as stack:

        def of(role: str) -> Person:
            if role not in people:
                people[role] = stack.enter_context(closing(Person(site, role)))
            return people[role]

        yield of


def weight(client: httpx.Client, path: str) -> int:
    """Bytes as they are sent of a page, its style sheet, its scripts and its icon; what it shows of studies apart."""
    page = client.get(path)
    assert page.status_code == 200, path
    loaded = re.findall(r'(?:<link rel="(?:stylesheet|icon)" href|<script src)="([^"]+)"', page.text)
    answers = [client.get(each, headers={"accept-encoding": "gzip"}) for each in loaded]
    assert [answer.status_code for answer in answers] == [200] * len(loaded)
    return sum(answer.num_bytes_downloaded for answer in [page, *answers])


class TestWeight:
    @pytest.mark.parametrize("path", FOR_ANYBODY)
    def test_of_a_page_for_anybody(self, site: LiveSite, path: str) -> None:
        with Browser(site) as browser:
            assert weight(browser, path) < MOST_BYTES

    @pytest.mark.parametrize("path", [*FOR_PEOPLE, *FOR_MANAGERS, *FOR_ADMINISTRATORS])
    def test_of_a_page_for_who_is_signed_in(self, person: As, path: str) -> None:
        assert weight(person("administrator"), path) < MOST_BYTES


class TestFront:
    def test_a_visitor_is_told_what_this_is_and_how_to_ask(self, site: LiveSite) -> None:
        with Browser(site) as browser:
            text = browser.get("/").text
        assert all(part in text for part in ("Research use only", 'href="/catalogue"', 'href="/login?next='))
        assert 'action="/logout"' not in text

    @pytest.mark.parametrize(
        ("role", "has", "lacks"),
        [
            ("administrator", {"node", "waiting", "kept"}, {"room"}),
            ("steward", {"waiting", "kept"}, {"node", "room"}),
            ("clinician", {"room", "latest"}, {"node", "waiting"}),
            ("researcher", {"cases", "usable", "jobs"}, {"node", "waiting", "room"}),
        ],
    )
    def test_each_role_has_its_blocks(self, person: As, role: str, has: set[str], lacks: set[str]) -> None:
        blocks = set(
            re.findall(r'<section class="block[^"]*" aria-labelledby="([^"]+)"', person(role).get("/").text)
        )
        assert has <= blocks
        assert not lacks & blocks

    @pytest.mark.parametrize("role", ROLES)
    def test_every_link_of_it_leads_somewhere(self, person: As, role: str) -> None:
        someone = person(role)
        found = set(re.findall(r'href="(/[^"#]*)', someone.get("/").text))
        answers = {path: someone.get(path.replace("&amp;", "&"), follow_redirects=True) for path in found}
        assert {path: answer.status_code for path, answer in answers.items() if not answer.is_success} == {}

    def test_a_request_is_on_the_front_of_who_asks_and_of_stewards(self, site: LiveSite, person: As) -> None:
        wanted = ["--dataset", "everything", "--legal-basis", "GDPR 6(1)(e)", "--purpose", "research"]
        permit = site.run("permit", "request", person("researcher").subject, *wanted).stdout.strip()
        assert f'href="/access/{permit}"' in person("researcher").get("/").text
        assert f'href="/access/{permit}"' not in person("clinician").get("/").text
        waiting = re.search(
            r"<strong>([\d,]+)</strong> <span>requests for access", person("steward").get("/").text
        )
        assert waiting is not None
        assert int(waiting.group(1).replace(",", "")) >= 1

    def test_the_latest_exams_are_for_who_sees_any_and_on_record(self, site: LiveSite, person: As) -> None:
        clinician = person("clinician")
        assert clinician.get("/worklist/latest").status_code == 200
        with site.database() as database:
            rows = database.execute(
                "select content::jsonb ->> 'event' from audit where content::jsonb ->> 'subject' = %s "
                "order by number desc limit 1",
                [clinician.subject],
            ).fetchall()
        assert rows == [("access.search",)]
        with Browser(site) as browser:
            assert browser.get("/worklist/latest").status_code == 401

    def test_a_page_for_anybody_is_kept_by_no_cache_for_who_is_signed_in(self, person: As) -> None:
        """It has their name and their token in it."""
        answer = person("researcher").get("/catalogue")
        assert person("researcher").subject in answer.text
        assert answer.headers["cache-control"] == "no-store"

    def test_a_session_that_is_over_is_a_visitors(self, site: LiveSite) -> None:
        with Browser(site) as browser:
            browser.cookies.set("senogate", "A" * 43, domain="127.0.0.1", path="/")
            answer = browser.get("/")
        assert answer.status_code == 200
        assert "Sign in" in answer.text


class TestState:
    def test_the_page_and_the_interface_tell_the_same(self, person: As) -> None:
        administrator = person("administrator")
        told = administrator.get("/api/state").json()
        page = administrator.get("/admin").text
        assert {item["name"] for item in told["items"]} == set(re.findall(r'<tr id="([^"]+)"', page))
        assert {item["level"] for item in told["items"]} == set(re.findall(r'id="level-(\w+)"', page))

    def test_of_the_live_parts_and_orthancs_version(self, person: As) -> None:
        found = {item["name"]: item for item in person("administrator").get("/api/state").json()["items"]}
        assert {found[name]["level"] for name in ("orthanc", "plugin", "postgresql", "worker")} == {"fine"}
        assert re.fullmatch(r"answers, version 1\.\d+\.\d+", found["orthanc"]["said"])
        assert found["backup"]["level"] == "act"

    def test_a_trail_that_was_verified_says_when(self, site: LiveSite, person: As) -> None:
        site.run("audit", "verify")
        found = {item["name"]: item for item in person("administrator").get("/api/state").json()["items"]}
        assert found["audit"]["level"] == "fine"
        assert "verified on" in found["audit"]["said"]

    def test_stewards_see_what_concerns_them(self, person: As) -> None:
        page = person("steward").get("/admin").text
        found = set(re.findall(r'<tr id="([^"]+)"', page))
        assert "requests" in found
        assert not found & {"backup", "database", "keys", "audit"}
        assert person("steward").get("/api/state").status_code == 403

    def test_the_command_tells_it_too(self, site: LiveSite) -> None:
        told = json.loads(site.run("status", "--json").stdout)
        assert "act" in {item["level"] for item in told["state"]}
        assert "act: Last backup" in site.run("status").stdout
