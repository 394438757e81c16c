"""`senogate backup DESTINATION`, and what else is done with backups: list, verify, remove, make a key."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from typer.core import TyperGroup

from archive.errors import BadRequest
from senogate.backup import keys
from senogate.backup.keys import Opener, Sealing
from senogate.backup.repository import Repository
from senogate.operator import AsJson, err, out, read_secret, say, show, site_of_home


class _MakesOne(TyperGroup):
    """`senogate backup DESTINATION` makes one: what is no command's name is a destination."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakesOne,
    no_args_is_help=True,
    help="Copy all of a site elsewhere while it runs: `senogate backup DESTINATION`.",
)

Folder = Annotated[Path, typer.Argument(help="The folder of the backups.", show_default=False)]
Existing = Annotated[Path, typer.Argument(help="The folder of the backups.", exists=True, file_okay=False)]
Name = Annotated[
    str, typer.Option("--name", help="As `backup list` shows it. [default: the newest]", show_default=False)
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", exists=True, dir_okay=False, help="Its first line is the passphrase."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", exists=True, dir_okay=False, help="The private key that `backup key` made."),
]


@app.command("make", hidden=True)
def make(
    destination: Folder,
    recipient: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A public key of `backup key`, in place of a passphrase."
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    keep: Annotated[int, typer.Option(min=0, help="Remove all but so many afterwards; 0: none.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Copy all of the site; what an earlier backup there has already is not copied again."""
    from senogate.backup.making import make as make_backup

    sealing = _sealing(recipient, passphrase_file)
    with progress_of("backing up", disable=as_json) as advance:
        made = make_backup(site_of_home(), destination, sealing, advance)
    removed = _keep(Repository(destination), keep, made.name) if keep else []
    if as_json:
        out.print_json(json.dumps(made.to_json() | {"removed": removed}))
        return
    say(f"{made.name}: {made.instances} instances, {made.size:,} bytes; {made.copied} files were copied now")


@app.command("list")
def list_backups(destination: Existing, as_json: AsJson = False) -> None:
    """The whole backups, the oldest first."""
    repository = Repository(destination)
    rows = []
    for name in repository.names():
        told = repository.manifest(name)
        rows.append(
            {
                "name": name,
                "instances": told.instances,
                "bytes": told.size,
                "release": told.release,
                "sealed_to": told.sealing["by"],
            }
        )
    show(rows, as_json)


@app.command("verify")
def verify(
    destination: Existing,
    name: Name = "",
    key: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Read a backup whole; with a key or a passphrase open it, too. Exit status 1 where anything is wrong."""
    from senogate.backup.verifying import verify as verify_backup

    opener = opener_of(key, passphrase_file) if key or passphrase_file else None
    with progress_of("verifying", disable=as_json) as advance:
        found = verify_backup(site_of_home(), destination, name, opener, advance)
    if as_json:
        out.print_json(json.dumps(found.to_json()))
    else:
        for problem in found.problems:
            say(problem)
        state = f"{len(found.problems)} problems" if found.problems else "whole"
        say(f"{found.name}: {state}, {found.files} files{'' if found.opened else '; not opened'}")
    raise typer.Exit(1 if found.problems else 0)


@app.command("remove")
def remove(
    destination: Existing, name: Annotated[str, typer.Argument(help="As `backup list` shows it.")]
) -> None:
    """Remove a backup, and the files that no other there needs."""
    repository = Repository(destination)
    _remove(repository, [repository.choose(name)])


@app.command("key")
def make_key(file: Annotated[Path, typer.Argument(help="A new file.", show_default=False)]) -> None:
    """Make a key that opens backups, in a new file; its public half, which they are sealed to, goes beside it."""
    try:
        beside = keys.make(file)
    except FileExistsError:
        raise BadRequest(f"{file} or its public half exists already") from None
    say(f"{file} opens backups: keep it away from the site. {beside} is for --recipient")


def opener_of(key: Path | None, passphrase_file: Path | None) -> Opener:
    """What opens a backup; a passphrase is asked for, or read from standard input, where neither is named."""
    return Opener(key=key) if key else Opener(passphrase=_passphrase(passphrase_file, twice=False))


@contextmanager
def progress_of(what: str, *, disable: bool) -> Iterator[Callable[[int], object]]:
    """A bar that is told of bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=err, disable=disable, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda size: progress.advance(task, size)


def _sealing(recipient: Path | None, passphrase_file: Path | None) -> Sealing:
    if recipient:
        return keys.for_recipient(recipient)
    return keys.for_passphrase(_passphrase(passphrase_file, twice=True))


def _passphrase(file: Path | None, *, twice: bool) -> str:
    if file:
        return file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    found = read_secret("Passphrase", twice=twice)
    if not found:
        raise typer.BadParameter(
            "say what the backup is sealed to: a passphrase on standard input, --passphrase-file or --recipient",
            param_hint="passphrase",
        )
    return found


def _keep(repository: Repository, number: int, made: str) -> list[str]:
    """Remove all but the newest; never the one just made, whatever the clock said when others were."""
    gone = [name for name in repository.names()[:-number] if name != made]
    _remove(repository, gone)
    return gone


def _remove(repository: Repository, names: list[str]) -> None:
    """Remove backups, then what they alone had. Nobody makes one there meanwhile."""
    from senogate.backup import listing

    with repository.alone():
        for name in names:
            repository.remove(name)
        rest = [listing.read(repository.path(name) / "files.gz") for name in repository.names()]
        repository.sweep({(kept.section, kept.place) for listed in rest for kept in listed})
