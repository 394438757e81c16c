"""A whole site on one machine under one home: PostgreSQL, Orthanc with the plugin, gateway, worker and keeper."""

import fcntl
import json
import os
import resource
import secrets as random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import own_gateway, secrets
from archive.durable import DurableConnection
from archive.errors import ConfigurationError, Unavailable
from archive.pool import connect
from archive.settings import Settings
from archive.spool import Spool, State
from deidentification.profile import Profile, ProfileError
from deidentification.seal import generate_keypair
from gateway.signing import SigningKeys
from senogate import orthanc
from senogate.cluster import Cluster, locate
from senogate.configuration import note_configuration
from senogate.process import KEEPS_MEMORY, Process, Program

if TYPE_CHECKING:
    from senogate.federation.parts import Parts

CHECKOUT = Path(__file__).resolve().parent.parent
START_PATIENCE = 120.0  # seconds for each part of a site to answer after it was started
RESTORING = "restoring"  # a file in the home, while a backup is being restored there
Progress = Callable[[str], None]


def complete(settings: Settings) -> Settings:
    """The settings with the address of the private cluster, where no other database is configured."""
    return (
        settings
        if settings.database_url
        else replace(settings, database_url=locate(settings.home).database_url)
    )


def check_profile(settings: Settings) -> None:
    """Raise ConfigurationError, which says what is wrong, for a de-identification profile that can't be used."""
    try:
        Profile.load(settings.profile)
    except ProfileError as error:
        raise ConfigurationError(str(error)) from None


def prepare(settings: Settings) -> None:
    """Make the secrets of a new site: once, so that a lost one is missed and not replaced.

    Raises ConfigurationError.
    """
    keys = Path(settings.secrets)
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    if crosswalk_key_to_come(settings).exists():
        raise ConfigurationError(
            "another key for the crosswalk was begun: `senogate crosswalk rotate-key` goes on with it"
        )
    if (keys / secrets.COMPLETE).exists():
        names = (
            secrets.SITE_KEY,
            secrets.CROSSWALK_PUBLIC_KEY,
            secrets.ORTHANC_PASSWORD,
            secrets.SIGNING_KEY,
        )
        if absent := [name for name in names if not (keys / name).exists()]:
            raise ConfigurationError(
                f"{keys} lacks {', '.join(absent)}: keys are never made anew, restore the backup"
            )
        _make_signing_keys(settings)
        return
    private, public = generate_keypair()
    secrets.write(Path(settings.crosswalk_key), private)
    secrets.write(keys / secrets.CROSSWALK_PUBLIC_KEY, public)
    secrets.write(keys / secrets.SITE_KEY, random.token_bytes(32))
    secrets.write(keys / secrets.ORTHANC_PASSWORD, random.token_urlsafe(32).encode())
    SigningKeys.load_or_create(keys / secrets.SIGNING_KEY)
    _make_signing_keys(settings)
    secrets.write(
        keys / secrets.COMPLETE, b"The keys of this site were made once; they are never made anew.\n"
    )


def crosswalk_key_to_come(settings: Settings) -> Path:
    """Where the crosswalk's next private key lies while everything is sealed to it (senogate/rekeying.py)."""
    key = Path(settings.crosswalk_key)
    return key.with_name(f"{key.name}.next")


def _make_signing_keys(settings: Settings) -> None:
    """Make the keys that sign audit trail and models, where a site has none yet; what they signed shows their loss."""
    for private, public in (
        (secrets.audit_key(settings), secrets.AUDIT_PUBLIC_KEY),
        (secrets.model_key(settings), secrets.MODEL_PUBLIC_KEY),
    ):
        if not Path(settings.secrets, public).exists():
            key = Ed25519PrivateKey.generate()
            secrets.write(private, key.private_bytes_raw())
            secrets.write(Path(settings.secrets, public), key.public_key().public_bytes_raw())


def orthanc_configuration(settings: Settings) -> dict[str, object]:
    """The repository's orthanc.json with this site's paths, ports and password in it."""
    configuration = json.loads((CHECKOUT / "orthanc.json").read_text("utf-8")) | orthanc.options(settings)
    password = secrets.orthanc_password(settings)
    library = orthanc_prefix(settings) / "usr/share/orthanc/plugins/libOrthancPython.so"
    return configuration | {
        "StorageDirectory": settings.storage,
        "IndexDirectory": str(settings.home / "orthanc" / "index"),
        "Plugins": [str(library), *orthanc.plugins(settings)],
        "PythonScript": str(CHECKOUT / "orthanc_plugin" / "plugin.py"),
        "DicomAet": settings.dicom_aet,
        "DicomPort": settings.dicom_port,
        "HttpPort": settings.orthanc_port,
        "RegisteredUsers": {settings.orthanc_user: password},
    }


def write_orthanc_configuration(settings: Settings) -> Path:
    """Write what `orthanc_configuration` says where Orthanc's user alone reads it. Raises ConfigurationError."""
    path = _orthanc_configuration_file(settings)
    path.touch(mode=0o600)
    path.write_text(json.dumps(orthanc_configuration(settings), indent=2))
    return path


def become_orthanc(settings: Settings) -> NoReturn:
    """Become the site's Orthanc, with the plugin in it. Raises ConfigurationError."""
    write_orthanc_configuration(settings)
    command = _orthanc_command(settings)
    environment = os.environ | settings.environment | _orthanc_environment(settings)
    os.execve(command[0], command, environment)  # noqa: S606 - made here


def orthanc_program(settings: Settings) -> Program:
    """Orthanc with the configuration in the site's home."""
    return Program("orthanc", _orthanc_command(settings), _orthanc_environment(settings), patience=30)


def programs(settings: Settings, cluster: Cluster | None) -> list[Program]:
    """What a site runs, in the order of its start."""
    environment = settings.environment
    senogate = [sys.executable, "-m", "senogate"]
    parts = [
        orthanc_program(settings),
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
        orthanc.check_version(orthanc_program(settings), settings)
        for folder in (settings.home / "logs", settings.home / "orthanc", Path(settings.storage)):
            folder.mkdir(parents=True, exist_ok=True)
        prepare(settings)
        if settings.federation.exists():
            _renew_loopback(settings)
        if cluster:
            cluster.create()
        write_orthanc_configuration(settings)
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


def running_pid(home: Path) -> int | None:
    """The process that runs the site in `home`, or None."""
    try:
        with open(home / "up.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int((home / "up.lock").read_text())
    except OSError:
        pass
    return None


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """While this process is the one that has the home. Raises ConfigurationError where another has it."""
    with open(home / "up.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"the site in {home} is running already: `senogate down` ends it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


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


def orthanc_prefix(settings: Settings) -> Path:
    """Where Orthanc is unpacked, or the root of the file system where the distribution installed it."""
    if settings.orthanc_prefix:
        return Path(settings.orthanc_prefix)
    own = CHECKOUT / ".orthanc"
    return own if own.exists() else Path("/")


def _orthanc_configuration_file(settings: Settings) -> Path:
    return settings.home / "orthanc" / "orthanc.json"


def _orthanc_command(settings: Settings) -> list[str]:
    prefix = orthanc_prefix(settings)
    program, configuration = prefix / "usr/sbin/Orthanc", _orthanc_configuration_file(settings)
    if not program.exists():
        raise ConfigurationError(
            "Orthanc is not installed: `make run` sets it up, or set SENOGATE_ORTHANC_PREFIX"
        )
    if prefix == Path("/"):
        return [str(program), str(configuration)]
    libraries = [*prefix.glob("usr/lib/*-linux-gnu*"), *prefix.glob("lib/*-linux-gnu*")]
    loaders = [loader for library in libraries for loader in library.glob("ld-linux-*")]
    if not loaders:
        raise ConfigurationError(
            f"{prefix} is no root that Orthanc is installed under: set SENOGATE_ORTHANC_PREFIX"
        )
    path = ":".join(map(str, [*libraries, prefix / "usr/lib/orthanc"]))
    return [str(loaders[0]), "--library-path", path, str(program), str(configuration)]


def _orthanc_environment(settings: Settings) -> dict[str, str]:
    """What the embedded Python and an Orthanc outside of its own root need to find their files."""
    prefix = orthanc_prefix(settings)
    wheels = settings.orthanc_python or str(CHECKOUT / ".orthanc-python")
    # What it compiles it keeps: its library comes as source, which takes two seconds of each start.
    environment = {"PYTHONPATH": f"{wheels}:{CHECKOUT}", "PYTHONDONTWRITEBYTECODE": ""}
    if prefix == Path("/"):
        return environment
    dictionaries = [prefix / "usr/share/dcmtk" / name for name in ("dicom.dic", "private.dic")]
    return environment | {
        "PYTHONHOME": str(prefix / "usr"),
        "DCMDICTPATH": ":".join(map(str, dictionaries)),
    }
