"""What is measured: a whole site, and beside it a bare Orthanc with its own DICOMweb plugin, from the same files."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from archive.errors import Unavailable
from archive.pool import connect
from archive.settings import Settings
from benchmarks.report import family
from senogate import orthanc
from senogate.cluster import locate
from senogate.process import KEEPS_MEMORY
from senogate.scu import Receiver
from tests.live import LiveSite, temporary_home


@dataclass(frozen=True)
class Server:
    """A server under measurement: where its DICOM port and its DICOMweb are, and the process to charge."""

    name: str
    receiver: Receiver
    dicomweb: httpx.Client
    pid: int

    def processes(self) -> list[psutil.Process]:
        return family(self.pid)


@contextmanager
def peer(ports: list[int], script: Path | None = None) -> Iterator[Server]:
    """Orthanc with its C++ DICOMweb plugin and otherwise its defaults: what a site would use instead.

    With a `script` it has the Python plugin as well, which runs it.
    """
    http, dicom = ports
    with tempfile.TemporaryDirectory(prefix="senogate-peer-", ignore_cleanup_errors=True) as folder:
        settings = Settings(home=Path(folder), orthanc_port=http, dicom_port=dicom)
        program = orthanc.program_of(settings)
        plugins = orthanc.prefix_of(settings) / "usr/share/orthanc/plugins"
        configuration = {
            "HttpPort": http,
            "DicomPort": dicom,
            "StorageDirectory": f"{folder}/db",
            "IndexDirectory": f"{folder}/db",
            "Plugins": _plugins(plugins),
            "DicomWeb": {"Enable": True},
            "AuthenticationEnabled": False,
        }
        if script:
            configuration["Plugins"] = [*_plugins(plugins), str(plugins / "libOrthancPython.so")]
            configuration["PythonScript"] = str(script)
        file = Path(folder, "orthanc", "orthanc.json")
        file.parent.mkdir()
        file.write_text(json.dumps(configuration))
        with open(Path(folder, "log"), "wb") as log:
            process = subprocess.Popen(
                program.command, env=os.environ | dict(program.environment), stdout=log, stderr=log
            )
        try:
            base = f"http://127.0.0.1:{http}"
            _wait(f"{base}/system")
            client = httpx.Client(
                base_url=f"{base}/dicom-web", timeout=120, trust_env=False, headers=_IDENTITY
            )
            yield Server(
                "Orthanc 1.12.7 + DICOMweb 1.20", Receiver("127.0.0.1", dicom, "ORTHANC"), client, process.pid
            )
        finally:
            process.terminate()
            process.wait()


@contextmanager
def senogate(
    home: Path, ports: list[int], environment: Mapping[str, str] | None = None, gateways: int = 1
) -> Iterator[Server]:
    """A whole site with de-identification on."""
    own = {"SENOGATE_STABLE_AGE": "3600", "SENOGATE_GATEWAY_PROCESSES": str(gateways)}
    live = LiveSite(home, ports, own | dict(environment or {})).start()
    try:
        client = live.client()
        client.headers.update(_IDENTITY)
        receiver = Receiver("127.0.0.1", live.settings.dicom_port, live.settings.dicom_aet)
        yield Server("Senogate", receiver, client, live.pid)
    finally:
        live.stop()


def _plugins(folder: Path) -> list[str]:
    return [str(folder / "libOrthancDicomWeb.so")]


@contextmanager
def database(kept: Path | None = None, options: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a PostgreSQL of its own, as a site's private cluster is; in a folder that stays, or in none.

    `options` are settings of PostgreSQL for this time.
    """
    with nullcontext(kept / "home") if kept else temporary_home() as home:
        cluster = locate(home)
        cluster.create()
        with open(home.with_name("postgresql.log"), "wb") as log:
            environment = os.environ | KEEPS_MEMORY
            more = [part for name, value in (options or {}).items() for part in ("-c", f"{name}={value}")]
            process = subprocess.Popen([*cluster.command(), *more], env=environment, stdout=log, stderr=log)
        try:
            _connect(cluster.database_url)
            yield cluster.database_url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _connect(url: str) -> None:
    pause = threading.Event()
    for _ in range(300):
        try:
            connect(url).close()
        except Unavailable:
            pause.wait(0.1)
        else:
            return
    raise TimeoutError("PostgreSQL")


_IDENTITY = {"Accept-Encoding": "identity"}


def _wait(url: str) -> None:
    pause = threading.Event()
    for _ in range(300):
        try:
            httpx.get(url, trust_env=False)
        except httpx.HTTPError:
            pause.wait(0.1)
        else:
            return
    raise TimeoutError(url)
