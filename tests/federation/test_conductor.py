"""What the hub's conductor does with a run, by what it sees of it; and how it sees who works on one."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import MagicMock

import pytest

pytest.importorskip("flwr")

from archive import runs  # noqa: E402
from archive.errors import Unavailable  # noqa: E402
from archive.runs import Run, State  # noqa: E402
from archive.settings import Settings  # noqa: E402
from federation.fab import build, configuration  # noqa: E402
from federation.hub.conductor import START_PATIENCE, Conductor, Seen, Step, step  # noqa: E402
from federation.hub.control import Status  # noqa: E402
from federation.hub.presence import Presence, alone, look  # noqa: E402
from tests.live import eventually  # noqa: E402

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RUN = Run("R0123456789abcdef", b"", b"", "", State.RUNNING, 7, 1, 2, "", NOW, "x", NOW, None)
THERE, DIED, NOT_YET = Presence(True, 7), Presence(False, 7), Presence(False, 6)


@pytest.mark.parametrize(
    ("presence", "status", "age", "expected"),
    [
        (THERE, Status.RUNNING, 5, Step.LEAVE),
        (THERE, Status.FINISHED, 5, Step.LEAVE),  # it writes down how it ended
        (THERE, None, 5, Step.LEAVE),
        (DIED, Status.RUNNING, 5, Step.STOP),
        (DIED, Status.FINISHED, 5, Step.SUBMIT),
        (DIED, None, 5, Step.SUBMIT),  # Flower's own database is gone
        (NOT_YET, Status.PENDING, 5, Step.LEAVE),
        (NOT_YET, Status.RUNNING, START_PATIENCE + 1, Step.STOP),
        (NOT_YET, Status.FINISHED, 5, Step.SUBMIT),
        (Presence(False, None), Status.STARTING, 5, Step.LEAVE),
    ],
)
def test_what_is_done_with_a_run(
    presence: Presence, status: Status | None, age: float, expected: Step
) -> None:
    assert step(RUN, Seen(presence, status, age)) == expected


def test_a_run_of_another_version_of_the_program_is_given_up_and_holds_nobody_up(monkeypatch) -> None:
    ended: list[State] = []
    monkeypatch.setattr(runs, "end", lambda _, run, state, message, by: ended.append(state))
    conductor = Conductor(Settings(home=Path()), MagicMock(), MagicMock())
    conductor._begin(replace(RUN, state=State.WAITING, manifest=b'{"run":"R0123456789abcdef"}'))
    assert ended == [State.FAILED]


def test_a_run_on_which_nobody_ever_worked_is_seen_as_such(tmp_path: Path) -> None:
    assert look(tmp_path / "R1") == Presence(False, None)


def test_who_works_on_a_run_is_seen_until_it_is_done(tmp_path: Path) -> None:
    with alone(tmp_path, 2**64 - 1):
        assert look(tmp_path) == Presence(True, 2**64 - 1)
    assert look(tmp_path) == Presence(False, 2**64 - 1)


def test_two_do_not_work_on_one_run(tmp_path: Path) -> None:
    with alone(tmp_path, 1), pytest.raises(Unavailable), alone(tmp_path, 2, patience=0.0):
        pass
    assert look(tmp_path).number == 1


def test_a_process_that_is_killed_is_seen_to_be_gone(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys; from federation.hub.presence import alone\n"
        "with alone(pathlib.Path(sys.argv[1]), 5): signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        eventually(lambda: look(tmp_path) == Presence(True, 5))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert look(tmp_path) == Presence(False, 5)


def test_the_bundle_is_the_same_each_time_and_imports_nothing_but_the_program() -> None:
    assert build() == build()
    assert b"from federation.hub.server import app" in build()


def test_only_a_runs_identifier_is_told_beside_the_bundle() -> None:
    assert configuration("R0123456789abcdef") == {"run": "R0123456789abcdef"}
    with pytest.raises(ValueError):
        configuration("R0'; drop")
