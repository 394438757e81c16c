"""Which processes of the site run: its parts are children of `senogate up`."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archive.errors import ConfigurationError
from archive.settings import Settings
from senogate import cluster, site
from senogate.doctor import gateway
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place
from senogate.federation import parts
from senogate.process import Program

_STEADY = 120.0  # seconds that a part has to run for; the younger one was started again
_BECOMES = {"superlink": "flower-superlink", "supernode": "flower-supernode"}
_TICKS = os.sysconf("SC_CLK_TCK")


class Child(NamedTuple):
    """A process: what it was called with, and for how many seconds it has run."""

    pid: int
    command: list[str]
    age: float


def look(place: Place) -> Iterator[Finding]:
    """Whether the site runs, and each of its parts."""
    if not place.runs_here:
        return
    if place.is_new:
        todo = "Start it; it makes all it needs."
        yield act("site", f"there is none in {place.settings.home} yet", todo, "senogate up")
        return
    if place.pid is None:
        yield _without_up(place)
        return
    yield fine("site", f"`senogate up` runs as process {place.pid}")
    children = list(_children(place.pid))
    age = _age(place.pid)
    for program in _programs(place):
        yield _process(place.settings, program, [each for each in children if _is(each, program)], age)


def _without_up(place: Place) -> Finding:
    if gateway.answers(place):
        return fine("site", "its parts run, each by itself")
    log = f"It may have been ended, or have ended itself: see how it was started, and {place.settings.home / 'logs'}."
    return act(
        "site", f"nothing runs of the site in {place.settings.home}", f"Start it. {log}", "senogate up"
    )


def _programs(place: Place) -> list[Program]:
    """What has to run; nothing where it is not installed, which another check tells."""
    with suppress(ConfigurationError):
        private = cluster.locate(place.settings.home) if place.has_cluster else None
        beside = [each.program for each in parts.wanted(place.settings).values()]
        return [*site.programs(place.settings, private), *beside]
    return []


def _process(settings: Settings, program: Program, found: list[Child], site_age: float) -> Finding:
    name, log = f"process-{program.name}", settings.home / "logs" / f"{program.name}.log"
    if not found:
        todo = f"It is started again and again; the end of {log} says why it ends."
        return act(name, f"{program.name} does not run", todo, f"tail {log}")
    if site_age - found[0].age > 2 * _STEADY and found[0].age < _STEADY:
        said = f"{program.name} was started again {found[0].age:.0f} s ago"
        return consider(name, said, f"See in {log} why the one before ended.", f"tail {log}")
    return fine(name, f"{program.name} runs as process {found[0].pid}")


def _is(child: Child, program: Program) -> bool:
    """Whether a process runs a program, which it may have become after a change of user or of itself."""
    if mark := _BECOMES.get(program.name):
        return any(mark in word for word in child.command) or child.command == program.command
    return bool(child.command) and child.command == program.command[-len(child.command) :]


def _children(parent: int) -> Iterator[Child]:
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it has ended
            if int(_fields(int(path.name))[1]) == parent:
                command = (path / "cmdline").read_bytes().split(b"\0")[:-1]
                yield Child(int(path.name), [os.fsdecode(word) for word in command], _age(int(path.name)))


def _fields(pid: int) -> list[str]:
    """Those of /proc/PID/stat after the name, which may hold anything: state, parent, … (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _age(pid: int) -> float:
    """Seconds that a process has run for; 0 where it has ended."""
    with suppress(OSError, IndexError):
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(_fields(pid)[19]) / _TICKS
    return 0.0
