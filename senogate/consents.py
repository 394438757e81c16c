"""`senogate consent`: what patients say of the use of their data."""

import json
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

from archive import consents, prepared
from archive.consents import Consent, Decision, Recorded, Scope, Statement
from archive.errors import BadRequest
from archive.fhir_consent import to_bundle, to_fhir
from archive.pool import autocommitting
from senogate.operator import AsJson, say, site_of_home
from senogate.optout import Issuer, PatientID, pseudonyms_of, read_patient_id
from senogate.permits import moment
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="What patients say of the use of their data.")

About = Annotated[Scope, typer.Option(help="What she consents to.")]
Text = Annotated[str, typer.Option(help="The SHA-256 of the text that she was shown, in hexadecimal.")]
Evidence = Annotated[str, typer.Option(help="Where the signed paper, or the record of it, is.")]
At = Annotated[str, typer.Option(help="When she said so: a day or a moment; now where it is left out.")]


@app.command()
def give(
    text_sha256: Text,
    evidence: Evidence,
    patient_id: PatientID = "-",
    issuer: Issuer = "",
    scope: About = Scope.DONATION,
    at: At = "",
    as_json: AsJson = False,
) -> None:
    """Record that a patient consents."""
    _record(Decision.GIVEN, (patient_id, issuer), scope, text_sha256, evidence, at, as_json)


@app.command()
def withdraw(
    text_sha256: Text,
    evidence: Evidence,
    patient_id: PatientID = "-",
    issuer: Issuer = "",
    scope: About = Scope.DONATION,
    at: At = "",
    as_json: AsJson = False,
) -> None:
    """Record that she withdraws: her studies are withheld; say what was done with them."""
    _record(Decision.WITHDRAWN, (patient_id, issuer), scope, text_sha256, evidence, at, as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """The newest 1000 statements; with --json as a FHIR Bundle."""
    with autocommitting(site_of_home().database_url) as connection:
        found = consents.find(connection)
    if as_json:
        typer.echo(json.dumps(to_bundle(found, site_of_home().public_url)))
        return
    for each in found:
        say(_line(each))


@app.command()
def show(identifier: str, as_json: AsJson = False) -> None:
    """A statement; with --json as a FHIR Consent."""
    try:
        key = uuid.UUID(identifier)
    except ValueError:
        raise BadRequest("a consent's identifier is a UUID") from None
    with autocommitting(site_of_home().database_url) as connection:
        found = consents.show(connection, key)
    typer.echo(json.dumps(to_fhir(found, site_of_home().public_url))) if as_json else say(_line(found))


@app.command()
def history(patient_id: PatientID = "-", issuer: Issuer = "", as_json: AsJson = False) -> None:
    """All that a patient said, the newest first; with --json as a FHIR Bundle."""
    settings = site_of_home()
    patients = pseudonyms_of(settings, read_patient_id(patient_id), issuer)
    with autocommitting(site_of_home().database_url) as connection:
        found = consents.find(connection, patients)
    if as_json:
        typer.echo(json.dumps(to_bundle(found, settings.public_url)))
        return
    for each in found:
        say(_line(each))


@app.command()
def demand(
    dataset: str,
    scope: About = Scope.DONATION,
    none: Annotated[bool, typer.Option("--none", help="Let others see all of it again.")] = False,
) -> None:
    """Let others see of a dataset the studies alone whose patients consented; of everything: let nobody see others."""
    settings = site_of_home()
    with autocommitting(site_of_home().database_url) as connection:
        consents.demand(connection, dataset, None if none else scope, by=user())
        prepared.forget_withheld(settings, connection)
    say(f"{dataset} wants no consent" if none else f"{dataset} wants a consent to {scope}")


def _record(
    decision: Decision,
    patient: tuple[str, str],
    scope: Scope,
    text_sha256: str,
    evidence: str,
    at: str,
    as_json: bool,
) -> None:
    settings = site_of_home()
    statement = Statement(decision, scope, text_sha256, evidence, moment(at) or datetime.now(UTC))
    patients = pseudonyms_of(settings, read_patient_id(patient[0]), patient[1])
    with autocommitting(site_of_home().database_url) as connection:
        recorded = consents.record(connection, patients, statement, by=user())
        prepared.forget_withheld(settings, connection)
    if as_json:
        typer.echo(json.dumps(recorded.to_json()))
    else:
        _tell(recorded)


def _tell(recorded: Recorded) -> None:
    say(_line(recorded.consent))
    say(f"her studies here: {recorded.studies}, withheld: {recorded.withheld}")
    if recorded.consent.decision == Decision.WITHDRAWN:
        for each in recorded.trained:
            say(f"learnt from her: {each.model} {each.version}, run {each.run}, {each.at:%Y-%m-%d}")
        say(f"permits under which her studies were read: {', '.join(recorded.permits) or 'none'}")
    if not recorded.studies:
        say("none of her studies is here: is the Patient ID right?")


def _line(each: Consent) -> str:
    is_current = "" if each.is_current else "  (replaced)"
    return (
        f"{each.id}  {each.stated_at:%Y-%m-%d}  {each.decision}  {each.scope}  "
        f"{each.patients[0]}  {each.recorded_by}{is_current}"
    )
