"""The commands that make anew what a site has lost: its index, all of it from a backup, its database of before."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archive import settings as site_settings
from senogate.operator import AsJson, bar, out, say, site_of_home


class Only(StrEnum):
    """What alone is brought back to a site that has the rest of itself (senogate/backup/restoring.py)."""

    KEYS, FILES = "keys", "files"


def reindex(
    processes: Annotated[int, typer.Option(min=1, help="Processes that read files.")] = os.cpu_count() or 1,
) -> None:
    """Build the index anew from what Orthanc holds; go on with it where it was cut short."""
    from senogate import indexing

    settings = site_of_home()
    with bar() as progress:
        task = progress.add_task("indexing", total=None)
        count = indexing.rebuild(settings, lambda number: progress.advance(task, number), processes)
    say(f"{count} instances are indexed")


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


def rollback(
    name: Annotated[str, typer.Argument(help="A file of `upgrades/` in the home; else the newest.")] = "",
) -> None:
    """Put the database of a stopped site back as it was before an upgrade; what was received since stays."""
    from senogate.backup import upgrade

    dump = upgrade.roll_back(site_settings.load(), name, say)
    say(f"the database is as {dump.name} has it: install the release of that time, and start the site")
