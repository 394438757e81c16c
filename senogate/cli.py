"""The command line. Exit status 2 for wrong usage, 1 for a failure, 0 otherwise."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archive import logs
from archive import settings as site_settings
from archive.errors import SenogateError
from archive.findings import Task
from archive.purpose import Purpose
from senogate import services, site
from senogate.cluster import complete
from senogate.groups import Commands
from senogate.home import running_pid
from senogate.operator import AsJson, err, out, say, seconds, site_of_home

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False
)
app.add_typer(services.app)


class Density(StrEnum):
    """A category of breast density."""

    A, B, C, D = "a", "b", "c", "d"


class Only(StrEnum):
    """What alone is brought back to a site that has the rest of itself (senogate/backup/restoring.py)."""

    KEYS, FILES = "keys", "files"


class Make(StrEnum):
    """A make of phantom mammograph (inference/phantom/vendor.py)."""

    ALPHA, BETA, GAMMA, DELTA = "alpha", "beta", "gamma", "delta"


def main() -> None:
    """Run the command line; our own errors become one line and exit status 1."""
    try:
        logs.configure(*(os.environ.get(f"SENOGATE_LOG_{name}", "") for name in ("LEVEL", "FORMAT")))
        app()
    except SenogateError as error:
        err.print(f"senogate: {error}", markup=False)
        sys.exit(1)
    except PermissionError as error:
        err.print(f"senogate: this user may not use {error.filename or 'it'}", markup=False)
        sys.exit(1)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def send(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files and folders.")],
    wait: Annotated[bool, typer.Option("--wait", help="Until the studies are indexed and read.")] = False,
    as_json: AsJson = False,
    associations: Annotated[int, typer.Option(min=1, max=16, help="Associations at once.")] = 4,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that --wait waits.")] = 300,
) -> None:
    """C-STORE files and folders to the site; exit status 1 when any was refused, or none was DICOM."""
    from senogate.send import Sending

    sending = Sending(site_of_home(), paths, associations)
    with _progress(disable=as_json) as progress:
        task = progress.add_task("sending", total=len(sending.items))
        result = sending.run(lambda: progress.advance(task))
    try:
        if wait:
            result = sending.wait(result, timeout)
    finally:  # what was sent is said also where waiting was in vain
        if as_json:
            out.print_json(json.dumps(result.to_json()))
        else:
            out.print(result.to_text(), markup=False)
    raise typer.Exit(0 if result.is_complete else 1)


@app.command()
def deidentify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN OUT", help="A file or folder, and the folder to write to; or what to verify."
        ),
    ],
    profile: Annotated[
        str | None, typer.Option(help="A shipped profile, or the path of a TOML file.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write what became of each file as JSON.")] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, help="32 bytes, in place of the site's key.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Write nothing; say which files carry a valid proof of the site.")
    ] = False,
) -> None:
    """De-identify files without a running site; exit status 1 when any was refused, or carries no proof."""
    from senogate import deidentifying

    order = deidentifying.read_order(site_settings.load(), profile, key)
    for path in paths if verify else paths[:1]:
        if not path.exists():
            raise typer.BadParameter(f"{path} does not exist", param_hint="PATH")
    if not verify and len(paths) != 2:
        raise typer.BadParameter("name what to de-identify and the folder to write to", param_hint="IN OUT")
    result: deidentifying.Report | deidentifying.Verification
    with _progress() as progress:

        def begin(total: int) -> Callable[[], object]:
            task = progress.add_task("verifying" if verify else "de-identifying", total=total)
            return lambda: progress.advance(task)

        if verify:
            result = deidentifying.verify(order, paths, begin)
        else:
            result = deidentifying.run(order, paths[0], paths[1], begin)
    if report:
        report.write_text(result.to_json() + "\n", "utf-8")
    out.print(result.to_text(), markup=False)
    raise typer.Exit(0 if result.is_complete else 1)


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")],
    exams: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the first exam; the others follow it.")] = 0,
    lesions: Annotated[
        str | None, typer.Option(help="Such as mass,calcifications in each exam, or none; else drawn.")
    ] = None,
    density: Annotated[Density | None, typer.Option(help="The category of every exam; else drawn.")] = None,
    vendor: Annotated[Make | None, typer.Option(help="The made-up make of all; else drawn.")] = None,
    benign: Annotated[bool, typer.Option(help="Put benign look-alikes in.")] = True,
    tomosynthesis: Annotated[
        bool, typer.Option("--tomosynthesis", help="Write tomosynthesis planes of each view too.")
    ] = False,
    spacing: Annotated[
        float | None, typer.Option(min=0.05, max=1, help="Millimetres; else the make's own.")
    ] = None,
) -> None:
    """Write screening exams of synthetic breasts as DICOM, with truth.json. They stand for no patient."""
    from inference.phantom.study import Order
    from senogate.phantom import parse_lesions, write_exams

    order = Order(
        lesions=None if lesions is None else parse_lesions(lesions),
        benign=benign,
        category=density and density.value,
        vendor=vendor and vendor.value,
        spacing=spacing,
    )
    with _progress() as progress:
        task = progress.add_task("drawing phantoms", total=exams)
        seeds = range(seed, seed + exams)
        write_exams(order, seeds, folder, lambda: progress.advance(task), tomosynthesis=tomosynthesis)


@app.command()
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


@app.command()
def infer(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="STUDY", help="Study Instance UIDs, as the site knows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every study of the site.")] = False,
    task: Annotated[list[Task] | None, typer.Option(help="Only for these tasks.")] = None,
) -> None:
    """Have studies read again, by the models that are enabled now; the site's workers do it."""
    from senogate.infer import infer

    if bool(studies) == everything:
        raise typer.BadParameter("name studies, or --all", param_hint="STUDY")
    count = infer(site_of_home(), studies or None, task or ())
    say(f"{count} readings are due")


@app.command()
def reindex(
    processes: Annotated[int, typer.Option(min=1, help="Processes that read files.")] = os.cpu_count() or 1,
) -> None:
    """Build the index anew from what Orthanc holds; go on with it where it was cut short."""
    from senogate import indexing

    settings = site_of_home()
    with _progress() as progress:
        task = progress.add_task("indexing", total=None)
        count = indexing.rebuild(settings, lambda number: progress.advance(task, number), processes)
    say(f"{count} instances are indexed")


@app.command()
def restore(
    destination: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="The folder of the backups.")
    ],
    name: Annotated[str, typer.Option(help="As `backup list` shows it; else the newest.")] = "",
    key: Annotated[Path | None, typer.Option(exists=True, help="The private key of `backup key`.")] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(exists=True, help="Its first line opens it.")
    ] = None,
    only: Annotated[
        Only | None, typer.Option(help="Only what of the keys, or of the stored files, is lost.")
    ] = None,
    erased: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="Receipts of what was erased after the last backup."),
    ] = None,
    ignore_newer: Annotated[
        bool, typer.Option("--ignore-newer", help="Leave out what newer backups say was erased.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the site of a backup in an empty home, or bring back what of a site was lost."""
    from senogate import restoring

    opener = restoring.opener_of(key, passphrase_file)
    order = restoring.Order(destination, name, opener, only, tuple(erased or ()), ignore_newer)
    restored = restoring.run(site_settings.load(), order, quiet=as_json)
    if as_json:
        out.print_json(json.dumps(restored.to_json()))
    else:
        say(restored.to_text())


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="A file of `upgrades/` in the home; else the newest.")] = "",
) -> None:
    """Put the database of a stopped site back as it was before an upgrade; what was received since stays."""
    from senogate.backup import upgrade

    dump = upgrade.roll_back(site_settings.load(), name, say)
    say(f"the database is as {dump.name} has it: install the release of that time, and start the site")


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


def _progress(disable: bool = False) -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=disable, transient=True)
