"""What a node of a federation runs beside a site: a hub its SuperLink and conductor, a site its way out to the hub, its
SuperNode and its trainer. Each runs while the node is what it is for (`hub.json`, `site.json`).
"""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from archive.federation_roles import HUB, SITE
from archive.loading import loading
from archive.measure_sockets import published
from archive.settings import Settings
from gateway.fleet import flower, loopback
from senogate.process import Process, Program

_PARTS = {HUB: ("superlink", "conductor"), SITE: ("relay", "supernode", "trainer")}
_STRAYS = (b"flower-superexec", b"flwr-serverapp")
_PATIENCE = {"superlink": 10.0, "supernode": 10.0, "relay": 15.0, "conductor": 15.0, "trainer": 15.0}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part that has to run, and the state of the file that says so: where that changes, the part is started anew."""

    program: Program
    stamp: tuple[int, ...]


def wanted(settings: Settings) -> dict[str, Wanted]:
    """By its name each part that this node runs now, in the order of their start."""
    environment = settings.environment
    found: dict[str, Wanted] = {}
    for file, names in _PARTS.items():
        stamp = _stamp(settings.federation / file)
        for name in names if stamp else ():
            command = [sys.executable, "-m", "senogate", name]
            found[name] = Wanted(Program(name, command, environment, patience=_PATIENCE[name]), stamp)
    return found


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when the file is written anew; empty where there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return ()
    return (state.st_mtime_ns, state.st_ino)


class _SuperLink(Process):
    """Flower's SuperLink with what it starts: of that nothing is left where it ends, however it does."""

    def __init__(self, program: Program, logs: Path, settings: Settings) -> None:
        super().__init__(program, logs)
        self._settings = settings

    def start(self) -> None:
        _end_strays(self._settings)
        super().start()

    def stop(self) -> None:
        super().stop()
        _end_strays(self._settings)


def _end_strays(settings: Settings) -> None:
    """End at once what a SuperLink of this node has left behind: it is told by Flower's folder in its environment."""
    mark = b"FLWR_HOME=" + os.fsencode(flower.home(settings))
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it is another user's, or has ended
            is_ours = mark in (path / "environ").read_bytes().split(b"\0")
            if is_ours and any(name in (path / "cmdline").read_bytes() for name in _STRAYS):
                os.kill(int(path.name), signal.SIGKILL)


class Parts:
    """The parts of a federation that run beside a site."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[str, tuple[Wanted, Process]] = {}
        self._lacks_flower = find_spec("flwr") is None
        self._has_told = False

    @property
    def processes(self) -> list[Process]:
        return [process for _, process in self._running.values()]

    def follow(self) -> list[str]:
        """Start what has to run and does not, end what has not to; what happened, in words."""
        now = wanted(self._settings)
        said = [self._end(name) for name in reversed(list(self._running)) if not self._is(name, now)]
        missing = [name for name in now if name not in self._running]
        if missing and self._lacks_flower:
            return said + self._tell_once()
        if missing:
            loopback.ensure(self._settings)
            flower.choose_ports(self._settings, self._running)
        return said + [self._start(name, now[name]) for name in missing]

    def keep_running(self) -> list[str]:
        """Start those again that ended by themselves; their names."""
        for process in self.processes:
            process.rotate_log()
        return [process.program.name for process in self.processes if process.keep_running()]

    def stop(self) -> None:
        """End every part, the last started first."""
        for name in reversed(list(self._running)):
            self._end(name)

    def _is(self, name: str, now: dict[str, Wanted]) -> bool:
        return name in now and now[name].stamp == self._running[name][0].stamp

    def _start(self, name: str, each: Wanted) -> str:
        logs = self._settings.home / "logs"
        process = (
            _SuperLink(each.program, logs, self._settings)
            if name == "superlink"
            else Process(each.program, logs)
        )
        self._running[name] = (each, process)
        process.start()
        return f"starting {name}"

    def _tell_once(self) -> list[str]:
        told, self._has_told = self._has_told, True
        return (
            []
            if told
            else ["this node is of a federation and lacks Flower: `make setup-federation` sets it up"]
        )

    def _end(self, name: str) -> str:
        self._running.pop(name)[1].stop()
        return f"ended {name}"


def become_superlink(settings: Settings) -> NoReturn:
    """Become Flower's SuperLink. Raises ConfigurationError."""
    _become(settings, flower.superlink_command(_prepared(settings)), settings.environment)


def become_supernode(settings: Settings) -> NoReturn:
    """Become Flower's SuperNode, which is told nothing but where the relay is. Raises ConfigurationError."""
    _become(settings, flower.supernode_command(_prepared(settings)), {})


def _prepared(settings: Settings) -> Settings:
    """The settings of a node whose parts have ports, also where each is a container of its own."""
    flower.ensure_ports(settings)
    return settings


def _become(settings: Settings, command: list[str], told: Mapping[str, str]) -> NoReturn:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SENOGATE_")}
    os.execve(command[0], command, flower.environment(settings, own | dict(told)))  # noqa: S606 - made here


def run_relay(settings: Settings) -> None:
    """Carry what the site's SuperNode says to the hub, until SIGTERM. Raises ConfigurationError."""
    with loading():
        from gateway.fleet import outward

    with published(settings, "relay"):
        outward.run(_prepared(settings))


def run_conductor(settings: Settings) -> None:
    """Conduct the hub's runs until SIGTERM. Raises ConfigurationError."""
    with loading():
        conductor = import_module("federation.hub.conductor")
    with published(settings, "conductor"):
        conductor.main(_prepared(settings))


def run_trainer(settings: Settings) -> None:
    """Train at this site until SIGTERM. Raises ConfigurationError."""
    with loading():
        trainer = import_module("federation.site.trainer")
    with published(settings, "trainer"):
        trainer.main(_prepared(settings))
