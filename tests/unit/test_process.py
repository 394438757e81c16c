"""Programs of a site, as far as no whole site is needed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from senogate import process
from senogate.process import Process, Program
from tests.live import eventually


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(process, "_LARGEST_LOG", 100)
    return tmp_path / "echo.log"


@pytest.fixture
def writing(tmp_path: Path, log: Path) -> Iterator[Process]:
    """A program that writes more than its log may hold, and a last line once there is a file `go`."""
    wait = "import pathlib, time\nprint('x' * 200, flush=True)\n"
    wait += f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)\n"
    running = Process(Program("echo", [sys.executable, "-c", wait + "print('after', flush=True)"]), tmp_path)
    running.start()
    eventually(lambda: log.exists() and log.stat().st_size > 200)
    yield running
    running.stop()


def test_a_log_that_grew_too_large_is_set_aside_while_its_program_runs(
    writing: Process, log: Path, tmp_path: Path
) -> None:
    writing.rotate_log()
    assert log.with_suffix(".log.1").read_text() == "x" * 200 + "\n"
    (tmp_path / "go").touch()
    eventually(lambda: log.read_text() == "after\n")


def test_a_log_is_left_alone_before(writing: Process, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LARGEST_LOG", 1000)
    writing.rotate_log()
    assert log.stat().st_size == 201


def test_a_program_that_can_not_be_started_now_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log can't be opened: a disk is read-only, or there is no room."""
    monkeypatch.setattr(process, "_LONGEST_PAUSE", 0.0)
    ended = Process(Program("true", ["true"]), tmp_path)
    ended.start()
    eventually(lambda: not ended.is_running())
    (tmp_path / "true.log").unlink()
    (tmp_path / "true.log").mkdir()
    assert not ended.keep_running()
    (tmp_path / "true.log").rmdir()
    assert eventually(ended.keep_running)
    ended.stop()
