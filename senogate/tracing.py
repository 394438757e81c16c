"""`senogate model trace`: what a model was made of, and whether a patient or a study is in it."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer

from archive import cohorts, federation_keys, optout
from archive import settings as site_settings
from archive.errors import BadRequest, NotFound
from archive.federation_roles import read_hub, read_site
from archive.pool import autocommitting, queries
from archive.settings import Settings
from inference import installed, package, trust
from inference.errors import PackageError
from inference.package import Package
from senogate.operator import AsJson, out, say, site_of_home

if TYPE_CHECKING:  # what a group of commands does not load before one of them is called
    from federation.provenance.trace import Found, Use
    from federation.provenance.verification import Provenance

app = typer.Typer()

Version = Annotated[str, typer.Option("--version", help="Which one, where there are several.")]


@app.command("trace")
def model_trace(
    model: Annotated[str, typer.Argument(help="A name, or the folder of a package.", show_default=False)],
    version: Version = "",
    verify_offline: Annotated[
        bool,
        typer.Option("--verify-offline", help="Only verify, with nothing but the package and trusted keys."),
    ] = False,
    patient: Annotated[
        str,
        typer.Option(
            help="Whether it learnt from this patient: the original ID, or its pseudonym; - reads it."
        ),
    ] = "",
    issuer: Annotated[str, typer.Option(help="Issuer of Patient ID of --patient.")] = "",
    study: Annotated[
        str, typer.Option(help="Whether it learnt from this study: the original UID, or its pseudonym.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """What a model was made of: which data, under which permits, round by round, verified from its own bytes."""
    from federation.provenance import trace

    settings = site_settings.load()
    found = _package(settings, model, version)
    record = trace.read_provenance(found, _hub_key(settings, found))
    if verify_offline:
        _tell_verified(found, record, as_json)
        return
    told = _told(settings, found, record)
    if patient or study:
        told["withdrawal"] = _withdrawal(site_of_home(), record, patient, issuer, study)
    if as_json:
        out.print_json(json.dumps(told))
    else:
        say("\n".join(_lines(found, record, told)))


def _package(settings: Settings, model: str, version: str) -> Package:
    """A package by name, or in a folder, signed by a trusted key. Raises PackageError."""
    folder = Path(model).resolve()
    if (folder / package.PASSPORT).exists():
        return package.load(folder, trust.trusted_keys(settings.home))
    return installed.look_up(settings.home, model, version).runnable()


def _hub_key(settings: Settings, found: Package) -> bytes | None:
    """The key of the hub that a model is of, where this node knows it: as its site, or as the hub itself."""
    named = found.passport.training.provenance.get("hub")
    joined, hub = read_site(settings), read_hub(settings)
    if joined and joined.hub_name == named:
        return joined.hub_key_bytes
    if hub and hub.name == named:
        return federation_keys.public_bytes(federation_keys.federation_key(settings))
    return None


def _told(settings: Settings, found: Package, record: "Provenance") -> dict[str, Any]:
    from federation.provenance import trace

    return {
        "model": found.reference,
        "title": found.model.title,
        "research_use_only": found.model.research_use_only,
        "signed_by": found.passport.signature.key if found.passport.signature else "",
        "record_sha256": found.record_sha256,
        "later_models": _later(settings, found, record),
    } | trace.to_json(record)


def _later(settings: Settings, found: Package, record: "Provenance") -> list[str]:
    """The models in this site that began with weights of this one's run."""
    from federation.provenance import trace

    weights = {one.weights_out for one in record.rounds}
    later = []
    for one in installed.packages(settings.home):
        if one.package is None or one.problem or one.reference == found.reference:
            continue
        try:
            began = trace.read_provenance(one.package).manifest.initial
        except (NotFound, PackageError):
            continue
        if began in weights:
            later.append(one.reference)
    return later


def _withdrawal(
    settings: Settings, record: "Provenance", patient: str, issuer: str, study: str
) -> dict[str, Any]:
    """Whether the model learnt from a patient, or from a study, of this site, and whether the patient has opted out."""
    with autocommitting(settings.database_url) as connection:
        pseudonyms = _patients(settings, connection, patient, issuer)
        studies = _studies(settings, connection, pseudonyms, study)
        asked = [found for one in studies if (found := _find(settings, connection, record, one))]
        trained = optout.trained_on(connection, pseudonyms)
        out_since = optout.find(connection, pseudonyms) if pseudonyms else []
    named = [one for one in trained if one.run == record.manifest.run]
    return {
        "touched": bool(asked or named),
        "studies": [one.to_json() for one in asked],
        "patient_was_learnt_from": bool(named),
        "opted_out": [one.to_json() for one in out_since],
    }


def _patients(settings: Settings, connection: psycopg.Connection, patient: str, issuer: str) -> Sequence[str]:
    from senogate.optout import pseudonyms_of, read_patient_id

    if not patient:
        return ()
    pseudonyms = pseudonyms_of(settings, read_patient_id(patient), issuer)
    return optout.patients(connection, pseudonyms) or pseudonyms


def _studies(
    settings: Settings, connection: psycopg.Connection, patients: Sequence[str], study: str
) -> list[str]:
    """The pseudonyms of the studies that are asked about."""
    from senogate.deidentifier import deidentifier_of

    found = connection.execute(queries("provenance.sql")["studies"], {"patients": list(patients)})
    studies = [one for (one,) in found]
    if study and (set(study) - set("0123456789.") or len(study) > 64):
        raise BadRequest("a Study Instance UID has digits and dots alone, at most 64")
    return [*studies, deidentifier_of(settings).uid(study)] if study else studies


def _find(
    settings: Settings, connection: psycopg.Connection, record: "Provenance", study: str
) -> "Found | None":
    from federation.provenance import trace
    from federation.site_key import derive

    joined = read_site(settings)
    own = federation_keys.public_bytes(federation_keys.federation_key(settings)) if joined else None
    return trace.find_study(
        record, study, own, derive(settings, "cohort"), lambda root: cohorts.leaves(connection, root)
    )


def _tell_verified(found: Package, record: "Provenance", as_json: bool) -> None:
    statements = sum(len(one.statements) for one in record.rounds)
    row = {"model": found.reference, "rounds": len(record.rounds), "statements": statements}
    if as_json:
        out.print_json(
            json.dumps(row | {"hub_key": base64.b64encode(record.hub_key).decode(), "verified": True})
        )
        return
    say(
        f"{found.reference}: passport, network and record are whole: {len(record.rounds)} rounds of the hub "
        f"{record.manifest.hub}, {statements} statements of sites, every signature and hash"
    )


def _lines(found: Package, record: "Provenance", told: dict[str, Any]) -> list[str]:
    from federation.provenance import trace

    only = "AI, research use only" if found.model.research_use_only else "AI"
    lines = [
        f"{found.model.title} {found.model.version} ({only})",
        f"signed by {told['signed_by']}",
        f"run {record.manifest.run} of the hub {record.manifest.hub}, manifest {record.manifest.sha256}",
        f"code {record.manifest.code}, purpose {record.manifest.purpose}, {record.manifest.strategy}",
        *map(_use_line, trace.uses(record)),
        *(_round_line(one) for one in told["rounds"]),
        *(f"later model: {one}" for one in told["later_models"]),
    ]
    return lines + (_withdrawal_lines(told["withdrawal"]) if "withdrawal" in told else [])


def _use_line(use: "Use") -> str:
    what = "learnt from" if use.kind == "train" else "judged on"
    data = ", ".join(f"{dataset} ({sha256})" for dataset, sha256 in use.versions)
    counts = f"{use.studies} studies of {use.patients} patients" if use.studies else "too few to be told"
    spent = f", epsilon {use.epsilon:.3g}" if use.epsilon else ""
    return f"{what} {use.site}, rounds {_span(use.rounds)}: {data}, permit {', '.join(use.permits)}, {counts}{spent}"


def _span(rounds: Sequence[int]) -> str:
    whole = len(rounds) > 2 and list(rounds) == list(range(rounds[0], rounds[-1] + 1))
    return f"{rounds[0]}-{rounds[-1]}" if whole else ", ".join(map(str, rounds))


def _round_line(told: dict[str, Any]) -> str:
    absent = ", ".join(f"{site} ({reason})" for site, reason in sorted(told["absent"].items()))
    figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(told["figures"].items()))
    without = f"; without {absent}" if absent else ""
    there = ", ".join(sorted(told["sites"])) or "nobody"
    return f"round {told['round']} {told['at'][:19]} {told['stage']}: {there}{without}; {figures}"


def _withdrawal_lines(told: dict[str, Any]) -> list[str]:
    if not told["touched"]:
        return ["as far as this site knows, the model has not learnt from it"]
    lines = [
        f"it has learnt from the study {one['study']} in rounds {_span(one['rounds'])}: proved by "
        f"{len(one['proofs'])} cohort{'s' if len(one['proofs']) > 1 else ''} that this site signed"
        for one in told["studies"]
    ]
    if told["patient_was_learnt_from"]:
        lines.append("it has learnt from the patient: an opt-out leaves her out of what is still to come")
    return lines + [f"opted out {one['added_at'][:19]}" for one in told["opted_out"]]
