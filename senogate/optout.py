"""`senogate optout`: patients whose studies are withheld from everybody until they withdraw."""

import json
from typing import Annotated

import typer

from archive import optout, prepared
from archive.errors import BadRequest
from archive.optout import OptOut, TrainingUse
from archive.pool import autocommitting
from archive.settings import Settings
from deidentification.patient import patient_pseudonyms
from deidentification.pseudonym import Pseudonyms
from senogate.operator import AsJson, read_secret, site_of_home
from senogate.site_keys import keys_of
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="Patients whose studies are withheld from everybody.")

PatientID = Annotated[
    str,
    typer.Argument(
        help="The original Patient ID, or its pseudonym; read from standard input where it is - or left out, so that "
        "no list of processes shows it. It is neither stored nor printed.",
        show_default=False,
    ),
]
Issuer = Annotated[
    str,
    typer.Option(
        help="Issuer of Patient ID (0010,0021); without it, the Patient ID of whatever issuer is meant."
    ),
]


@app.command()
def add(patient_id: PatientID = "-", issuer: Issuer = "", as_json: AsJson = False) -> None:
    """Withhold all studies of a patient, those that come later too; say which models learnt from her."""
    settings = site_of_home()
    patients = pseudonyms_of(settings, read_patient_id(patient_id), issuer)
    with autocommitting(site_of_home().database_url) as connection:
        rows = optout.add(connection, patients, by=user())
        prepared.forget_withheld(settings, connection)
        trained = optout.trained_on(connection, patients)
    _show(rows, trained, as_json)
    if not as_json and not any(row.studies for row in rows):
        typer.echo("none of her studies is here: is the Patient ID right?")


@app.command()
def withdraw(patient_id: PatientID = "-", issuer: Issuer = "") -> None:
    """Withdraw an opt-out: what was withheld is there again, as it was."""
    patients = pseudonyms_of(site_of_home(), read_patient_id(patient_id), issuer)
    with autocommitting(site_of_home().database_url) as connection:
        optout.withdraw(connection, patients, by=user())
    typer.echo("the opt-out is withdrawn")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Who opted out, by pseudonym, and how many of their studies are withheld."""
    with autocommitting(site_of_home().database_url) as connection:
        rows = optout.find(connection)
    if as_json:
        typer.echo(json.dumps([row.to_json() for row in rows]))
        return
    for row in rows:
        typer.echo(_line(row))


@app.command()
def status(patient_id: PatientID = "-", issuer: Issuer = "", as_json: AsJson = False) -> None:
    """Whether a patient has opted out, and which models learnt from her."""
    patients = pseudonyms_of(site_of_home(), read_patient_id(patient_id), issuer)
    with autocommitting(site_of_home().database_url) as connection:
        rows, trained = optout.find(connection, patients), optout.trained_on(connection, patients)
    _show(rows, trained, as_json)
    if not as_json and not rows:
        typer.echo("the patient has not opted out")


def read_patient_id(given: str) -> str:
    """What was given, or a line of standard input."""
    return read_secret("Patient ID") if given == "-" else given


def pseudonyms_of(settings: Settings, patient_id: str, issuer: str) -> tuple[str, ...]:
    """The pseudonyms that the patient may have at this site. Raises BadRequest, ConfigurationError."""
    keys = keys_of(settings)
    try:
        return patient_pseudonyms(Pseudonyms(keys), patient_id, issuer)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _show(rows: list[OptOut], trained: list[TrainingUse], as_json: bool) -> None:
    if as_json:
        found = {"opt_outs": [row.to_json() for row in rows], "trained": [each.to_json() for each in trained]}
        typer.echo(json.dumps(found))
        return
    for row in rows:
        typer.echo(_line(row))
    for each in trained:
        typer.echo(f"learnt from her: {each.model} {each.version}, run {each.run}, {each.at:%Y-%m-%d}")


def _line(row: OptOut) -> str:
    return f"{row.patient_id}  {row.added_at:%Y-%m-%d %H:%M}  {row.added_by}  studies withheld: {row.studies}"
