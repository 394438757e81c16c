"""`senogate label`: what is known of exams, for training: imported from a file, listed, removed; how much there is."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from archive import label_file, labels, optout
from archive.errors import NotFound
from archive.findings import Task
from archive.label_file import Exam, Problems, Row
from archive.labels import Sought
from archive.pool import autocommitting
from archive.settings import Settings
from deidentification.patient import patient_pseudonyms
from deidentification.pseudonym import Pseudonyms
from senogate.operator import AsJson, out, say, show, site_of_home
from senogate.site_keys import keys_of
from senogate.user import user

app = typer.Typer(no_args_is_help=True, help="What is known of exams, for training across sites.")
_NAMED = ("StudyInstanceUID", "PatientID", "AccessionNumber")


class Learnt(StrEnum):
    """What sites can learn."""

    DENSITY, LESIONS = "density", "lesions"


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV; docs/labels.md describes its columns.")
    ],
    check: Annotated[bool, typer.Option("--check", help="Only say whether it would be imported.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import labels: all of them or, where a row is wrong, none."""
    settings = site_of_home()
    with file.open("rb") as opened:
        content = opened.read(label_file.LONGEST + 1)  # so much is refused already
    rows = label_file.parse(content)
    with autocommitting(settings.database_url) as connection:
        known = label_file.merge(rows, _studies(connection, settings, rows))
        sha256 = hashlib.sha256(content).hexdigest()
        number = None if check else labels.store(connection, known, sha256=sha256, by=user())
    told = {"import": number, "studies": len(known), "rows": len(rows), "sha256": sha256}
    if as_json:
        out.print_json(json.dumps(told))
    elif check:
        say(f"{len(rows)} rows about {len(known)} studies could be imported")
    else:
        say(f"import {number}: {len(rows)} rows about {len(known)} studies")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """The studies with imported labels, by pseudonym."""
    settings = site_of_home()
    with autocommitting(settings.database_url) as connection:
        rows = labels.list_labels(connection)
    if as_json:
        show([row.to_json() for row in rows], True)
    for row in [] if as_json else rows:
        lesions = "" if row.lesions is None else f"  lesions {row.lesions}"
        density = f"  density {row.density}" if row.density else ""
        assessment = f"  BI-RADS {row.assessment}" if row.assessment else ""
        cancer = "" if row.cancer is None else f"  cancer {'yes' if row.cancer else 'no'}"
        say(f"{row.study_instance_uid}{density}{assessment}{cancer}{lesions}  import {row.number}")


@app.command()
def remove(
    study: Annotated[
        str, typer.Argument(help="A Study Instance UID, the original or its pseudonym.", show_default=False)
    ] = "",
    number: Annotated[int | None, typer.Option("--import", help="All labels of this import.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All labels.")] = False,
) -> None:
    """Forget imported labels."""
    if [bool(study), number is not None, everything].count(True) != 1:
        raise typer.BadParameter("name a study, --import or --all")
    settings = site_of_home()
    studies = [_pseudonyms(settings).uid(study)] if study else None
    with autocommitting(settings.database_url) as connection:
        gone = labels.remove(connection, studies, number, by=user())
    say(f"{gone} labels are forgotten")


@app.command()
def report(
    dataset: Annotated[str, typer.Option(help="A dataset, or a version of it.")],
    task: Annotated[Learnt, typer.Option(help="What is to be learnt.")],
    as_json: AsJson = False,
) -> None:
    """What a site could learn from: exams, labels, manufacturers and ages. Few are told as <5."""
    from federation.examples import quality

    found = quality.report(site_of_home(), dataset, Task(task))
    if as_json:
        out.print_json(json.dumps(found.to_json()))
        return
    for line in found.lines():
        say(line)


@dataclass(frozen=True, slots=True)
class _Names:
    """From what the clinic calls a patient and her exams to the site's pseudonyms."""

    pseudonyms: Pseudonyms
    connection: psycopg.Connection

    def sought(self, exam: Exam) -> Sought:
        """Raises ValueError for what can be no Patient ID."""
        study = self.pseudonyms.uid(exam.study_instance_uid)
        if not exam.patient_id:
            return Sought(study, None, exam.study_date, exam.accession_number)
        made = patient_pseudonyms(self.pseudonyms, exam.patient_id, exam.issuer_of_patient_id)
        shifted = self.pseudonyms.is_own_patient_id(exam.patient_id)
        found = optout.patients(self.connection, made)
        dates = [exam.study_date if shifted else self._shifted(one, exam.study_date) for one in found]
        pairs = tuple(zip(found, dates, strict=True))
        return Sought(study, pairs, exam.study_date, exam.accession_number)

    def _shifted(self, patient: str, date: str) -> str:
        """The date as de-identification has moved it for this patient."""
        if not date:
            return ""
        try:
            moved = datetime.strptime(date, "%Y%m%d") + timedelta(self.pseudonyms.days_of_pseudonym(patient))
        except OverflowError:
            raise NotFound("names no study that is here") from None
        return moved.strftime("%Y%m%d")


def _studies(connection: psycopg.Connection, settings: Settings, rows: Sequence[Row]) -> dict[int, str]:
    """The study of each row. Raises BadRequest, which names the rows that name none, or several."""
    names, problems = _Names(_pseudonyms(settings), connection), Problems()
    found: dict[Exam, str | Exception] = {}
    for row in rows:
        if row.exam not in found:
            try:
                found[row.exam] = labels.find_study(connection, names.sought(row.exam))
            except (NotFound, ValueError) as error:
                found[row.exam] = error
        if isinstance(found[row.exam], Exception):
            problems.add(row.number, _column(row.exam), str(found[row.exam]))
    problems.check()
    return {row.number: str(found[row.exam]) for row in rows}


def _column(exam: Exam) -> str:
    given = (exam.study_instance_uid, exam.patient_id, exam.accession_number)
    return next(name for name, value in zip(_NAMED, given, strict=True) if value)


def _pseudonyms(settings: Settings) -> Pseudonyms:
    return Pseudonyms(keys_of(settings))
