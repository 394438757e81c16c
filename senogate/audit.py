"""`senogate audit`: whether the trail is as it was written, what is in it, and the trail in others' forms."""

import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from archive import audit_log, checkpoints, state
from archive.audit import Event, write
from archive.audit_codes import Entry
from archive.audit_event import audit_event
from archive.audit_log import Gaps
from archive.audit_message import audit_message
from archive.chain import Fault, not_ours
from archive.errors import BadRequest
from archive.pool import autocommitting, queries
from archive.settings import Settings
from deidentification.pseudonym import Pseudonyms
from senogate.operator import site_of_home
from senogate.site_keys import keys_of
from senogate.user import user

app = typer.Typer(
    no_args_is_help=True, help="The audit trail: who did what, and whether that is as it was written."
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Since = Annotated[datetime | None, typer.Option(help="No earlier than this, in UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Earlier than this, in UTC.")]


class Form(StrEnum):
    """What the trail can be exported as."""

    FHIR = "fhir"
    DICOM = "dicom"
    RECORDS = "records"


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="Records that were moved or exported.")
    ] = None,
    head: Annotated[
        list[Path],
        typer.Option(exists=True, dir_okay=False, help="A signed head kept elsewhere; may be given again."),
    ] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Find every record that was changed, removed or moved; exit status 1 where there is any."""
    settings = site_of_home()
    known = checkpoints.signers(settings)
    if file is not None:
        faults, extent = checkpoints.find_faults_of_file(file, known), str(file)
    else:
        given = [checkpoints.read_checkpoint(path.read_text("utf-8")) for path in head]
        kept = [each for each in given if known.allow(each)]
        if beside := checkpoints.kept_head(settings.audit):
            kept.append(beside)
        with autocommitting(settings.database_url) as connection:
            faults = checkpoints.find_faults(connection, known, kept)
            extent = _extent(connection)
            state.note(connection, state.VERIFIED, faults=len(faults))
        faults += [not_ours(each) for each in given if not known.allow(each)]  # no word against the trail
    _print_faults(faults, extent, as_json)
    raise typer.Exit(1 if faults else 0)


@app.command()
def head() -> None:
    """Sign how the trail ends now and print that: kept elsewhere, it proves later that nothing before it is missing."""
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        signed = checkpoints.sign_head(connection, checkpoints.private_key(settings), settings.audit)
    if signed is None:
        raise BadRequest("the trail has no record yet")
    typer.echo(json.dumps(signed.to_json()))


@app.command("rotate-key")
def rotate_key() -> None:
    """Sign the trail with a new key from now on; what the key before it signed still verifies."""
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        signed = checkpoints.rotate(connection, settings, by=user())
    typer.echo(f"{signed.key_id} signs, from record {signed.number} on" if signed else "a new key signs")


@app.command("list")
def list_(
    since: Since = None,
    until: Until = None,
    event: Annotated[Event | None, typer.Option(help="Only of this kind.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only of this subject, such as client:viewer.")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What was done, the latest first."""
    with autocommitting(site_of_home().database_url) as connection:
        found = audit_log.entries(
            connection, since=_utc(since), until=_utc(until), event=event, subject=subject, last=last
        )
        _print(found, as_json)


@app.command()
def report(
    patient: Annotated[
        str | None,
        typer.Option(help="A Patient ID, pseudonymous or original; - reads it from the standard input."),
    ] = None,
    issuer: Annotated[str, typer.Option(help="The original Patient ID's issuer.")] = "",
    permit: Annotated[str | None, typer.Option(help="A permit's identifier.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every access to a patient's studies, or every use of a permit; that it was asked for is recorded.

    A search is told where its answer listed studies of the patient: the ends of their UIDs are in `shown`.
    """
    if (patient is None) == (permit is None):
        raise typer.BadParameter("name a patient or a permit", param_hint="--patient")
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        if permit is not None:
            write(connection, Event.EXPORT, subject=user(), permits=[permit], detail={"form": "report"})
            found = audit_log.of_permit(connection, permit)
        else:
            pseudonym = _pseudonym(settings, patient or "", issuer)
            write(
                connection,
                Event.EXPORT,
                subject=user(),
                patient_id=pseudonym,
                detail={"form": "report"},
            )
            found = audit_log.of_patient(connection, pseudonym)
        _print(found, as_json)
        if permit is None:
            _print_gaps(audit_log.gaps(connection), as_json)


@app.command()
def export(
    form: Annotated[
        Form, typer.Option("--as", help="FHIR AuditEvents, DICOM audit messages, or records to verify.")
    ] = Form.FHIR,
    since: Since = None,
    until: Until = None,
    after: Annotated[int, typer.Option(min=0, help="Only what comes after this record.")] = 0,
) -> None:
    """Print the trail, a line each; that it was exported is recorded. Records are exported all together."""
    if form == Form.RECORDS and (since or until or after):
        raise typer.BadParameter("records verify all together only", param_hint="--as")
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        write(connection, Event.EXPORT, subject=user(), detail={"form": form.value, "after": after})
        if form == Form.RECORDS:
            sys.stdout.writelines(checkpoints.all_lines(connection))
            return
        render = _renderer(form, settings.public_url)
        found = audit_log.entries(connection, after=after, since=_utc(since), until=_utc(until))
        sys.stdout.writelines(render(entry) + "\n" for entry in found)


@app.command()
def retire(
    before: Annotated[datetime, typer.Option(help="Move what is older than this, in UTC.")],
    as_json: AsJson = False,
) -> None:
    """Move old records from the table into a file in the site's folder `audit`; both verify by themselves."""
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        moment = _utc(before) or before
        file = checkpoints.retire(connection, checkpoints.private_key(settings), settings.audit, moment)
    if as_json:
        typer.echo(json.dumps({"file": str(file) if file else None}))
    else:
        typer.echo(str(file) if file else "nothing is older")


def _renderer(form: Form, public_url: str) -> Callable[[Entry], str]:
    if form == Form.DICOM:
        return lambda entry: audit_message(entry, public_url)
    return lambda entry: json.dumps(audit_event(entry, public_url), ensure_ascii=False)


def _print_faults(faults: list[Fault], extent: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"faults": [fault._asdict() for fault in faults], "extent": extent}))
        return
    for fault in faults:
        where = f"{fault.first}" if fault.first == fault.last else f"{fault.first} to {fault.last}"
        typer.echo(f"{where}: {fault.problem}")
    typer.echo(f"{extent}: {'NOT as it was written' if faults else 'as it was written'}")


def _print(found: Iterable[Entry], as_json: bool) -> None:
    for entry in found:
        if as_json:
            typer.echo(json.dumps(entry.to_json(), ensure_ascii=False))
            continue
        about = " ".join(filter(None, (entry.study, entry.patient, *entry.permits)))
        shown = {"shown": ",".join(entry.shown)} if entry.shown else {}
        details = " ".join(f"{name}={value}" for name, value in sorted((dict(entry.detail) | shown).items()))
        typer.echo(
            f"{entry.number}  {entry.time}  {entry.event}  {entry.outcome}  {entry.subject}  {about}  {details}"
        )


def _print_gaps(gaps: Gaps, as_json: bool) -> None:
    """What the report can't tell; beside the lines for programs, not among them."""
    if gaps.searches:
        silent = f"{gaps.searches} searches, the last {gaps.until} (record {gaps.last}),"
        typer.echo(f"{silent} do not say which studies they listed", err=as_json)
    if gaps.first is not None and gaps.first > 1:
        typer.echo(f"records before {gaps.first} were moved to files and are not in this report", err=as_json)


def _extent(connection: psycopg.Connection) -> str:
    ((count, first, last),) = connection.execute(queries("audit.sql")["extent"]).fetchall()
    signed = checkpoints.checkpoints(connection)[-1:]
    ends = [f"signed up to {each.number} at {each.signed_at}" for each in signed] or ["not signed yet"]
    return ", ".join([f"{count} records, {first} to {last}" if count else "no record", *ends])


def _pseudonym(settings: Settings, text: str, issuer: str) -> str:
    """The pseudonym of a Patient ID, which may be one; `-` stands for a line of the standard input."""
    patient_id = sys.stdin.readline().strip() if text == "-" else text
    if not patient_id:
        raise typer.BadParameter("there is no Patient ID", param_hint="--patient")
    keys = keys_of(settings)
    return Pseudonyms(keys).patient_id(patient_id, issuer)


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)
