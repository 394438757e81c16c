"""`senogate erase`: a study, or all of a patient, removed for good from all that the site holds; with a receipt."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jwt
import typer
from rich.progress import Progress

from archive import erasing, erasure, optout, prepared, secrets
from archive.durable import DurableConnection
from archive.erasing import Site
from archive.erasure import Erasure, Kind
from archive.errors import BadRequest
from archive.orthanc import Orthanc
from archive.pool import autocommitting
from archive.settings import Settings
from archive.spool import Spool
from archive.tiers import Tiers
from deidentification.stored import is_proven
from gateway.signing import ALGORITHMS, SigningKeys
from senogate.backup.receipts import is_genuine
from senogate.operator import AsJson, err, site_of_home
from senogate.optout import Issuer, PatientID, pseudonyms_of, read_patient_id
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="Remove a study or a patient for good, with a receipt.")

CUT_SHORT = 60.0  # seconds after which who asked for an erasure, and is not at it, does not go on with it
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept, so name nobody in it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask whether to go on.")]


@app.command()
def study(
    uid: Annotated[str, typer.Argument(help="Study Instance UID, the original one or its pseudonym.")],
    reason: Why = "",
    yes: Yes = False,
) -> None:
    """Erase a study and all that was made of it; print the receipt."""
    from senogate.deidentifier import deidentifier_of

    settings = site_of_home()
    if not uid or set(uid) - set("0123456789.") or len(uid) > 64:
        raise BadRequest("a Study Instance UID has digits and dots alone, at most 64")
    _erase(settings, Kind.STUDY, (deidentifier_of(settings).uid(uid),), reason, yes)


@app.command()
def patient(patient_id: PatientID = "-", issuer: Issuer = "", reason: Why = "", yes: Yes = False) -> None:
    """Erase all studies of a patient and all that was made of them; print the receipt."""
    settings = site_of_home()
    pseudonyms = pseudonyms_of(settings, read_patient_id(patient_id), issuer)
    with autocommitting(settings.database_url) as connection:
        found = optout.patients(connection, pseudonyms)
    if len(found) > 1:
        raise BadRequest(
            "several patients have this Patient ID, by different issuers: name one with --issuer"
        )
    _erase(settings, Kind.PATIENT, (*found,) or pseudonyms, reason, yes)


@app.command()
def resume() -> None:
    """Go on with every erasure that was cut short; print the receipts."""
    settings = site_of_home()
    with _site(settings) as where:
        for each in erasure.find(where.connection):
            if each.completed_at is None:
                typer.echo(_carry_out(where, each.id))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every erasure that was asked for; those that are not complete are gone on with by `resume`."""
    with autocommitting(site_of_home().database_url) as connection:
        found = erasure.find(connection)
    if as_json:
        typer.echo(json.dumps([_row(each) for each in found]))
    for each in [] if as_json else found:
        state = f"{each.completed_at:%Y-%m-%d %H:%M}" if each.completed_at else "not complete"
        typer.echo(f"{each.id}  {each.kind:<7}  {each.pseudonyms[0]}  {state}")


@app.command()
def receipt(identifier: Annotated[str, typer.Argument(help="As `senogate erase list` shows it.")]) -> None:
    """Print the receipt of a complete erasure again."""
    with autocommitting(site_of_home().database_url) as connection:
        found = erasure.read(connection, identifier)
    if found.receipt is None:
        raise BadRequest("the erasure is not complete: `senogate erase resume` goes on with it")
    typer.echo(found.receipt)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A receipt, as it was printed.")],
) -> None:
    """Whether this site signed a receipt and nobody changed it since; exit status 1 where not."""
    valid = is_genuine(_signing_keys(site_of_home()), path.read_text("utf-8"))
    typer.echo("the receipt is genuine" if valid else "the receipt is NOT genuine")
    raise typer.Exit(0 if valid else 1)


def go_on(settings: Settings) -> int:
    """Go on with every erasure that was cut short; their number.

    Raises Conflict where another process erases, Unavailable where a part of the site does not answer.
    """
    with autocommitting(settings.database_url) as connection:
        due = erasure.cut_short(connection, CUT_SHORT)
    if due:
        with _site(settings) as where:
            for identifier in due:
                erasing.carry_out(where, identifier)
    return len(due)


def _erase(settings: Settings, kind: Kind, pseudonyms: tuple[str, ...], reason: str, yes: bool) -> None:
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Erase the {kind} {pseudonyms[0]} for good?", abort=True, err=True)
    with _site(settings) as where:
        identifier = erasure.ask(where.connection, kind, pseudonyms, by=user(), reason=reason)
        typer.echo(_carry_out(where, identifier))


def _carry_out(where: Site, identifier: str) -> str:
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("erasing instances", total=None)
        return erasing.carry_out(where, identifier, partial(progress.advance, task))


@contextmanager
def _site(settings: Settings) -> Iterator[Site]:
    from archive.follow import Follower
    from senogate.deidentifier import deidentifier_of

    proof_key = deidentifier_of(settings).proof_key
    tiers = Tiers.of(settings)
    rows = DurableConnection(settings.database_url)
    with (
        closing(Orthanc(settings)) as orthanc,
        closing(rows),
        autocommitting(settings.database_url) as connection,
    ):
        yield Site(
            connection=connection,
            orthanc=orthanc,
            tiers=tiers,
            spool=Spool(settings.spool, rows),
            sign=_signer(_signing_keys(settings)),
            index=Follower(connection, orthanc, tiers, partial(is_proven, proof_key)).index,
            forget_prepared=partial(prepared.forget, settings),
            name=settings.public_url,
        )


def _signing_keys(settings: Settings) -> SigningKeys:
    return SigningKeys.load(Path(settings.secrets, secrets.SIGNING_KEY))


def _signer(keys: SigningKeys) -> Callable[[bytes], str]:
    """Signs as a compact JWS (RFC 7515 section 3.1) whose type keeps it from being taken for a token."""
    key = keys.keys[0]
    headers = {"kid": key.kid, "typ": "senogate-erasure+json"}
    return lambda payload: jwt.PyJWS(algorithms=list(ALGORITHMS)).encode(
        payload, key.private, algorithm=key.algorithm, headers=headers
    )


def _row(each: Erasure) -> dict[str, Any]:
    times = {name: at and at.isoformat() for name, at in asdict(each).items() if name.endswith("_at")}
    kept = ("id", "kind", "pseudonyms", "asked_by", "reason", "removed")
    return {name: getattr(each, name) for name in kept} | times
