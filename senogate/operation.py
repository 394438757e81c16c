"""The commands that run a site and look at it, and the one that lets a program in."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from archive import settings as site_settings
from archive.purpose import Purpose
from senogate import site
from senogate.cluster import complete
from senogate.home import running_pid
from senogate.operator import AsJson, out, say, seconds, site_of_home


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Send the demo exam and wait for its report.")] = False,
) -> None:
    """Run a whole site in the foreground; Ctrl-C or SIGTERM ends it in order."""
    with _ending_on_signals(), site.running(site_settings.load(), say) as running:
        say(f"Senogate is ready at {running.settings.public_url}")
        if demo:
            from senogate.demo import show

            show(running.settings, say)
        running.supervise(say)


def down() -> None:
    """End the site that runs in this home, and wait until it has ended."""
    home = site_settings.load().home
    pid = running_pid(home)
    if pid is None:
        say(f"no site is running in {home}")
        return
    os.kill(pid, signal.SIGTERM)
    pause = threading.Event()
    while running_pid(home) == pid:
        pause.wait(0.1)


def status(as_json: AsJson = False) -> None:
    """Whether every part of the site answers, and what calls for somebody; exit status 1 when a part does not."""
    from senogate.state import lines, look

    settings = site_settings.load()
    state = site.readiness(settings) | {"home": str(settings.home), "pid": running_pid(settings.home)}
    parts = state.get("parts", {}).get("parts", {})
    items = look(complete(settings), {name: part.get("problem", "") for name, part in parts.items()})
    if state["ready"]:
        state["held"] = site.count_held(settings)
    state["state"] = [item.to_json() for item in items]
    if as_json:
        out.print_json(json.dumps(state))
    else:
        out.print(f"{settings.home}: {'ready' if state['ready'] else 'not ready'}", markup=False)
        for name, part in parts.items():
            out.print(f"  {name}: {part.get('problem', 'answers')}", markup=False)
        for name, count in state.get("held", {}).items():
            out.print(f"  {name.replace('_', ' ')}: {count}", markup=False)
        for line in lines(items):
            out.print(f"  {line}", markup=False)
    raise typer.Exit(0 if state["ready"] else 1)


def doctor(
    everything: Annotated[bool, typer.Option("--all", help="Tell of what is well, too.")] = False,
    deadline: Annotated[int, typer.Option("--seconds", min=1, help="How long to look at most.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with the site, and say what to do; exit status 1 when something is."""
    from senogate.doctor import visit

    found = visit.visit(deadline)
    if as_json:
        out.print_json(json.dumps(found.to_json()))
    else:
        out.print(found.to_text(everything), markup=False)
    raise typer.Exit(0 if found.is_healthy else 1)


def token(
    client: Annotated[str | None, typer.Option(help="The client the token speaks for.")] = None,
    scope: Annotated[str | None, typer.Option(help="Scopes, separated by spaces.")] = None,
    ttl: Annotated[str, typer.Option(help="How long it is valid, such as 90s, 15m, 1h.")] = "15m",
    permit: Annotated[str | None, typer.Option(help="The only permit that it may be used with.")] = None,
    purpose: Annotated[
        Purpose | None, typer.Option(help="The purpose of the only permits that it may be used with.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(exists=True, help="PEM; it is good on connections with this one alone.")
    ] = None,
) -> None:
    """Print a bearer token, and nothing else."""
    from senogate import tokens

    print(tokens.issue(site_of_home(), client, scope, seconds(ttl, least=1), permit, purpose, certificate))


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Leave the block, ending what it started, on SIGINT, SIGTERM or SIGHUP; a second signal changes nothing."""
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        ending.append(signal.SIGHUP)

    def leave(number: int, frame: object) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)
        with suppress(OSError, ValueError):  # not by `print`, which may be what was interrupted
            os.write(sys.stdout.fileno(), b"stopping\n")
        raise SystemExit(0)

    for number in ending:
        signal.signal(number, leave)
    yield
