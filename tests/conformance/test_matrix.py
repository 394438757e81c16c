"""Every route × every kind of principal: who is answered, and for whom it is as if nothing were there.

A route without a row here fails.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

import httpx
import pytest
from psycopg import AsyncConnection
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from archive import job_packages, jobs, permits
from archive.job_questions import JobKind, JobQuestion
from archive.policy import Action, Role
from gateway.operations import operations
from tests.conformance.conftest import Gateway, exams
from tests.conformance.permitted import BY, READ_WRITE, Holder, dataset, run
from tests.conformance.test_permits import JSON, ask_for
from tests.unit import fake_site

SEEN, OPTED_OUT, ABSENT = "1.1", "1.3", "1.9"  # 1.1 and 1.3 are in the dataset; 1.3's patient opted out


class Outcome(StrEnum):
    UNKNOWN = "401"
    REFUSED = "403"
    NOTHING = "404, or no rows"
    ANSWERED = "anything else but an error of the site"


@dataclass(frozen=True)
class Asker:
    """A kind of principal; `sees` says whether it sees the dataset."""

    name: str
    holder: Holder | None = None
    sees: bool = False
    manages: bool = False
    administers: bool = False
    reviews: bool = False

    @cached_property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.holder.token()}"} if self.holder else {}


Rule = Callable[[Asker, bool], Outcome]


def anybody(asker: Asker, is_there: bool) -> Outcome:
    return Outcome.ANSWERED


def nobody(asker: Asker, is_there: bool) -> Outcome:
    """The record of a dataset that is not published is there for nobody."""
    return Outcome.NOTHING


def known(asker: Asker, is_there: bool) -> Outcome:
    return Outcome.ANSWERED if asker.holder else Outcome.UNKNOWN


def viewer(asker: Asker, is_there: bool) -> Outcome:
    """Who sees the study is answered, if it is there; to all others it is not."""
    if not asker.holder:
        return Outcome.UNKNOWN
    return Outcome.ANSWERED if asker.sees and is_there else Outcome.NOTHING


def changer(asker: Asker, is_there: bool) -> Outcome:
    """As a viewer; who has no permit to change anything is refused whatever it names."""
    return viewer(asker, is_there) if asker.sees or not asker.holder else Outcome.REFUSED


def writer(asker: Asker, is_there: bool) -> Outcome:
    return changer(asker, True)


def manager(asker: Asker, is_there: bool) -> Outcome:
    return _decider(asker, asker.manages)


def administrator(asker: Asker, is_there: bool) -> Outcome:
    return _decider(asker, asker.administers)


def _decider(asker: Asker, decides: bool) -> Outcome:
    if not asker.holder:
        return Outcome.UNKNOWN
    return Outcome.ANSWERED if decides else Outcome.REFUSED


def reviewer(asker: Asker, is_there: bool) -> Outcome:
    """As a viewer; who may review nothing is refused whatever it names."""
    return viewer(asker, is_there) if asker.reviews or not asker.holder else Outcome.REFUSED


def stranger(asker: Asker, is_there: bool) -> Outcome:
    """Whoever asks this site as a hub, which it is not."""
    return Outcome.NOTHING


def mediator(asker: Asker, is_there: bool) -> Outcome:
    """As long as no mediator has a secret, nothing is there for who shows nothing."""
    return Outcome.ANSWERED if asker.holder else Outcome.NOTHING


def known_for_nothing(asker: Asker, is_there: bool) -> Outcome:
    """Who is known asks for a dataset that is not published."""
    return Outcome.NOTHING if asker.holder else Outcome.UNKNOWN


def owner(asker: Asker, is_there: bool) -> Outcome:
    """Another one's permit is shown to who manages it."""
    return Outcome.NOTHING if asker.holder and not asker.manages else known(asker, is_there)


def reader(asker: Asker, is_there: bool) -> Outcome:
    """Another one's application is shown to who manages permits and to the committee."""
    return known(asker, is_there) if is_committee(asker) else owner(asker, is_there)


def committee(asker: Asker, is_there: bool) -> Outcome:
    return _decider(asker, is_committee(asker))


def is_committee(asker: Asker) -> bool:
    return asker.name.startswith(Role.COMMITTEE)


def applicant(asker: Asker, is_there: bool) -> Outcome:
    """Nobody here has asked: who sees the application may not do it, to the others there is none."""
    found = reader(asker, is_there)
    return Outcome.REFUSED if found == Outcome.ANSWERED else found


def holder(asker: Asker, is_there: bool) -> Outcome:
    """Nobody here holds the permit."""
    return Outcome.NOTHING if asker.holder else Outcome.UNKNOWN


def manager_of_study(asker: Asker, is_there: bool) -> Outcome:
    """What is told of a study to who manages: nothing of one that is withheld."""
    found = manager(asker, is_there)
    return found if is_there or found != Outcome.ANSWERED else Outcome.NOTHING


def manager_of_nothing(asker: Asker, is_there: bool) -> Outcome:
    """What is not there, and is told to who manages alone."""
    return Outcome.NOTHING if asker.manages else manager(asker, is_there)


def unpermitted(asker: Asker, is_there: bool) -> Outcome:
    """What takes a permit for jobs, which nobody here has, whatever a role lets it see."""
    return Outcome.REFUSED if asker.holder else Outcome.UNKNOWN


def requester(asker: Asker, is_there: bool) -> Outcome:
    """Another one's job is cancelled by its requester alone; who does not manage it is not told of it."""
    return Outcome.REFUSED if asker.manages else owner(asker, is_there)


def unanswered(asker: Asker, is_there: bool) -> Outcome:
    """The answer of a job that has none yet."""
    return Outcome.NOTHING if asker.holder else Outcome.UNKNOWN


STUDY, SERIES = "/dicom-web/studies/{study}", "/dicom-web/studies/{study}/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
WORKITEM = "/dicom-web/workitems/{workitem}"
ONE = "?StudyInstanceUID={study}"
PASSPORT = f"[network]\nsha256 = '{'0' * 64}'\n".encode()
PACKAGE = hashlib.sha256(PASSPORT).hexdigest()
ROWS: dict[tuple[str, str], tuple[Rule, str]] = {
    ("GET", "/fdp"): (anybody, ""),
    ("GET", "/catalogue"): (anybody, ""),
    ("GET", "/catalogue/{dataset}"): (nobody, ""),
    ("GET", "/catalogue/{dataset}/distribution"): (nobody, ""),
    ("GET", "/catalogue/{dataset}/versions"): (nobody, ""),
    ("GET", "/catalogue/{dataset}/versions/{version}"): (nobody, ""),
    ("GET", "/catalogue/{dataset}/versions/{version}/citation"): (nobody, ""),
    ("GET", "/api/catalogue"): (manager, ""),
    ("PUT", "/api/catalogue"): (manager, ""),
    ("GET", "/api/catalogue/{dataset}"): (manager, ""),
    ("PUT", "/api/catalogue/{dataset}"): (manager, ""),
    ("PUT", "/api/catalogue/{dataset}/publication"): (manager, ""),
    ("DELETE", "/api/catalogue/{dataset}/publication"): (manager, ""),
    ("POST", "/api/search"): (known, ""),
    ("GET", "/api/datasets/eucaimSearch"): (mediator, ""),
    ("POST", "/api/datasets/eucaimSearch"): (mediator, ""),
    **{
        ("GET", f"/api/beacon{path}"): (anybody, "")
        for path in (
            *("", "/info", "/service-info", "/configuration", "/entry_types", "/map"),
            *("/filtering_terms", "/datasets"),
        )
    },
    ("GET", "/api/beacon/datasets/{dataset}"): (nobody, ""),
    **{(method, "/api/beacon/individuals"): (known, "") for method in ("GET", "POST")},
    **{
        (method, "/api/beacon/datasets/{dataset}/individuals"): (known_for_nothing, "")
        for method in ("GET", "POST")
    },
    ("GET", "/health/live"): (anybody, ""),
    ("GET", "/health/ready"): (anybody, ""),
    ("GET", "/openapi.json"): (anybody, ""),
    ("GET", "/metrics"): (anybody, ""),  # from the machine of a site of its own: tests/unit/test_metrics.py
    ("POST", "/oauth/token"): (anybody, ""),
    ("GET", "/.well-known/openid-configuration"): (anybody, ""),
    ("GET", "/.well-known/jwks.json"): (anybody, ""),
    ("GET", "/dicom-web/studies"): (viewer, ONE),
    ("GET", "/dicom-web/series"): (viewer, ONE),
    ("GET", "/dicom-web/instances"): (viewer, ONE),
    ("GET", STUDY + "/series"): (viewer, ""),
    ("GET", STUDY + "/instances"): (viewer, ""),
    ("GET", SERIES + "/instances"): (viewer, ""),
    **{("GET", level): (viewer, "") for level in (STUDY, SERIES, INSTANCE)},
    **{
        ("GET", f"{level}/{part}"): (viewer, "")
        for level in (STUDY, SERIES, INSTANCE)
        for part in ("metadata", "rendered", "thumbnail")
    },
    **{
        ("GET", f"{INSTANCE}/{part}"): (viewer, "")
        for part in (
            "frames/{frames}",
            "frames/{frames}/rendered",
            "frames/{frames}/thumbnail",
            "bulkdata/{attribute}",
        )
    },
    ("GET", "/wado"): (viewer, "?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"),
    ("POST", "/dicom-web/studies"): (writer, ""),
    ("POST", STUDY): (writer, ""),
    ("GET", "/dicom-web/workitems"): (viewer, "?SOPInstanceUID={workitem}"),
    ("POST", "/dicom-web/workitems"): (writer, ""),
    ("GET", WORKITEM): (viewer, ""),
    ("POST", WORKITEM): (changer, ""),
    ("PUT", WORKITEM + "/state"): (changer, ""),
    ("POST", WORKITEM + "/cancelrequest"): (changer, ""),
    ("POST", WORKITEM + "/subscribers/{subscriber}"): (changer, ""),
    ("POST", WORKITEM + "/subscribers/{subscriber}/suspend"): (writer, ""),
    ("DELETE", WORKITEM + "/subscribers/{subscriber}"): (changer, ""),
    ("GET", "/dicom-web/ws/subscribers/{subscriber}"): (known, ""),
    ("GET", "/api/datasets"): (known, ""),
    ("POST", "/api/datasets"): (manager, ""),
    ("GET", "/api/datasets/{dataset}"): (manager, ""),
    ("DELETE", "/api/datasets/{dataset}"): (manager, ""),
    ("POST", "/api/datasets/{dataset}/versions"): (manager, ""),
    ("GET", "/api/datasets/{dataset}/quality"): (manager, ""),
    ("GET", "/api/exams/{study}/quality"): (manager_of_study, ""),
    ("GET", "/api/permits"): (known, ""),
    ("POST", "/api/permits"): (known, ""),
    ("GET", "/api/permits/{permit}"): (owner, ""),
    ("POST", "/api/permits/{permit}/grant"): (manager, ""),
    ("POST", "/api/permits/{permit}/reject"): (manager, ""),
    ("POST", "/api/permits/{permit}/revoke"): (manager, ""),
    ("GET", "/api/permits/{permit}/manifest"): (holder, ""),
    ("GET", "/api/applications"): (known, ""),
    ("POST", "/api/applications"): (known, ""),
    ("GET", "/api/applications/{permit}"): (reader, ""),
    ("PUT", "/api/applications/{permit}"): (reader, ""),
    ("DELETE", "/api/applications/{permit}"): (applicant, ""),
    ("POST", "/api/applications/{permit}/messages"): (reader, ""),
    ("POST", "/api/applications/{permit}/review"): (manager, ""),
    ("POST", "/api/applications/{permit}/changes"): (manager, ""),
    ("POST", "/api/applications/{permit}/votes"): (committee, ""),
    ("GET", "/api/rules"): (known, ""),
    ("POST", "/api/rules"): (manager, ""),
    ("GET", "/api/consents"): (manager, ""),
    ("POST", "/api/consents"): (manager, ""),
    ("GET", "/api/consents/{consent}"): (manager_of_nothing, ""),
    ("PUT", "/api/datasets/{dataset}/consent"): (manager, ""),
    ("DELETE", "/api/datasets/{dataset}/consent"): (manager, ""),
    ("GET", "/api/roles"): (administrator, ""),
    ("POST", "/api/roles"): (administrator, ""),
    ("DELETE", "/api/roles"): (administrator, ""),
    ("GET", "/api/session"): (known, ""),
    ("GET", "/api/jobs"): (known, ""),
    ("POST", "/api/jobs"): (unpermitted, ""),
    ("GET", "/api/jobs/packages"): (known, ""),
    ("GET", "/api/jobs/packages/{package}"): (owner, ""),
    ("PUT", "/api/jobs/packages/{package}"): (unpermitted, ""),
    ("PUT", "/api/jobs/packages/{package}/network"): (unpermitted, ""),
    ("POST", "/api/jobs/packages/{package}/approve"): (manager, ""),
    ("GET", "/api/jobs/{job}"): (owner, ""),
    ("GET", "/api/jobs/{job}/result"): (unanswered, ""),
    ("POST", "/api/jobs/{job}/cancel"): (requester, ""),
    ("POST", "/api/jobs/{job}/approve"): (manager, ""),
    ("POST", "/api/jobs/{job}/refuse"): (manager, ""),
    ("POST", "/api/jobs/{job}/release"): (manager, ""),
    ("GET", "/api/state"): (administrator, ""),
    ("GET", "/api/studies/{study}/readings"): (viewer, ""),
    ("POST", "/api/studies/{study}/readings/{task}/{modality}/reviews"): (reviewer, ""),
    ("POST", "/federation/v1/members"): (stranger, ""),
    ("GET", "/federation/v1/members/self"): (stranger, ""),
    ("DELETE", "/federation/v1/members/self"): (stranger, ""),
    ("POST", "/federation/v1/fleet/{call}"): (stranger, ""),
    ("GET", "/federation/v1/runs"): (stranger, ""),
    ("GET", "/federation/v1/runs/{run}"): (stranger, ""),
    ("POST", "/federation/v1/runs/{run}/answer"): (stranger, ""),
    ("GET", "/federation/v1/models"): (stranger, ""),
    ("GET", "/federation/v1/questions"): (stranger, ""),
    ("POST", "/federation/v1/questions/{question}/answer"): (stranger, ""),
    ("POST", "/federation/v1/search"): (stranger, ""),
    ("GET", "/federation/v1/models/{name}/{version}/{file}"): (stranger, ""),
}


@dataclass(frozen=True)
class World:
    """A gateway of which one patient opted out, and everybody who may ask there."""

    gateway: Gateway
    dataset: str
    permit: str
    workitems: dict[str, str]  # by the study that they are about
    askers: list[Asker]

    def address(self, path: str, study: str, asker: Asker) -> str:
        """A route's address at a study; {study} and the like filled in."""
        named = {
            "study": study, "series": f"{study}.1", "instance": f"{study}.1.1", "frames": "1", "attribute": "7FE00010",
            "workitem": self.workitems.get(study, "1.2.3.4"), "dataset": self.dataset, "permit": self.permit,
            "subscriber": asker.name.replace(", ", ".").replace(" ", "-"), "task": "density", "modality": "MG",
            "consent": "00000000-0000-4000-8000-000000000000",
            "call": "pull-messages", "job": "J1", "package": PACKAGE,
            "run": "R0123456789abcdef", "question": "0" * 32,
            "name": "federated-density", "version": "1.0.0", "file": "passport.toml",
        }  # fmt: skip
        return self.gateway.settings.public_url + re.sub(r"{(\w+)}", lambda found: named[found[1]], path)


@pytest.fixture(scope="module")
def world(serve_instances) -> Iterator[World]:
    with serve_instances(exams()) as gateway:
        settings = gateway.settings
        name = dataset(settings, "StudyInstanceUID=1.1,1.3")
        with gateway.client() as client:
            workitems = {study: ask_for(client, study) for study in (SEEN, OPTED_OUT)}
        run(settings, lambda connection: connection.execute(
            "update study set withheld = true where study_instance_uid = %s", [OPTED_OUT]
        ))  # fmt: skip
        permit = Holder(settings).permit("everything")
        run(settings, lambda connection: have_a_job(connection, name))
        yield World(gateway, name, permit, workitems, [Asker("nobody"), *everybody(settings, name)])


async def have_a_job(connection: AsyncConnection, name: str) -> None:
    """A job of somebody else, and a package of hers; no worker runs here."""
    question = JobQuestion(JobKind.COUNTS, groups=("age",))
    assert await jobs.submit(connection, "client:else", "P0", name, question, most=1, by=BY) == "J1"
    await job_packages.add(connection, PACKAGE, PASSPORT, by="client:else")


def everybody(settings, name: str) -> Iterator[Asker]:
    for role in Role:
        sees_all = role in (Role.ADMINISTRATOR, Role.STEWARD, Role.CLINICIAN)
        manages = role in (Role.ADMINISTRATOR, Role.STEWARD)
        for state in ["by its role"] if sees_all else ["permitted", "not permitted", "expired", "revoked"]:
            holder = Holder(settings)
            run(settings, lambda connection: permits.add_role(connection, holder.subject, role, by=BY))  # noqa: B023
            if state == "permitted":
                actions = READ_WRITE | {Action.REVIEW}
                holder.permit(name, until=datetime.now(UTC) + timedelta(days=1), actions=actions)
            elif state in ("expired", "revoked"):
                getattr(holder, {"expired": "expire", "revoked": "revoke"}[state])(holder.permit(name))
            sees = sees_all or state == "permitted"
            reviews = sees and role != Role.STEWARD
            yield Asker(f"{role}, {state}", holder, sees, manages, role == Role.ADMINISTRATOR, reviews)


def test_each_route_has_a_row(tmp_path):
    application = fake_site.build(tmp_path).client._application
    assert {(each.method, each.path) for each in operations(application.routes)} == ROWS.keys()


CASES = [
    (method, path, study)
    for (method, path), (_, query) in ROWS.items()
    for study in ((SEEN, OPTED_OUT, ABSENT) if re.search("{study}|{workitem}", path + query) else (SEEN,))
]


@pytest.mark.parametrize(("method", "path", "study"), CASES)
def test_who_is_answered(world, client, method, path, study):
    rule, query = ROWS[method, path]
    found = {
        asker.name: ask(client, method, world.address(path + query, study, asker), asker)
        for asker in world.askers
    }
    assert found == {asker.name: rule(asker, study == SEEN) for asker in world.askers}


def test_whose_worklist_lists_a_study(world, client):
    """The pages are not in the table of routes; a page of studies is one row, if it is seen."""
    told = {asker.name: worklist_of(world, client, asker) for asker in world.askers}
    pages = {
        asker.name: f'data-study="{SEEN}"' if asker.sees else "" for asker in world.askers if asker.holder
    }
    assert told == {name: [row, row, "200", ""] for name, row in pages.items()} | {
        "nobody": ["303", "401", "401", "401"]
    }


def worklist_of(world, client, asker: Asker) -> list[str]:
    """What is told of the studies by the list, by the rows of all of them, by the stream and to a mark."""
    base, named = world.gateway.settings.public_url, f"{SEEN},{OPTED_OUT},{ABSENT}"
    found = [
        client.get(base + "/worklist/?to=2020-01-31", headers=asker.headers),
        client.get(base + f"/worklist/rows?StudyInstanceUID={named}", headers=asker.headers),
    ]
    with client.stream("GET", base + "/worklist/events?since=1:1:", headers=asker.headers) as stream:
        status = str(stream.status_code)
    mark = client.post(base + "/worklist/marks", headers=asker.headers, data={"read": SEEN})
    is_marked = mark.status_code == (303 if asker.sees else 404)
    rows = [
        " ".join(re.findall('data-study="[^"]+"', each.text))
        if each.status_code == 200
        else str(each.status_code)
        for each in found
    ]
    return [*rows, status, "" if is_marked else str(mark.status_code)]


@pytest.fixture(scope="module")
def client():
    with httpx.Client(trust_env=False, timeout=30) as made:
        yield made


def ask(client: httpx.Client, method: str, address: str, asker: Asker) -> Outcome:
    if "/ws/" in address:
        return open_channel(address, asker)
    state = {"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": ["1.2"]}}
    kind = JSON if "workitems" in address else {"Content-Type": "application/json"}
    if address.endswith("/api/jobs"):
        state = {"dataset": "everything", "kind": "counts", "groups": ["age"]}
    if "/api/beacon/" in address:
        state = {"query": {}}
    content = None if method in ("GET", "DELETE") or "studies" in address else json.dumps(state)
    if method == "DELETE" and "subscribers" in address:
        client.post(address, headers=asker.headers)  # there is a subscription to end
    answer = client.request(method, address, headers=asker.headers | kind, content=content)
    assert answer.status_code < 500 or answer.request.url.path == "/health/ready", answer.text
    if answer.status_code == 404 or (
        answer.status_code == 200 and answer.content == b"[]" and "dicom" in address
    ):
        return Outcome.NOTHING
    if "/oauth/" in address:
        return Outcome.ANSWERED
    return {401: Outcome.UNKNOWN, 403: Outcome.REFUSED}.get(answer.status_code, Outcome.ANSWERED)


def open_channel(address: str, asker: Asker) -> Outcome:
    try:
        with connect(address.replace("http:", "ws:"), additional_headers=asker.headers, proxy=None):
            return Outcome.ANSWERED
    except InvalidStatus as refused:
        return {401: Outcome.UNKNOWN, 403: Outcome.REFUSED}[refused.response.status_code]
