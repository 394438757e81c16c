"""A whole site on one machine under one home: PostgreSQL, Orthanc with the plugin, gateway, worker and keeper."""

import json
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from archive import own_gateway
from archive.durable import DurableConnection
from archive.errors import ConfigurationError, Unavailable
from archive.pool import connect
from archive.settings import Settings
from archive.spool import Spool, State
from deidentification.profile import Profile, ProfileError
from senogate import orthanc, site_secrets
from senogate.cluster import Cluster, complete, locate
from senogate.configuration import note_configuration
from senogate.home import RESTORING, only_one
from senogate.process import KEEPS_MEMORY, Process, Program

if TYPE_CHECKING:
    from senogate.federation.parts import Parts

START_PATIENCE = 120.0  # seconds for each part of a site to answer after it was started
Progress = Callable[[str], None]


def check_profile(settings: Settings) -> None:
    """Raise ConfigurationError, which says what is wrong, for a de-identification profile that can't be used."""
    try:
        Profile.load(settings.profile)
    except ProfileError as error:
        raise ConfigurationError(str(error)) from None


def programs(settings: Settings, cluster: Cluster | None) -> list[Program]:
    """What a site runs, in the order of its start."""
    environment = settings.environment
    senogate = [sys.executable, "-m", "senogate"]
    parts = [
        orthanc.program_of(settings),
        *(Program(name, [*senogate, "gateway"], KEEPS_MEMORY) for name in _gateways(settings)),
        Program("worker", [*senogate, "worker"], patience=30),
        Program("keeper", [*senogate, "keeper"]),
    ]
    database = [Program("postgresql", cluster.command(), KEEPS_MEMORY, signal.SIGINT, 30)] if cluster else []
    return database + [replace(part, environment=environment | dict(part.environment)) for part in parts]


def _gateways(settings: Settings) -> list[str]:
    """The names of the gateways: the first one has no number."""
    return ["gateway", *(f"gateway-{number}" for number in range(2, settings.gateway_processes + 1))]


class Site:
    """A running site. Use `running(settings, progress)` to have one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.processes: dict[str, Process] = {}
        self.federation = _parts(settings)

    def start(self, cluster: Cluster | None, progress: Progress) -> None:
        """Start every part and wait until the gateway is ready. Raises Unavailable, which says which part is not."""
        for program in programs(self.settings, cluster):
            progress(f"starting {program.name}")
            process = self.processes[program.name] = Process(program, self.settings.home / "logs")
            process.start()
            if program.name == "postgresql":
                self._wait_for(process, self._database_answers)
            if "gateway" not in self.processes and program.name in ("postgresql", "orthanc"):
                _migrate(self.settings, progress)
            if program.name == "orthanc":
                note_configuration(self.settings)
        progress("waiting until every part answers")
        self._wait_for(self.processes["gateway"], self.is_ready)

    def is_ready(self) -> bool:
        return readiness(self.settings)["ready"] is True

    def supervise(self, progress: Progress) -> None:
        """Keep every part running, until an exception (a signal's) ends it."""
        pause = threading.Event()
        while not pause.wait(0.5):
            for said in self.federation.follow():
                progress(said)
            for name in [*self._keep_running(), *self.federation.keep_running()]:
                progress(
                    f"{name} had ended and was started again; its log is in {self.settings.home / 'logs'}"
                )

    def _keep_running(self) -> list[str]:
        for process in self.processes.values():
            process.rotate_log()
        return [name for name, process in self.processes.items() if process.keep_running()]

    def stop(self) -> None:
        """End every part, the last started first."""
        self.federation.stop()
        for process in reversed(self.processes.values()):
            process.stop()

    def _database_answers(self) -> bool:
        try:
            connect(self.settings.database_url).close()
        except Unavailable:
            return False
        return True

    def _wait_for(self, process: Process, answers: Callable[[], bool]) -> None:
        deadline, pause = time.monotonic() + START_PATIENCE, threading.Event()
        while time.monotonic() < deadline:
            if answers():
                return
            dead = [each for each in self.processes.values() if not each.is_running()]
            if dead:
                raise Unavailable(f"{dead[0].program.name} ended while starting:\n{dead[0].last_lines()}")
            pause.wait(0.1)
        state = json.dumps(readiness(self.settings))
        raise Unavailable(
            f"{process.program.name} is not ready after {START_PATIENCE:.0f} s: {state}\n{process.last_lines()}"
        )


def _parts(settings: Settings) -> "Parts":
    from senogate.federation.parts import Parts

    return Parts(settings)


def _migrate(settings: Settings, progress: Progress) -> None:
    from senogate.backup import upgrade

    upgrade.migrate(settings, progress)


def _renew_loopback(settings: Settings) -> None:
    from gateway.fleet import loopback

    loopback.ensure(settings, renew=True)


@contextmanager
def running(settings: Settings, progress: Progress) -> Iterator[Site]:
    """Start the site in `settings.home`, and end it when the block ends. Raises ConfigurationError or Unavailable."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold what was received a moment before
    with ExitStack() as stack:
        settings.home.mkdir(parents=True, exist_ok=True)
        stack.enter_context(only_one(settings.home))
        if (settings.home / RESTORING).exists():
            raise ConfigurationError(
                "a restore was cut short here: go on with it by the same `senogate restore`"
            )
        cluster = None if settings.database_url else locate(settings.home)
        settings = complete(settings)
        _check_ports(settings)
        check_profile(settings)
        orthanc.check_version(orthanc.program_of(settings), settings)
        for folder in (settings.home / "logs", settings.home / "orthanc", Path(settings.storage)):
            folder.mkdir(parents=True, exist_ok=True)
        site_secrets.prepare(settings)
        if settings.federation.exists():
            _renew_loopback(settings)
        if cluster:
            cluster.create()
        orthanc.write_configuration(settings)
        site = Site(settings)
        stack.callback(site.stop)
        site.start(cluster, progress)
        yield site


def readiness(settings: Settings) -> dict:
    """The gateway's own word on whether every part answers; `{"ready": False}` when it gives none."""
    import httpx  # which most commands do without

    url = f"{own_gateway.address(settings)}/health/ready"
    try:
        answer = httpx.get(url, timeout=10, trust_env=False, verify=own_gateway.certificate(settings))
        return {"ready": answer.status_code == 200, "parts": answer.json()}
    except (httpx.HTTPError, ValueError):
        return {"ready": False}


def count_held(settings: Settings) -> dict[str, int]:
    """How many instances of the spool wait for the worker, and how many for a person. Raises Unavailable."""
    settings = complete(settings)
    connection = DurableConnection(settings.database_url)
    try:
        counted = Spool(settings.spool, connection).count_open()
    finally:
        connection.close()
    return {
        "awaiting_cleaning": counted[State.WAITING] + counted[State.CLEANING],
        "awaiting_review": counted[State.QUARANTINED],
    }


def _check_ports(settings: Settings) -> None:
    if len({settings.port, settings.dicom_port, settings.orthanc_port}) < 3:
        raise ConfigurationError("port, dicom_port and orthanc_port must be three different ones")
    for key, host in {"port": settings.host, "dicom_port": "", "orthanc_port": "127.0.0.1"}.items():
        number = getattr(settings, key)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, number))
            except OSError:
                raise ConfigurationError(
                    f"port {number} is taken: set SENOGATE_{key.upper()} to a free one"
                ) from None
