"""Data used where they are, on a real site: what a researcher with `jobs.run` alone gets, and what nobody gets."""

import hashlib
import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inference.installed import BUILT_IN
from inference.package import sign_package
from tests.federation.exams import Drawn, draw_exams, labels, send_exams
from tests.live import LiveSite, eventually

FOLDER = BUILT_IN / "phantom_density"
SHA256 = hashlib.sha256((FOLDER / "passport.toml").read_bytes()).hexdigest()
MEASURED = {
    "kind": "features",
    "features": ["breast_area", "age"],
    "groups": ["density"],
    "labels": ["density"],
}


class Researcher:
    """Somebody with a permit on the exams that have labels, and a client that speaks for her."""

    def __init__(self, site: LiveSite, dataset: str, *, action: str = "jobs.run") -> None:
        self.site, self.dataset, self.name = site, dataset, f"r{uuid.uuid4().hex[:10]}"
        site.run("client", "add", self.name, "--scope", "jobs.run dicomweb.read")
        named = ("--dataset", dataset, "--purpose", "research", "--legal-basis", "GDPR 6(1)(e)")
        self.permit = site.run(
            "permit", "grant", f"client:{self.name}", *named, "--action", action
        ).stdout.strip()
        token = site.run("token", "--client", self.name).stdout.strip()
        self.http = httpx.Client(
            base_url=site.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    def ask(self, question: dict[str, object]) -> httpx.Response:
        return self.http.post("/api/jobs", json={"dataset": self.dataset, **question})

    def submit(self, question: dict[str, object]) -> str:
        answer = self.ask(question)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, object]:
        found: dict[str, object] = self.http.get(f"/api/jobs/{job_id}").json()
        return found

    def wait(self, job_id: str, *states: str) -> dict[str, object]:
        return eventually(lambda: found if (found := self.job(job_id))["state"] in states else None)

    def released(self, question: dict[str, object]) -> dict[str, object]:
        """What a question comes to, once a steward let it out."""
        job_id = self.submit(question)
        assert self.wait(job_id, "checked", "failed", "withheld", "stopped")["state"] == "checked", self.job(
            job_id
        )["reason"]
        assert self.http.get(f"/api/jobs/{job_id}/result").status_code == 404
        self.site.run("job", "release", job_id)
        return dict(self.http.get(f"/api/jobs/{job_id}/result").json())

    def send(self, folder: Path) -> tuple[str, list[int]]:
        """Send in a package; its hash, and the statuses."""
        passport, network = ((folder / name).read_bytes() for name in ("passport.toml", "model.onnx"))
        sha256 = hashlib.sha256(passport).hexdigest()
        first = self.http.put(f"/api/jobs/packages/{sha256}", content=passport)
        then = self.http.put(f"/api/jobs/packages/{sha256}/network", content=network)
        return sha256, [first.status_code, then.status_code]


@pytest.fixture(scope="module")
def exams(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Drawn]:
    """Twelve labelled patients, whose exams are at the site."""
    folder = tmp_path_factory.mktemp("exams")
    drawn = draw_exams("beta", "aabbbbccccdd", seed=uuid.uuid4().int % 10**6)
    send_exams(site, folder / "exams", drawn)
    (folder / "labels.csv").write_text(labels(drawn))
    site.run("label", "import", str(folder / "labels.csv"))
    return drawn


@pytest.fixture(scope="module")
def dataset(site: LiveSite, exams: Sequence[Drawn]) -> str:
    """The name of the dataset that they are."""
    name = f"d{uuid.uuid4().hex[:10]}"
    uids = ",".join(site.pseudonyms().uid(one.study_instance_uid) for one in exams)
    site.run("dataset", "create", name, f"StudyInstanceUID={uids}")
    return name


@pytest.fixture
def researcher(site: LiveSite, dataset: str) -> Iterator[Researcher]:
    found = Researcher(site, dataset)
    yield found
    found.http.close()


def test_features_come_out_as_aggregates_alone(researcher: Researcher) -> None:
    told = researcher.released(MEASURED)
    area = told["features"]["breast_area"]
    assert area["patients"] % 5 == 0 and area["patients"] >= 10
    assert 1 < area["mean"] < 1000
    assert "2.25." not in json.dumps(told)


def test_a_package_is_evaluated_where_the_data_are(researcher: Researcher) -> None:
    told = researcher.released({"kind": "evaluation", "package": SHA256})
    assert told["exams"] >= 10
    assert "area under the curve" in [one["name"] for one in told["figures"]]


def test_who_may_have_jobs_run_may_read_nothing(researcher: Researcher, dataset: str, site: LiveSite) -> None:
    """As if the site held no study: neither a search nor an address of one that is there."""
    with site.database() as database:
        ((study,),) = database.execute(
            "select study_instance_uid from dataset_study join dataset on dataset = number where name = %s limit 1",
            [dataset],
        ).fetchall()
    assert researcher.http.get("/dicom-web/studies").json() == []
    for path in ("", "/metadata", "/rendered"):
        assert researcher.http.get(f"/dicom-web/studies/{study}{path}").status_code == 404


def test_the_same_question_is_answered_once(researcher: Researcher, site: LiveSite) -> None:
    """While it is under way it is the same job; afterwards the answer that is there comes again, unread."""
    question = {"kind": "counts", "groups": ["density"]}
    told = researcher.released(question)
    again = researcher.submit(question | {"groups": ["density", "density"]})
    assert researcher.wait(again, "released")["released_at"]
    assert researcher.http.get(f"/api/jobs/{again}/result").json() == told


def test_a_permit_to_read_lets_no_job_run(site: LiveSite, dataset: str) -> None:
    reader = Researcher(site, dataset, action="dicomweb.read")
    assert reader.ask(MEASURED).status_code == 403


def test_another_ones_dataset_and_one_that_is_not_there_are_refused_alike(researcher: Researcher) -> None:
    answers = [
        researcher.http.post("/api/jobs", json={"dataset": name, **MEASURED})
        for name in ("everything", "none")
    ]
    assert [one.status_code for one in answers] == [403, 403]
    assert answers[0].content == answers[1].content


def test_another_ones_job_is_not_there(researcher: Researcher, site: LiveSite, dataset: str) -> None:
    job_id = researcher.submit(MEASURED)
    other = Researcher(site, dataset)
    for path in ("", "/result"):
        assert other.http.get(f"/api/jobs/{job_id}{path}").status_code == 404
    assert other.http.post(f"/api/jobs/{job_id}/cancel").status_code == 404
    assert other.http.post(f"/api/jobs/{job_id}/release").status_code == 403
    researcher.http.post(f"/api/jobs/{job_id}/cancel")


def signed_by_a_stranger(folder: Path) -> Path:
    """The built-in package under a key that nobody knows."""
    shutil.copytree(FOLDER, folder)
    sign_package(folder, Ed25519PrivateKey.generate())
    return folder


def test_a_strangers_package_waits_for_a_steward(
    researcher: Researcher, site: LiveSite, tmp_path: Path
) -> None:
    sha256, statuses = researcher.send(signed_by_a_stranger(tmp_path / "package"))
    assert statuses == [201, 200]
    job_id = researcher.submit({"kind": "evaluation", "package": sha256})
    assert "signed by no key" in str(researcher.wait(job_id, "waiting", "due")["reason"])
    site.run("job", "approve-package", sha256)
    assert researcher.wait(job_id, "checked", "failed")["state"] == "checked"


def test_what_is_no_package_is_refused(researcher: Researcher, tmp_path: Path) -> None:
    """A network of another hash, a passport under another's name, and one that is not here."""
    folder = signed_by_a_stranger(tmp_path / "package")
    passport = (folder / "passport.toml").read_bytes()
    sha256 = hashlib.sha256(passport).hexdigest()
    http, path = researcher.http, f"/api/jobs/packages/{sha256}"
    assert http.put(f"/api/jobs/packages/{'0' * 64}", content=passport).status_code == 400
    assert http.put(f"{path}/network", content=b"import os").status_code == 404
    assert http.put(path, content=passport).status_code == 201
    assert http.put(f"{path}/network", content=b"import os").status_code == 400
    job_id = researcher.submit({"kind": "evaluation", "package": sha256})
    assert researcher.wait(job_id, "refused", "due", "waiting")["state"] == "refused"


@pytest.fixture
def held(site: LiveSite) -> Iterator[threading.Event]:
    """Until it is set jobs' processes come to no answer: they are stopped as soon as they are confined."""
    stopped: set[int] = set()
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.02):
            for pid in filter(is_confined, running(site) - stopped):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.add(pid)

    thread = threading.Thread(target=stop)
    thread.start()
    yield over
    over.set()
    thread.join()
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def running(site: LiveSite) -> set[int]:
    """The processes of jobs that this site's worker has started."""
    children = Path(f"/proc/{site.child('worker')}/task").glob("*/children")
    found = set()
    for file in children:
        with suppress(OSError):
            pids = [int(pid) for pid in file.read_text().split()]
            found |= {
                pid for pid in pids if b"federation.jobs.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
            }
    return found


def is_confined(pid: int) -> bool:
    """Whether seccomp filters bind a process (proc(5))."""
    with suppress(OSError):
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    return False


def begun(researcher: Researcher, question: dict[str, object]) -> str:
    """A job whose process is there."""
    job_id = researcher.submit(question)
    researcher.wait(job_id, "running")
    eventually(lambda: any(map(is_confined, running(researcher.site))))
    return job_id


def test_a_job_whose_permit_is_revoked_stops_and_tells_nothing(
    researcher: Researcher, site: LiveSite, held: threading.Event
) -> None:
    job_id = begun(researcher, MEASURED | {"features": ["breast_area", "brightness"]})
    site.run("permit", "revoke", researcher.permit)
    assert "permit" in str(researcher.wait(job_id, "stopped", "checked")["reason"])
    eventually(lambda: not running(site))
    with site.database() as database:
        kept = database.execute("select state, result from job where job_id = %s", [job_id]).fetchone()
    assert kept == ("stopped", None)


def test_a_job_that_is_cancelled_while_it_runs_leaves_no_process(
    researcher: Researcher, site: LiveSite, held: threading.Event
) -> None:
    job_id = begun(researcher, MEASURED | {"features": ["brightness_median"]})
    assert researcher.http.post(f"/api/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    eventually(lambda: not running(site))


def test_a_job_begins_anew_where_its_worker_was_killed(
    researcher: Researcher, site: LiveSite, held: threading.Event
) -> None:
    job_id = begun(researcher, MEASURED | {"features": ["brightness_quartile_1"]})
    before = running(site)
    held.set()
    os.kill(site.child("worker"), signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in before))
    assert researcher.wait(job_id, "checked", "failed")["state"] == "checked"


def test_an_answer_whose_patient_opts_out_before_its_release_is_made_anew(
    researcher: Researcher, site: LiveSite, exams: Sequence[Drawn]
) -> None:
    """And then too few patients differ from those it was told of before: it is withheld, cell by cell."""
    job_id = researcher.submit(MEASURED | {"features": ["breast_area"], "labels": []})
    researcher.wait(job_id, "checked")
    patient = exams[0].patient_id
    site.run("optout", "add", patient)
    try:
        assert site.run("job", "release", job_id, check=False).returncode == 1
        assert researcher.http.get(f"/api/jobs/{job_id}/result").status_code == 404
        researcher.wait(job_id, "checked", "failed")
        told = json.loads(site.run("job", "show", job_id, "--answer").stdout)
        assert told["features"]["breast_area"].keys() == {"withheld"}
    finally:
        site.run("optout", "withdraw", patient)


def test_an_answer_is_not_let_out_whose_dataset_wants_a_consent_meanwhile(
    researcher: Researcher, site: LiveSite
) -> None:
    job_id = researcher.submit({"kind": "counts", "groups": ["age"]})
    researcher.wait(job_id, "checked")
    site.run("consent", "demand", researcher.dataset)
    try:
        assert site.run("job", "release", job_id, check=False).returncode == 1
        assert researcher.wait(job_id, "failed", "checked", "released")["state"] == "failed"
    finally:
        site.run("consent", "demand", researcher.dataset, "--none")


def test_all_of_it_is_in_the_trail(researcher: Researcher, site: LiveSite) -> None:
    job_id = researcher.submit({"kind": "counts", "groups": ["age"]})
    researcher.wait(job_id, "checked", "failed")
    site.run("job", "refuse", job_id, "--reason", "no")
    found = [
        json.loads(line) for line in site.run("audit", "list", "--last", "5000", "--json").stdout.splitlines()
    ]
    events = [one["event"] for one in found if one["detail"].get("job") == job_id]
    assert {"job.submitted", "job.decided", "job.run"} <= set(events)
    assert researcher.http.get(f"/api/jobs/{job_id}").json()["reason"] == "no"
