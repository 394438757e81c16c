"""`senogate` commands, each in a process of its own, forked from one that has loaded what they need."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from senogate.groups import GROUPS

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["__main__", "senogate.send", "gateway.issuing"]
    + sorted({f"senogate.{place.partition('.')[0]}" for place in GROUPS.values()})
)


def run(
    arguments: tuple[str, ...], environment: Mapping[str, str], stdin: str, patience: float
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryDirectory(prefix="senogate-command-") as folder:
        for name, text in zip("012", (stdin, "", ""), strict=True):
            Path(folder, name).write_text(text)
        process = FORKS.Process(target=_run, args=(arguments, dict(environment), folder))
        process.start()
        process.join(patience)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["senogate", *arguments], patience)
        said = [Path(folder, name).read_text() for name in ("1", "2")]
        return subprocess.CompletedProcess(["senogate", *arguments], process.exitcode, *said)


def _run(arguments: tuple[str, ...], environment: dict[str, str], folder: str) -> None:
    from senogate.cli import main

    os.environ.clear()
    os.environ.update(environment)
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        descriptor = os.open(Path(folder, str(number)), flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has closed it
    sys.argv = ["senogate", *arguments]
    main()
