"""`senogate crosswalk`: what it holds, who opened it, and, for who has the private key, whom a pseudonym stands for."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from archive import reidentification, secrets
from archive import settings as site_settings
from archive.pool import autocommitting
from archive.reidentification import Opened
from deidentification.seal import open_sealed
from senogate.operator import site_of_home
from senogate.user import user

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
app = typer.Typer(
    no_args_is_help=True, help="Whom pseudonyms stand for: only with the private key, and noted."
)


@app.command("list")
def list_pseudonyms(as_json: AsJson = False) -> None:
    """Count what the crosswalk holds and list its studies, by pseudonym."""
    with autocommitting(site_of_home().database_url) as connection:
        counts, studies = reidentification.counts(connection), reidentification.pseudonyms(connection)
    if as_json:
        rows = [{"pseudonym": pseudonym, "since": since.isoformat()} for pseudonym, since in studies]
        _show_json({"counts": counts, "studies": rows})
        return
    typer.echo(", ".join(f"{kind} {count}" for kind, count in counts.items()) or "empty")
    for pseudonym, since in studies:
        typer.echo(f"{pseudonym}  {since:%Y-%m-%d %H:%M}")


@app.command("open")
def open_pseudonym(
    pseudonym: Annotated[
        str, typer.Argument(help="A pseudonymous Study, Series or SOP Instance UID, or Patient ID.")
    ],
    key: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The private key, 32 bytes.")],
    reason: Annotated[str, typer.Option(help="What it is opened for; it is kept, so name nobody in it.")],
) -> None:
    """Print as JSON whom a pseudonym stands for; who, when and why is noted before."""
    _show_json(asdict(open_identity(key, pseudonym, reason)))


@app.command("audit")
def audit(as_json: AsJson = False) -> None:
    """Every opening there was, the first first."""
    with autocommitting(site_of_home().database_url) as connection:
        rows = reidentification.openings(connection)
    if as_json:
        _show_json([asdict(row) | {"opened_at": row.opened_at.isoformat()} for row in rows])
        return
    for row in rows:
        outcome = "opened" if row.was_opened else "not opened: another key"
        typer.echo(
            f"{row.number}  {row.opened_at:%Y-%m-%d %H:%M:%S}  {row.opened_by}  {row.kind} {row.pseudonym}"
            f"  {outcome}  {row.reason}"
        )


@app.command("rotate-key")
def rotate_key() -> None:
    """Seal everything to a new key: identities and what is spooled. The site is down meanwhile."""
    from senogate import rekeying

    identities, spooled = rekeying.rotate(site_settings.load())
    typer.echo(
        f"{identities} identities and {spooled} spooled instances are sealed to a new key: back it up now"
    )


def open_identity(key: Path, pseudonym: str, reason: str) -> Opened:
    """Whom a pseudonym stands for. Raises ConfigurationError for a key that is none, and as `reidentify` does."""
    private = secrets.read_key(str(key.parent), key.name)
    unseal = partial(open_sealed, private)
    with autocommitting(site_of_home().database_url) as connection:
        return reidentification.reidentify(connection, unseal, pseudonym, opened_by=user(), reason=reason)


def _show_json(content: object) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))
