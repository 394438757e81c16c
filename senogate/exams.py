"""The commands through which exams go: sent, de-identified, drawn, and read again."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archive import settings as site_settings
from archive.findings import Task
from senogate.operator import AsJson, bar, out, say, site_of_home


class Density(StrEnum):
    """A category of breast density."""

    A, B, C, D = "a", "b", "c", "d"


class Make(StrEnum):
    """A make of phantom mammograph (inference/phantom/vendor.py)."""

    ALPHA, BETA, GAMMA, DELTA = "alpha", "beta", "gamma", "delta"


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
    with bar(disable=as_json) as progress:
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
    with bar() as progress:

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
    with bar() as progress:
        task = progress.add_task("drawing phantoms", total=exams)
        seeds = range(seed, seed + exams)
        write_exams(order, seeds, folder, lambda: progress.advance(task), tomosynthesis=tomosynthesis)


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
