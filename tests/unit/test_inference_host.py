"""The process that runs models may die; who reads is told how, and the next reading finds another process."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.errors import ModelProcessEnded
from inference.execution.host import Doors, Host
from tests.live import eventually

MODULE = "tests.unit.model_processes"


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host(module=MODULE, seconds=30)
    yield made
    made.close()


def test_answers_find_who_asked(host: Host) -> None:
    folders = ["late", *(f"order {number}" for number in range(20))]
    with ThreadPoolExecutor(8) as pool:
        assert [reply.answer for reply in pool.map(lambda one: host.read(one, []), folders)] == folders


def test_one_process_serves_many_orders(host: Host) -> None:
    assert host.read("a", []).device == host.read("b", []).device == str(host.pid)


def test_a_crash_is_told_with_its_signal_and_the_next_order_is_answered(host: Host) -> None:
    with pytest.raises(ModelProcessEnded, match="SIGSEGV"):
        host.read("segfault", [])
    assert host.read("a", []).answer == "a"


def test_all_that_was_under_way_is_told_of_the_end(host: Host) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(host.read, "hang", []) for _ in range(2)]
        eventually(lambda: host.pid)
        os.kill(host.pid or 0, signal.SIGKILL)
        for each in waiting:
            with pytest.raises(ModelProcessEnded, match="SIGKILL"):
                each.result(20)


def test_what_takes_too_long_is_ended(host: Host) -> None:
    hasty = Host(module=MODULE, seconds=0.5)
    with pytest.raises(ModelProcessEnded, match="longer than 0.5"):
        hasty.read("hang", [])
    assert hasty.pid is None
    hasty.close()


def test_closing_ends_the_process(host: Host) -> None:
    host.read("a", [])
    pid = host.pid
    host.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)


def test_who_is_alone_waits_for_others_and_others_for_it() -> None:
    doors, inside, events = Doors(), threading.Event(), []
    with ThreadPoolExecutor(2) as pool:
        with doors.together():

            def alone() -> None:
                with doors.alone():
                    inside.wait(10)
                    events.append("alone")

            def others() -> None:
                with doors.together():
                    events.append("other")

            first = pool.submit(alone)
            eventually(lambda: doors._wanting)
            second = pool.submit(others)
        inside.set()
        first.result(10), second.result(10)
    assert events == ["alone", "other"]
