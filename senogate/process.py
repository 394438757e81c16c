"""Processes of a site: started with a log of their own, ended in order, started again when they end by themselves."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_LARGEST_LOG = 20 * 1024**2  # bytes; a larger one is set aside, and the one that was set aside before is gone
_LONGEST_PAUSE = 30.0  # seconds between two starts of a process that keeps ending
_STEADY = 60.0  # seconds after which a start counts as a success
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1024**2), "MALLOC_TRIM_THRESHOLD_": str(8 * 1024**2)}
"""Environment of what makes answers of some hundred kilobytes: memory of that size that was freed is used again.

glibc else gives it back to the kernel after each of them, and to have it cleared and mapped anew for the next takes
twice the time of the answer itself.
"""


_SETPCAP = 8  # the capability to give capabilities up for good (capabilities(7))


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `stop_signal` asks it to end in order."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 15.0  # seconds it may take to end


class Process:
    """One running program. It ends with the process that started it, however that ends."""

    def __init__(self, program: Program, logs: Path) -> None:
        self.program = program
        self._log = logs / f"{program.name}.log"
        self._pause = 1.0
        self._not_before = 0.0
        self._started = 0.0
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen and self.is_running() else None

    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Run the program in a session of its own, so that Ctrl-C reaches only the one who orders the ending."""
        self.rotate_log()
        command = self.program.command
        ending = signal.Signals(self.program.stop_signal).name.removeprefix("SIG")
        tied = ["setpriv", "--pdeathsig", ending, "--no-new-privs", *_dropped()]
        if command[0] == "setpriv":  # changing user forgets the tie: it is set in the same step
            tied, command = [*command[:4], *tied[1:]], command[4:]
        with open(self._log, "ab") as log:
            self._popen = subprocess.Popen(
                [*tied, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | dict(self.program.environment),
                start_new_session=True,
            )
        self._started = time.monotonic()

    def keep_running(self) -> bool:
        """Start the program again when it ended; whether it had. Pauses double while it keeps ending."""
        if self.is_running():
            return False
        now = time.monotonic()
        if self._not_before <= self._started:  # its end is noticed now
            self._pause = 1.0 if now - self._started > _STEADY else min(self._pause * 2, _LONGEST_PAUSE)
            self._not_before = now + self._pause / 2
        if now < self._not_before:
            return False
        try:
            self.start()
        except OSError:  # a disk that takes no log, no process to be had: tried again like one that ended
            self._started = now
            return False
        return True

    def rotate_log(self) -> None:
        """Set a log aside that has grown too large. Its program has it open and goes on appending to it."""
        try:
            if self._log.stat().st_size <= _LARGEST_LOG:
                return
            with open(self._log, "r+b") as log, open(self._log.with_suffix(".log.1"), "wb") as aside:
                shutil.copyfileobj(log, aside)
                log.truncate(0)
        except OSError:
            return  # not written yet, or no room for both: it is looked at again soon

    def stop(self) -> None:
        """Ask the program to end, wait, and insist when its patience is over."""
        if self._popen is None or not self.is_running():
            return
        self._popen.send_signal(self.program.stop_signal)
        try:
            self._popen.wait(self.program.patience)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def last_lines(self, count: int = 5) -> str:
        """The end of the program's log, for an error message about its start."""
        try:
            return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-count:])
        except OSError:
            return ""


def _dropped() -> list[str]:
    """Options of setpriv by which a root's program keeps none of root's capabilities but that to listen on port 104.

    It is then the owner of root's files and no more. Empty for who is not root, or may not give capabilities up.
    """
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    if not int(effective, 16) >> _SETPCAP & 1:
        return []
    return ["--inh-caps=-all", "--bounding-set=-all,+net_bind_service"]
