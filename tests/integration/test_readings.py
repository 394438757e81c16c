"""Readings at a real site: made due again, logged, set aside when they end their process, done once by many workers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archive.findings import Task
from archive.readings import CHANGED, CHANNEL, DUE, Wanted, want
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Pseudonyms
from inference.errors import ModelProcessEnded
from inference.execution.messages import Reply
from inference.reader import MOST_ATTEMPTS, Due, Reader
from senogate.site_keys import keys_of
from tests.integration.test_whole_way import write
from tests.live import PATIENCE, LiveSite, eventually

LOGGED = "select count(*) from inference_log where study_instance_uid = %s"


@pytest.fixture(scope="module")
def study(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A phantom exam that was sent and read; each test has it read again."""
    folder = write(tmp_path_factory.mktemp("exam"), phantom_exam())
    uid: str = site.send(folder)["studies"][0]["study_instance_uid"]
    return uid


def test_workers_are_told_what_is_due_and_when_it_is_done(site: LiveSite, study: str) -> None:
    """In that order, and so nobody has to look for it."""
    with site.database() as database:
        database.execute(f"listen {CHANNEL}")
        site.run("infer", study, "--task", "density")
        heard = [each.payload for each in database.notifies(timeout=PATIENCE, stop_after=3)]
    assert heard == [DUE, CHANGED, CHANGED]
    assert state(site, study) == "done"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def value(site: LiveSite, statement: str, *values: object) -> object:
    with site.database() as database:
        row = database.execute(statement, values).fetchone()
        return row and row[0]


def state(site: LiveSite, study: str) -> object:
    return value(site, "select state from reading where task = 'density' and study_instance_uid = %s", study)


def model_process(worker: int) -> int:
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    threads = [Path(one, "children").read_text().split() for one in Path(f"/proc/{worker}/task").glob("*")]
    pids = {int(pid) for pid in [*children, *(pid for some in threads for pid in some)]}
    (found,) = [pid for pid in pids if "inference.execution" in Path(f"/proc/{pid}/cmdline").read_text()]
    return found


def test_a_reading_is_logged_with_the_hashes_of_what_it_read(site: LiveSite, study: str) -> None:
    """Regulation (EU) 2024/1689 article 12."""
    with site.database() as database:
        inputs, output, device, model = database.execute(
            "select inputs, output_sha256, device, model_sha256 from inference_log"
            " where task = 'density' and study_instance_uid = %s",
            [study],
        ).fetchone()
    assert len(inputs) == 4 and all(len(one) == 64 for one in (*inputs.values(), output, model))
    assert device.endswith("ExecutionProvider")


def test_infer_has_a_study_read_again(site: LiveSite, study: str) -> None:
    before = value(site, LOGGED, study)
    assert "are due" in site.run("infer", study, "--task", "density").stdout
    eventually(lambda: value(site, LOGGED, study) == before + 1)
    assert state(site, study) == "done"


@pytest.mark.parametrize("arguments", [[], ["1.2", "--all"], ["1.2", "--task", "fortune"]])
def test_infer_says_what_it_wants(site: LiveSite, arguments: list[str]) -> None:
    assert site.run("infer", *arguments, check=False).returncode == 2


class Dying:
    """A host whose process dies of every reading."""

    def __init__(self) -> None:
        self.alone: list[bool] = []

    def read(self, folder: str, paths: list[str], *, density: str = "", alone: bool = False) -> Reply:
        self.alone.append(alone)
        raise ModelProcessEnded("it was ended by SIGSEGV")


def test_what_ends_its_process_each_time_is_set_aside_with_its_reason(site: LiveSite, study: str) -> None:
    keys = keys_of(site.settings)
    deidentifier = Deidentifier(keys, Profile.load(site.settings.profile))
    host = Dying()
    reader = Reader(site.settings, deidentifier, Pseudonyms(keys), host)
    with stopped(site.child("worker")):
        with site.database() as database:
            want(database, [Wanted(Task.DENSITY, "MG")], [study], again=True)
        for _ in range(MOST_ATTEMPTS):
            with pytest.raises(ModelProcessEnded):
                reader.read(Due(study, Task.DENSITY))
        reader.read(Due(study, Task.DENSITY))
        reason = value(site, "select reason from reading where study_instance_uid = %s", study)
        assert (state(site, study), "SIGSEGV" in str(reason)) == ("failed", True)
    assert host.alone == [False, True, True]


def test_a_worker_that_is_killed_amid_a_reading_loses_none(site: LiveSite, study: str) -> None:
    worker = site.child("worker")
    process = model_process(worker)
    os.kill(process, signal.SIGSTOP)
    with site.database() as database:
        want(database, [Wanted(Task.DENSITY, "MG")], [study], again=True)
    attempts = "select attempts from reading where task = 'density' and study_instance_uid = %s"
    eventually(lambda: value(site, attempts, study) == 1)
    os.kill(worker, signal.SIGKILL)
    os.kill(process, signal.SIGCONT)
    eventually(lambda: not Path(f"/proc/{process}").exists())
    eventually(lambda: state(site, study) == "done")


def test_a_model_process_that_is_killed_takes_no_reading_down(site: LiveSite, study: str) -> None:
    process = model_process(site.child("worker"))
    with stopped(process):
        with site.database() as database:
            want(database, [Wanted(Task.DENSITY, "MG")], [study], again=True)
        attempts = "select attempts from reading where task = 'density' and study_instance_uid = %s"
        eventually(lambda: value(site, attempts, study) == 1)
        os.kill(process, signal.SIGKILL)
    eventually(lambda: state(site, study) == "done")


def test_two_workers_do_each_reading_once(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    with subprocess.Popen([sys.executable, "-m", "senogate", "worker"], env=site.environment) as second:
        try:
            for number in range(2):
                write(tmp_path / str(number), phantom_exam())
            studies = [one["study_instance_uid"] for one in site.send(tmp_path)["studies"]]
            assert [state(site, one) for one in studies] == ["done"] * 2
            counts = [value(site, f"{LOGGED} and task = 'density'", one) for one in studies]
            assert counts == [1] * 2
        finally:
            second.terminate()
