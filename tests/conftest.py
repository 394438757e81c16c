"""Fixtures for every test: the shared data, and a real site of its own for those that need one."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout: real data and reference tables."""
    if not SHARED.exists():
        pytest.skip("the folder ../shared with the real data is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def free_ports():
    """A callable that names ports which are free now, outside of those the kernel hands out by itself."""

    def find(count: int) -> list[int]:
        sockets = [socket.socket() for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        return ports

    return find


@pytest.fixture(scope="session")
def new_home() -> Iterator:
    """A callable that makes an empty home which PostgreSQL's user can reach; all are removed at the end."""
    made: list[tempfile.TemporaryDirectory] = []

    def make() -> Path:
        folder = tempfile.TemporaryDirectory(prefix="senogate-test-", ignore_cleanup_errors=True)
        os.chmod(folder.name, 0o755)
        made.append(folder)
        return Path(folder.name) / "home"

    yield make
    for folder in made:
        folder.cleanup()


@pytest.fixture(scope="session")
def site(new_home, free_ports) -> Iterator:
    """One site that tests share; they add studies of their own and leave its parts running."""
    from tests.live import LiveSite

    live = LiveSite(new_home(), free_ports(3)).start()
    yield live
    assert live.stop() == 0
