"""What processes count, and how they tell one another."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from archive import measure_sockets, measures
from archive.measure_sockets import ask_others, folder_of, published
from archive.settings import Settings

ONE = '# HELP a_total What a is.\n# TYPE a_total counter\na_total{process="one"} 1.0\n'
OTHER = ONE.replace("one", "other") + "# HELP b What b is.\n# TYPE b gauge\nb 2.0\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    """Each test is a process of its own."""
    name, path = measures.IDENTITY.name, measures.IDENTITY.socket
    yield
    measures.IDENTITY.name, measures.IDENTITY.socket = name, path


def test_each_sample_says_which_process_it_is_of() -> None:
    families = list(text_string_to_metric_families(measures.text()))
    assert {sample.labels["process"] for family in families for sample in family.samples} == {
        measures.IDENTITY.name
    }


def test_a_family_of_several_processes_has_one_head_and_one_group() -> None:
    joined = measures.join([ONE, OTHER])
    assert joined.count("# TYPE a_total") == 1 and joined.index("# HELP b") > joined.index('"other"')
    assert {family.name: len(family.samples) for family in text_string_to_metric_families(joined)} == {
        "a": 2,
        "b": 1,
    }


def test_a_process_asks_the_others_and_not_itself(settings: Settings) -> None:
    with published(settings, "worker"):
        measures.IDENTITY.socket = ""  # as another process has it
        assert 'process="worker-1"' in asyncio.run(ask_others(settings))["worker-1"]
    with published(settings, "worker"):
        assert asyncio.run(ask_others(settings)) == {}


def test_two_of_a_kind_have_names_of_their_own(settings: Settings) -> None:
    with published(settings, "gateway"), published(settings, "gateway"):
        assert measures.IDENTITY.name == "gateway-2"


def test_the_name_of_one_that_was_killed_is_free_again(settings: Settings) -> None:
    folder_of(settings).mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder_of(settings) / "gateway-1.sock"))
    left.close()
    assert asyncio.run(ask_others(settings)) == {}
    with published(settings, "gateway"):
        assert measures.IDENTITY.name == "gateway-1"


def test_one_that_hangs_is_told_of_and_waited_for_no_longer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_sockets, "PATIENCE", 0.05)
    folder_of(settings).mkdir()
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(folder_of(settings) / "worker-1.sock"))
        hanging.listen()
        assert asyncio.run(ask_others(settings)) == {"worker-1": ""}


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("h" * 120))
    settings.home.mkdir()
    with published(settings, "worker"):
        measures.IDENTITY.socket = ""
        assert list(asyncio.run(ask_others(settings))) == ["worker-1"]


def test_nobody_but_the_sites_user_may_ask(settings: Settings) -> None:
    with published(settings, "worker"):
        assert folder_of(settings).stat().st_mode & 0o77 == 0
        assert os.stat(measures.IDENTITY.socket).st_mode & 0o77 == 0


def test_a_home_that_can_t_be_written_to_leaves_a_process_alone(tmp_path: Path) -> None:
    (tmp_path / "measures").write_text("")
    with published(Settings(home=tmp_path), "worker"):
        assert (measures.IDENTITY.name, asyncio.run(ask_others(Settings(home=tmp_path)))) == ("worker-1", {})


def test_one_that_had_no_handle_left_answers_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failed = socket.socket.accept, threading.Event()

    def fail_once(listening: socket.socket) -> tuple[socket.socket, object]:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EMFILE, "too many open files")
        return accept(listening)

    monkeypatch.setattr(measure_sockets, "_PAUSE", 0)
    monkeypatch.setattr(socket.socket, "accept", fail_once)
    with published(settings, "worker"):
        measures.IDENTITY.socket = ""  # as another process has it
        assert asyncio.run(ask_others(settings))["worker-1"] and failed.is_set()


def test_one_whose_queue_is_full_keeps_its_name(settings: Settings) -> None:
    folder_of(settings).mkdir()
    path = str(folder_of(settings) / "gateway-1.sock")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(path)
        busy.listen(0)
        waiting.connect(path)
        with published(settings, "gateway"):
            assert measures.IDENTITY.name == "gateway-2"


def test_what_was_cut_off_is_no_answer(settings: Settings) -> None:
    folder_of(settings).mkdir()
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(folder_of(settings) / "worker-1.sock"))
        dying.listen()

        def end() -> None:
            with dying.accept()[0] as asking:
                asking.sendall(b"# HELP a_total Wh")

        thread = threading.Thread(target=end)
        thread.start()
        assert asyncio.run(ask_others(settings)) == {"worker-1": ""}
        thread.join()
