"""`senogate federation evaluate|figures`: how model packages do on what sites hold out, at the hub."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from archive import evaluations
from archive.errors import NotFound
from archive.evaluations import Evaluated
from archive.purpose import Purpose
from senogate.federation import app
from senogate.operator import AsJson, out, run, say, site_of_home
from senogate.user import user

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Names, NAME-VERSION, or folders of packages; all of one task.",
        show_default=False,
    ),
]


@app.command("evaluate")
def evaluate(
    models: Models,
    dataset: Annotated[str, typer.Option(help="The dataset's name, which each site looks up at home.")],
    min_sites: Annotated[int, typer.Option(min=1, help="Sites that have to approve it, and to answer.")] = 2,
    purpose: Annotated[Purpose, typer.Option(help="For which the sites' permits have to be.")] = (
        Purpose.ALGORITHMS
    ),
    as_json: AsJson = False,
) -> None:
    """Propose to run packages on what the sites hold out: only protected counts come back."""
    # What evaluates is loaded here alone: it takes seconds.
    from archive.pool import connect, translated_errors
    from federation.hub.asked import evaluation
    from federation.hub.proposal import propose

    settings = site_of_home()
    named = [str(Path(one).resolve()) if Path(one, "passport.toml").is_file() else one for one in models]
    manifest, content = evaluation(settings, named, dataset, purpose=purpose, min_sites=min_sites)
    with connect(settings.database_url) as connection, translated_errors():
        propose(settings, connection, manifest, content, by=user())
    if as_json:
        out.print_json(
            json.dumps({"run": manifest.run, "sha256": manifest.sha256, "packages": manifest.packages})
        )
    else:
        say(f"{manifest.run} waits until {min_sites} sites approve it; its manifest is {manifest.sha256}")


@app.command("figures")
def figures(
    run_name: Annotated[
        str,
        typer.Argument(metavar="RUN", help="R and 16 digits, as `run list` shows it.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """What came of an evaluation: figures with 95 % intervals, in all and by site, vendor, age and density."""
    settings = site_of_home()
    found = run(settings, lambda connection: evaluations.of_run(connection, run_name))
    if not found:
        raise NotFound("nothing has come of an evaluation of this name yet")
    if as_json:
        out.print_json(json.dumps([_row(one) for one in found]))
    for each in [] if as_json else found:
        _print(each)


def _row(one: Evaluated) -> dict[str, Any]:
    return {
        "package": one.package,
        "task": one.task,
        "dataset": one.dataset,
        "model": one.model,
        "at": one.at.isoformat(timespec="seconds"),
        **one.joined,
    }


def _print(one: Evaluated) -> None:
    say(f"{one.model['title']} {one.model['version']} on {one.dataset}: AI, research use only")
    say(f"  trained on {one.model['trained_on']}")
    _print_figures(f"all {one.joined['exams']} exams", one.joined["figures"])
    for dimension, groups in one.joined["groups"].items():
        for label, told in groups.items():
            _print_figures(f"{dimension} {label}, {told['exams']} exams", told["figures"])


def _print_figures(heading: str, figures: Sequence[dict[str, Any]]) -> None:
    say(f"  {heading}{'' if figures else ': too few to tell'}")
    for one in figures:
        say(f"    {one['name']}  {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})")
