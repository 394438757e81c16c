"""Whether one part of a site does its work: for the health checks of docker-compose.yml and of deploy/helm."""

import socket
from collections.abc import Callable

from archive import follow, migration
from archive.errors import Unavailable
from archive.pool import autocommitting, connect, queries
from archive.settings import Settings
from gateway.catalogue import keeping
from gateway.fleet import flower
from gateway.readiness import FOLLOWED
from gateway.superlink import HOST

_PATIENCE = 5.0  # seconds that a port may take to answer


def check(settings: Settings, part: str) -> None:
    """Raise Unavailable, which says why, where the part of this name does not do its work."""
    PARTS[part](settings)


def _check_schema(settings: Settings) -> None:
    """What the other parts wait for: `init` makes the secrets before it brings the schema up to date."""
    with autocommitting(settings.database_url) as connection:
        lacking, _ = migration.compare(connection)
    if lacking:
        raise Unavailable("the schema is not up to date yet")


def _check_worker(settings: Settings) -> None:
    """Of several workers one follows what Orthanc stores, and that is what is looked at."""
    is_there, is_fresh = _watch(settings, follow.FOLLOWER_LOCK)
    if not (is_there and is_fresh):
        raise Unavailable("no worker follows what Orthanc stores")


def _check_keeper(settings: Settings) -> None:
    if not keeping.is_alive(settings):
        raise Unavailable("no keeper has left a sign of life lately")


def _check_conductor(settings: Settings) -> None:
    from federation.hub import conductor

    if not _watch(settings, conductor.LOCK)[0]:
        raise Unavailable("no conductor holds its lock of the database")


def _watch(settings: Settings, lock: int) -> tuple[bool, bool]:
    """Whether a process holds this lock, and whether the index has been followed lately."""
    with connect(settings.database_url, autocommit=True) as connection:
        row = connection.execute(queries("index.sql")["watch"], {"key": lock, "age": FOLLOWED}).fetchone()
    return row or (False, False)


def _listens(name: str) -> Callable[[Settings], None]:
    """A check that this part of a federation listens on its port."""

    def check_port(settings: Settings) -> None:
        port: int = getattr(flower.read_ports(settings), name)
        try:
            socket.create_connection((HOST, port), _PATIENCE).close()
        except OSError as error:
            raise Unavailable(f"the {name} does not answer ({type(error).__name__})") from None

    return check_port


PARTS: dict[str, Callable[[Settings], None]] = {
    "schema": _check_schema,
    "worker": _check_worker,
    "keeper": _check_keeper,
    "conductor": _check_conductor,
    "superlink": _listens("superlink"),
    "relay": _listens("relay"),
    "supernode": _listens("supernode"),
    "trainer": _listens("supernode"),  # all that a trainer does comes by it
}
