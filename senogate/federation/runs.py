"""`senogate federation run start|list|show|logs|stop`: what sites train together, at the hub."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from psycopg import Connection

from archive import runs
from archive.errors import BadRequest, Conflict, NotFound
from archive.federation_roles import read_hub
from archive.pool import connect, translated_errors
from archive.purpose import Purpose
from archive.runs import Round, Run, Said, State
from archive.settings import Settings
from senogate.federation import app
from senogate.operator import AsJson, out, say, show, site_of_home
from senogate.user import user

run_app = typer.Typer(no_args_is_help=True, help="What sites train together.")
app.add_typer(run_app, name="run")
Name = Annotated[str, typer.Argument(metavar="RUN", help="R and 16 digits, as `run list` shows it.")]
_STRATEGIES = ("fedavg", "fedprox", "fedadam")
_AGGREGATIONS = ("mean", "median", "trimmed-mean")
NormBound = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Largest change of the weights that is taken of a site; 0: any. Without it: their own norm at first.",
        show_default=False,
    ),
]
Parameters = Annotated[
    list[str],
    typer.Option(
        "--parameter", metavar="NAME=NUMBER", help="Such as proximal_mu=0.01 (docs/federated-runs.md)."
    ),
]


@run_app.command("start")
def start(
    task: Annotated[str, typer.Option(help="What is learnt: density or lesions.")],
    dataset: Annotated[str, typer.Option(help="The dataset's name, which each site looks up at home.")],
    rounds: Annotated[int, typer.Option(min=1, help="How many times weights travel.")] = 10,
    strategy: Annotated[
        str, typer.Option(help=f"How the weights of the sites become one: {', '.join(_STRATEGIES)}.")
    ] = "fedavg",
    min_sites: Annotated[
        int, typer.Option(min=1, help="Sites that have to approve it, and to answer in each round.")
    ] = 2,
    purpose: Annotated[Purpose, typer.Option(help="For which the sites' permits have to be.")] = (
        Purpose.ALGORITHMS
    ),
    aggregation: Annotated[
        str, typer.Option(help=f"What is taken of the sites' weights: {', '.join(_AGGREGATIONS)}.")
    ] = "mean",
    norm_bound: NormBound = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over a site's examples in a round.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Examples of a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of the sites' steps.")] = 1e-3,
    patience: Annotated[
        int, typer.Option(min=0, help="Rounds without a better figure after which it ends; 0: all rounds.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the first weights and of chance.")] = 0,
    noise: Annotated[
        float, typer.Option(min=0, help="Noise multiplier of private training; 0: not private.")
    ] = 0.0,
    max_grad_norm: Annotated[
        float, typer.Option(min=0, help="What one exam may change, in private training.")
    ] = 1.0,
    delta: Annotated[float, typer.Option(min=0, help="The δ that private training's ε is reported for.")] = (
        1e-5
    ),
    parameter: Parameters = [],  # noqa: B006 - never changed
    as_json: AsJson = False,
) -> None:
    """Propose a run: sites see it from now on, and it begins when enough of them have approved it."""
    # What trains is loaded here alone: it takes seconds.
    from federation.hub.asked import training
    from federation.hub.proposal import propose

    settings, _ = _hub()
    terms = {
        "task": task, "dataset": dataset, "purpose": purpose, "rounds": rounds, "min_sites": min_sites,
        "strategy": strategy, "aggregation": aggregation, "norm_bound": norm_bound,
        "parameters": _parameters(parameter), "epochs": epochs,
        "batch": batch, "learning_rate": learning_rate, "patience": patience, "seed": seed,
        "noise": noise, "max_grad_norm": max_grad_norm, "delta": delta,
    }  # fmt: skip
    manifest = training(settings, terms)
    with _database(settings) as connection:
        propose(settings, connection, manifest, by=user())
    if as_json:
        show([{"run": manifest.run, "sha256": manifest.sha256}], as_json)
    else:
        say(f"{manifest.run} waits until {min_sites} sites approve it; its manifest is {manifest.sha256}")


@run_app.command("list")
def list_runs(as_json: AsJson = False) -> None:
    """The runs, the last first."""
    settings, _ = _hub()
    with _database(settings) as connection:
        found = runs.latest(connection)
    show([_line(run) for run in found], as_json)


@run_app.command("show")
def show_run(run: Name, as_json: AsJson = False) -> None:
    """A run: its settings, what the sites said, where it is, and the figures of its rounds."""
    settings, _ = _hub()
    with _database(settings) as connection:
        found, said = runs.find(connection, run), runs.answers(connection, run)
        rounds = runs.rounds(connection, run)
    told = {
        **_line(found),
        "submissions": found.submissions,
        "started_at": _moment(found.started_at),
        "ended_at": _moment(found.ended_at),
        "manifest": json.loads(found.manifest),
        "sha256": found.sha256,
        "answers": {one.member: str(one.decision) for one in said},
        "rounds": [asdict(one) | {"at": _moment(one.at)} for one in rounds],
    }
    if as_json:
        out.print_json(json.dumps(told))
    else:
        _print(found, said, rounds)


@run_app.command("logs")
def logs(run: Name, follow: Annotated[bool, typer.Option(help="Go on until the run ends.")] = False) -> None:
    """What the hub's server of a run wrote, since it was submitted last."""
    from federation.hub.control import Control

    settings, _ = _hub()
    with _database(settings) as connection:
        found = runs.find(connection, run)
    if found.flower_run is None:
        raise NotFound("the run has not been submitted yet")
    for text in Control(settings).logs(found.flower_run, follow=follow):
        out.print(text, end="", markup=False)


@run_app.command("stop")
def stop(run: Name, reason: Annotated[str, typer.Option(help="Why; it is kept, and shown.")] = "") -> None:
    """End a run now; nothing comes of it. It can't be taken up again."""
    settings, _ = _hub()
    with _database(settings) as connection:
        if not runs.end(connection, runs.find(connection, run).run, State.STOPPED, reason, by=user()):
            raise Conflict("the run has ended already")
    say(f"{run} is stopped")


def _hub() -> tuple[Settings, str]:
    """The settings of this node, and what it is hub of. Raises Conflict where it is none."""
    settings = site_of_home()
    hub = read_hub(settings)
    if hub is None:
        raise Conflict("this node is the hub of no federation: `senogate federation init` makes it one")
    return settings, hub.name


@contextmanager
def _database(settings: Settings) -> Iterator[Connection]:
    """One transaction at the hub's database. Raises Unavailable."""
    with connect(settings.database_url) as connection, translated_errors():
        yield connection


def _parameters(texts: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise BadRequest("a parameter is written as NAME=NUMBER") from None
    return found


def _line(run: Run) -> dict[str, Any]:
    manifest = json.loads(run.manifest)
    return {
        "run": run.run,
        "state": str(run.state),
        "kind": manifest["kind"],
        "task": manifest["task"],
        "dataset": manifest["dataset"],
        "round": run.round,
        "rounds": manifest["rounds"],
        "created_at": _moment(run.created_at),
        "by": run.created_by,
        "message": run.message,
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _print(run: Run, said: list[Said], rounds: list[Round]) -> None:
    manifest = json.loads(run.manifest)
    say(f"{run.run}  {run.state}  round {run.round} of {manifest['rounds']}  {run.message}")
    say(f"manifest {run.sha256}, submitted {run.submissions} times")
    for name in sorted(manifest.keys() - {"run", "rounds"}):
        if manifest[name] not in ("", {}, [], ()):
            say(f"  {name}: {manifest[name]}")
    for one in said:
        say(f"{one.member}  {one.decision}  {_moment(one.at)}")
    for each in rounds:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in sorted(each.figures.items()))
        away = [name for name, told in sorted(each.sites.items()) if "absent" in told]
        say(f"round {each.round}  {figures}{'  without ' + ', '.join(away) if away else ''}")
