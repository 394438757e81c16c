"""Permits at a whole site: datasets follow what arrives, and what may be added to."""

import json
import uuid
from collections.abc import Callable

import httpx
import pytest

from tests.live import LiveSite, eventually
from tests.unit.dicom_files import dataset, part10, pixels

Bring = Callable[[bytes], str]


def exam(patient: str, station: str, study: str | None = None) -> bytes:
    """A mammogram of a new study, or a further one of a study."""
    study = study or f"2.25.{uuid.uuid4().int}"
    named = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2", "StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1",
        "SOPInstanceUID": f"2.25.{uuid.uuid4().int}", "PatientID": patient, "PatientName": "Doe^Jane",
        "Modality": "MG", "BurnedInAnnotation": "NO", "ViewPosition": station,
    }  # fmt: skip
    return part10(dataset(**named, **pixels(16, 16)))


class Program:
    """A client of the site and its permit on a dataset of its own."""

    def __init__(self, site: LiveSite, query: str) -> None:
        self.site, self.name = site, f"p{uuid.uuid4().hex[:10]}"
        site.run("client", "add", self.name, "--scope", "dicomweb.read dicomweb.write")
        site.run("dataset", "create", self.name, query)
        actions = ("--action", "dicomweb.read", "--action", "dicomweb.write")
        named = ("--dataset", self.name, "--purpose", "algorithms", "--legal-basis", "GDPR 6(1)(e)")
        self.permit = site.run("permit", "grant", f"client:{self.name}", *named, *actions).stdout.strip()
        token = site.run("token", "--client", self.name).stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(
            base_url=site.dicomweb_url, headers=headers, timeout=60, trust_env=False, verify=False
        )

    def store(self, instance: bytes) -> httpx.Response:
        return self.http.post("/studies", content=instance, headers={"Content-Type": "application/dicom"})

    def studies(self) -> list[str]:
        return [row["0020000D"]["Value"][0] for row in self.http.get("/studies").json()]


@pytest.fixture
def program(site: LiveSite) -> Program:
    return Program(site, "ViewPosition=CC&Modality=MG")


def stored(answer: httpx.Response) -> str:
    """The pseudonymous UID of the study that something was stored in."""
    assert answer.status_code == 200, answer.text
    return answer.json()["00081190"]["Value"][0].rsplit("/", 1)[-1]


@pytest.fixture
def bring(site: LiveSite) -> Bring:
    """Stores an instance as who sees everything, and waits until it is indexed; its study."""

    def store(instance: bytes) -> str:
        with site.client() as administrator:
            headers = {"Content-Type": "application/dicom"}
            uid = stored(administrator.post("/studies", content=instance, headers=headers))
            eventually(lambda: administrator.get(f"/studies/{uid}/metadata").status_code == 200)
        return uid

    return store


def test_a_study_is_of_a_dataset_as_soon_as_it_is_indexed(program: Program, bring: Bring) -> None:
    uid = bring(exam("A", "CC"))
    assert uid in program.studies()


def test_what_is_missing_of_a_permitted_study_is_added_to_it(program: Program, bring: Bring) -> None:
    study = f"2.25.{uuid.uuid4().int}"
    uid = bring(exam("B", "CC", study))
    assert stored(program.store(exam("B", "MLO", study))) == uid


def test_a_hidden_study_is_not_told_from_one_that_never_was(
    program: Program, bring: Bring, site: LiveSite
) -> None:
    """Neither can be added to, and both are refused alike but for the UIDs that were sent."""
    study = f"2.25.{uuid.uuid4().int}"
    bring(exam("C", "MLO", study))
    before = site.stored_instances()
    hidden, absent = program.store(exam("C", "MLO", study)), program.store(exam("C", "MLO"))
    assert hidden.status_code == absent.status_code == 409
    assert refusals(hidden) == refusals(absent) == [(0xA900, "1.2.840.10008.5.1.4.1.1.1.2")]
    assert hidden.headers.keys() == absent.headers.keys()
    assert site.stored_instances() == before


def refusals(answer: httpx.Response) -> list[tuple[int, str]]:
    """Reason and SOP class of each instance that was not stored; there is nothing else in the answer."""
    ((_, sequence),) = answer.json().items()
    return [(item["00081197"]["Value"][0], item["00081150"]["Value"][0]) for item in sequence["Value"]]


def test_the_command_line_shows_what_was_decided(program: Program, site: LiveSite) -> None:
    shown = json.loads(site.run("permit", "show", program.permit, "--json").stdout)
    assert (shown["state"], shown["article"]) == ("granted", "EHDS 53(1)(e)(ii)")
    site.run("permit", "revoke", program.permit, "--reason", "done")
    assert "revoked" in site.run("permit", "list", "--subject", f"client:{program.name}").stdout
    assert site.run("permit", "revoke", program.permit, check=False).returncode == 1


def test_a_request_is_decided_on(site: LiveSite) -> None:
    named = ("--dataset", "everything", "--purpose", "research", "--legal-basis", "GDPR 6(1)(e)")
    wanted = [site.run("permit", "request", "client:x", *named).stdout.strip() for _ in range(2)]
    site.run("permit", "reject", wanted[0], "--reason", "no")
    site.run("permit", "grant", wanted[1], "--until", "2031-01-31", "--conditions", "no copies")
    shown = json.loads(site.run("permit", "show", wanted[1], "--json").stdout)
    assert (shown["valid_until"], shown["conditions"]) == ("2031-02-01 00:00:00+00:00", "no copies")
    assert site.run("permit", "grant", wanted[0], check=False).returncode == 1


def test_what_was_decided_is_in_the_trail(program: Program, site: LiveSite) -> None:
    with site.database() as connection:
        rows = connection.execute("select content from audit").fetchall()
    events = {json.loads(text)["event"] for (text,) in rows if program.permit in text or program.name in text}
    assert {"dataset.created", "permit.requested", "permit.granted"} <= events
