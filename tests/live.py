"""A real site in a process of its own, as the tests use it: started, asked, broken and ended from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from archive import secrets
from archive.settings import load
from deidentification.pseudonym import Pseudonyms
from senogate.cluster import complete
from senogate.site_keys import keys_of
from tests import commands

PATIENCE = 120.0  # seconds; no test is about how long a thing takes
_KEPT = 300.0  # seconds that a token is used again, of the 900 that it is valid


class LiveSite:
    """`senogate up` with a home and ports of its own; `inside` is what commands begin with that run where it does."""

    def __init__(
        self,
        home: Path,
        ports: list[int],
        extra: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
    ) -> None:
        port, dicom_port, orthanc_port = ports
        self.home = home
        self._inside = inside
        self.environment = os.environ | {
            "SENOGATE_HOME": str(home),
            "SENOGATE_PORT": str(port),
            "SENOGATE_DICOM_PORT": str(dicom_port),
            "SENOGATE_ORTHANC_PORT": str(orthanc_port),
            "SENOGATE_STABLE_AGE": "1",
            "SENOGATE_PIXEL_CLEANING": "automatic",
            "SENOGATE_WEBHOOK_NETWORKS": "127.0.0.1",
            **(extra or {}),
        }
        self.settings = complete(load(self.environment))
        self.base_url = self.settings.public_url
        self.dicomweb_url = self.settings.dicomweb_url
        self.orthanc_url = self.settings.orthanc_url
        self._process: subprocess.Popen[str] | None = None
        self._output: list[str] = []
        self._tokens: dict[str | None, tuple[float, str]] = {}

    def start(self, *arguments: str) -> "LiveSite":
        """Run `senogate up` and return when it says that it is ready."""
        self._tokens.clear()
        tied = ["setpriv", "--pdeathsig", "TERM", "--"]  # a test run that is killed takes its sites with it
        command = [*tied, *self._inside, sys.executable, "-m", "senogate", "up", *arguments]
        self._process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        ready = threading.Event()
        threading.Thread(target=self._read_output, args=(ready,), daemon=True).start()
        if not ready.wait(PATIENCE) or self._process.poll() is not None:
            self.stop()
            raise AssertionError("the site did not start:\n" + self.output)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the site and return its exit status; 0 for one that was never started."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(PATIENCE)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return "".join(self._output)

    def run(self, *arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one `senogate` command in this site's home, with `stdin` as its standard input."""
        if arguments[0] == "key":
            self._tokens.clear()
        if self._inside:
            command = [*self._inside, sys.executable, "-m", "senogate", *arguments]
            done = subprocess.run(command, env=self.environment, input=stdin, text=True, capture_output=True)
        else:
            done = commands.run(arguments, self.environment, stdin, 2 * PATIENCE)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def send(self, *paths: Path, wait: bool = True) -> dict[str, Any]:
        """C-STORE files and folders; what `senogate send --json` prints."""
        arguments = [
            "send",
            *map(str, paths),
            "--json",
            *(["--wait", "--timeout", str(int(PATIENCE))] if wait else []),
        ]
        done = self.run(*arguments, check=False)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def token(self, scope: str | None = None) -> str:
        """A token of the administrator's, the same for a while."""
        made, token = self._tokens.get(scope, (0.0, ""))
        if not token or time.monotonic() - made > _KEPT:
            token = self.run("token", *(["--scope", scope] if scope else [])).stdout.strip()
            self._tokens[scope] = time.monotonic(), token
        return token

    def client(self, scope: str | None = None) -> httpx.Client:
        """An HTTP client at DICOMweb's base URL, with a token."""
        headers = {"Authorization": f"Bearer {self.token(scope)}"}
        return httpx.Client(
            base_url=self.dicomweb_url, headers=headers, timeout=60, trust_env=False, verify=False
        )

    def orthanc(self) -> httpx.Client:
        """An HTTP client at Orthanc itself, with its password."""
        password = secrets.read(self.settings.secrets, secrets.ORTHANC_PASSWORD).decode()
        return httpx.Client(
            base_url=self.orthanc_url, auth=("senogate", password), timeout=60, trust_env=False, verify=False
        )

    def database(self) -> psycopg.Connection:
        return psycopg.connect(self.settings.database_url, autocommit=True)

    def pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(keys_of(self.settings))

    def stored_instances(self) -> int:
        with self.orthanc() as orthanc:
            return orthanc.get("/statistics").json()["CountInstances"]

    def child(self, name: str) -> int:
        """The process id of one part, by what it runs."""
        marks = {"postgresql": "postgres", "orthanc": "Orthanc", "superlink": "flower-superlink"}
        marks |= {"supernode": "flower-supernode"}
        mark = marks.get(name, f"senogate {name}")
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in map(int, children):
            if mark in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                return pid
        raise AssertionError(f"{name} does not run")

    def _read_output(self, ready: threading.Event) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            self._output.append(line)
            if line.startswith("Senogate is ready"):
                ready.set()
        ready.set()


def find_free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def temporary_home() -> Iterator[Path]:
    """The path of a home that is not there yet, in a folder that PostgreSQL's user can reach; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="senogate-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder, "home")


def eventually(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Ask again until the answer is true; fail when it never is."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not (answer := condition()):
        assert time.monotonic() < deadline, "what was waited for did not come"
        pause.wait(0.1)
    return answer
