"""Flower's control API, as its own SuperLink answers it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key

pytest.importorskip("flwr")

from archive.errors import Conflict, Unavailable  # noqa: E402
from archive.federation_keys import node_public_bytes  # noqa: E402
from archive.settings import Settings  # noqa: E402
from federation.fab import build, configuration  # noqa: E402
from federation.hub.control import Control, Status  # noqa: E402
from gateway.fleet import flower  # noqa: E402
from tests.live import eventually  # noqa: E402

RUN = "R0123456789abcdef"


@pytest.fixture(scope="module")
def control(tmp_path_factory) -> Iterator[Control]:
    settings = Settings(home=tmp_path_factory.mktemp("hub"))
    flower.choose_ports(settings)
    command, log = flower.superlink_command(settings), settings.home / "superlink.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, env=flower.environment(settings, os.environ), stdout=file, stderr=file, cwd=settings.home
        )
    made = Control(settings)
    try:
        eventually(lambda: answers(made))
        yield made
    finally:
        made.close()
        process.terminate()
        process.wait(30)


def answers(control: Control) -> bool:
    try:
        control.nodes()
    except Unavailable:
        return False
    return True


def test_a_node_is_let_in_and_out(control: Control) -> None:
    key = node_public_bytes(generate_private_key(SECP384R1()))
    control.register(key)
    assert not control.nodes()[key].is_online
    control.unregister(control.nodes()[key].node)
    assert key not in control.nodes()


def test_a_key_that_is_none_is_refused(control: Control) -> None:
    with pytest.raises(Conflict):
        control.register(b"no key")


def test_a_run_is_started_and_stopped(control: Control) -> None:
    number = control.start(build(), configuration(RUN))
    assert control.runs()[number] != Status.FINISHED
    control.stop(number)
    assert control.runs()[number] == Status.FINISHED
    assert list(control.logs(number, follow=True)) == []


def test_what_is_no_bundle_is_not_taken(control: Control) -> None:
    with pytest.raises((Conflict, Unavailable)):
        control.start(b"no bundle", {})


def test_without_a_superlink_it_is_away(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    flower.choose_ports(settings)
    with pytest.raises(Unavailable):
        Control(settings).nodes()
