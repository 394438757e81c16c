"""`senogate quality report|exam`: whether what the site holds is fit for use."""

import json
from typing import Annotated

import typer

from archive import datasets
from archive.pool import autocommitting
from archive.quality import exams
from archive.quality.checks import Dimension
from archive.quality.report import Report
from archive.quality.report import report as report_on
from archive.tiers import Tiers
from senogate.operator import AsJson, out, run, say, site_of_home

app = typer.Typer(no_args_is_help=True, help="Whether what the site holds is fit for use.")


@app.command("report")
def report(
    dataset: Annotated[str, typer.Argument(help="A dataset's name, or NAME@VERSION.", show_default=False)],
    now: Annotated[
        bool, typer.Option("--now", help="Look first at exams that the site has not looked at yet.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What share of a dataset's exams passes, which checks fail, and how well patients are hidden."""
    settings = site_of_home()
    number = run(settings, lambda connection: datasets.show(connection, dataset)).number
    with autocommitting(settings.database_url) as connection:
        if now:
            unseen = [one.study_instance_uid for one in exams.of_dataset(connection, number)]
            exams.look_through(connection, Tiers.of(settings), unseen)
        found = report_on(connection, number)
    if as_json:
        out.print_json(json.dumps({"dataset": dataset} | found.to_json()))
    else:
        _print(found)


@app.command("exam")
def exam(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Its pseudonymous Study Instance UID.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Look at an exam now, and say what is wrong with it."""
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        exams.of_study(connection, study)
        exams.check(connection, Tiers.of(settings), study)
        found = exams.of_study(connection, study)
    if as_json:
        out.print_json(json.dumps(found.to_json()))
        return
    say("nothing was found" if not found.findings else f"{len(found.findings)} findings")
    for one in found.findings:
        say(f"  {one.check.dimension}: {one.check}, {one.instances} {' '.join(one.attributes)}".rstrip())


def _print(found: Report) -> None:
    say(f"{found.checked} of {found.studies} exams were looked at")
    for dimension in Dimension:
        share = f"{100 * found.passed[dimension] / found.checked:.1f} %" if found.checked else "-"
        say(f"  {dimension}: {share} pass")
        for check, number in found.failed.items():
            if check.dimension == dimension:
                named = ", ".join(found.attributes[check])
                say(f"    {check}: {number} exams{f' ({named})' if named else ''}")
    risk = found.anonymity
    say(f"  {risk.patients} patients; the smallest group that is alike has {risk.smallest} (k)")
    if risk.exposed:
        advice = ", ".join(f"{keyword}: {step}" for keyword, step in risk.generalise.items())
        say(f"    {risk.exposed} are in groups of fewer than 5; told as {advice}, {risk.left} would be")
