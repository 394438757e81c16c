"""A file of labels as a data steward writes it: CSV, checked row by row. docs/labels.md describes its columns.

Nothing here says what a cell holds: problems name rows and columns, since a file may hold original identifiers.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from archive.errors import BadRequest

EXAM = ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "StudyDate", "AccessionNumber")
BOX = ("Left", "Top", "Right", "Bottom")
TOLD = ("Density", "Assessment", "Cancer", "Kind")
COLUMNS = (*EXAM, "Density", "Assessment", "Cancer", "View", "Kind", *BOX)
KINDS = ("mass", "calcifications")
NONE = "none"
"""The kind that says that a reader looked for lesions and there is none."""
VIEWS = {f"{side}{projection}": (side, projection) for side in "LR" for projection in ("CC", "MLO")}
LONGEST = 64 * 1024**2  # bytes of a file
MOST_PROBLEMS = 20  # that are told
MOST_LESIONS = 200  # of an exam, each counted in every view
FARTHEST = 65_535  # columns and rows of an image (PS3.3 C.7.6.3.1.1)
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@dataclass(frozen=True, slots=True)
class Exam:
    """How a row names its exam: as the clinic calls it, or by pseudonyms. Empty is what it leaves out."""

    study_instance_uid: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    study_date: str = ""
    accession_number: str = ""


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion in one view: its kind, and its box (left, top, right, bottom) in pixels of the stored image."""

    view: tuple[str, str]
    kind: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number as a spreadsheet counts, the exam, and what it says of it."""

    number: int
    exam: Exam
    density: str = ""
    lesion: Lesion | None = None
    is_without_lesions: bool = False
    assessment: str = ""
    cancer: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an exam; None is what is not told. No lesions at all is an empty tuple.

    `assessment` is the category of BI-RADS, 0 to 6; `cancer` whether cancer was proven, or excluded since.
    """

    density: str | None = None
    lesions: tuple[Lesion, ...] | None = None
    assessment: str | None = None
    cancer: bool | None = None


@dataclass(slots=True)
class Problems:
    """What is wrong with a file, by row and column: the first of it in words, the rest as a number."""

    told: list[str] = field(default_factory=list)
    number: int = 0

    def add(self, row: int, column: str, what: str) -> None:
        self.number += 1
        if self.number <= MOST_PROBLEMS:
            self.told.append(f"row {row}, {column}: {what}")

    def check(self) -> None:
        """Raises BadRequest where there are any."""
        if self.number:
            more = [f"and {self.number - MOST_PROBLEMS} more"] if self.number > MOST_PROBLEMS else []
            raise BadRequest("\n".join(["nothing is imported", *self.told, *more]))


def parse(content: bytes) -> list[Row]:
    """The rows of a file, all of them good. Raises BadRequest, which names rows and columns."""
    if len(content) > LONGEST:
        raise BadRequest(f"a file has {LONGEST // 1024**2} MiB at most")
    records = _records(content)
    header = _header(next(records, []))
    problems, rows = Problems(), []
    for number, record in enumerate(records, 2):
        if record and len(record) != len(header):
            problems.add(number, "all", f"has {len(record)} cells, the header {len(header)}")
            continue
        cells = {
            name: cell.strip() for name, cell in zip(header, record, strict=False)
        }  # an empty line has none
        if any(cells.values()):
            rows.append(_row(number, cells, problems))
    if not rows and not problems.number:
        raise BadRequest("the file has no rows")
    problems.check()
    return rows


def merge(rows: Sequence[Row], studies: Mapping[int, str]) -> dict[str, Known]:
    """What the rows say of each study; `studies` has the study of each row by its number.

    Raises BadRequest where rows contradict each other.
    """
    problems = Problems()
    found: dict[str, Known] = {}
    for row in rows:
        known = found.get(studies[row.number], Known())
        found[studies[row.number]] = _joined(known, row, problems)
    problems.check()
    return found


def _joined(known: Known, row: Row, problems: Problems) -> Known:
    cancer = row.cancer == "yes" if row.cancer else None
    for column, told, before in (
        ("Density", row.density or None, known.density),
        ("Assessment", row.assessment or None, known.assessment),
        ("Cancer", cancer, known.cancer),
    ):
        if told is not None and before not in (None, told):
            problems.add(row.number, column, "differs from that of another row of the exam")
    lesions = known.lesions
    if (row.is_without_lesions and lesions) or (row.lesion and lesions == ()):
        problems.add(row.number, "Kind", f"{NONE} stands beside a lesion of the exam")
    elif row.is_without_lesions:
        lesions = ()
    elif lesions and row.lesion and len(lesions) >= MOST_LESIONS:
        problems.add(row.number, "Kind", f"an exam has {MOST_LESIONS} lesions at most")
    elif row.lesion and row.lesion not in (lesions or ()):
        lesions = (*(lesions or ()), row.lesion)
    told = known.cancer if cancer is None else cancer
    return Known(row.density or known.density, lesions, row.assessment or known.assessment, told)


def _records(content: bytes) -> Iterator[list[str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("the file is not UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from reader
    except csv.Error:
        raise BadRequest(f"the file is no CSV near its line {reader.line_num}") from None


def _header(record: Sequence[str]) -> list[str]:
    """The columns. Their names are not told where they are wrong: a file without a header begins with values."""
    names = [name.strip() for name in record]
    for place, name in enumerate(names, 1):
        if name not in COLUMNS or name in names[: place - 1]:
            raise BadRequest(f"row 1, column {place}: is none of {', '.join(COLUMNS)}, or stands twice")
    if not {"StudyInstanceUID", "PatientID", "AccessionNumber"} & set(names):
        raise BadRequest("row 1: StudyInstanceUID is missing, or PatientID or AccessionNumber")
    lesion = {"View", "Kind", *BOX}
    if not set(TOLD) & set(names) or ("Kind" in names and not lesion <= set(names)):
        raise BadRequest(
            f"row 1: Density is missing, or Assessment, or Cancer, or {', '.join(('View', 'Kind', *BOX))}"
        )
    return names


def _row(number: int, cells: Mapping[str, str], problems: Problems) -> Row:
    def checked(column: str, read: Callable[[str], str]) -> str:
        try:
            return read(cells.get(column, ""))
        except ValueError as error:
            problems.add(number, column, str(error))
            return ""

    exam = Exam(
        checked("StudyInstanceUID", _uid),
        checked("PatientID", _short),
        checked("IssuerOfPatientID", _short),
        checked("StudyDate", _date),
        checked("AccessionNumber", _short),
    )
    if not any(cells.get(name) for name in ("StudyInstanceUID", "PatientID", "AccessionNumber")):
        problems.add(number, "StudyInstanceUID", "is missing, and so are PatientID and AccessionNumber")
    density, kind = checked("Density", _density), checked("Kind", _kind)
    assessment, cancer = checked("Assessment", _assessment), checked("Cancer", _cancer)
    lesion = _lesion(number, kind, cells, problems) if kind and kind != NONE else None
    placed = [name for name in ("View", *BOX) if cells.get(name)]
    if placed and cells.get("Kind", "").lower() in ("", NONE):
        problems.add(number, placed[0], "belongs to a lesion, and the row has none")
    if not any(cells.get(name) for name in TOLD):
        problems.add(number, "Density", "is missing, and so is all else: the row says nothing")
    return Row(number, exam, density, lesion, kind == NONE, assessment, cancer)


def _lesion(number: int, kind: str, cells: Mapping[str, str], problems: Problems) -> Lesion | None:
    before = problems.number
    view = VIEWS.get(re.sub(r"[ _-]", "", cells["View"]).upper())
    if view is None:
        problems.add(number, "View", f"is one of {', '.join(VIEWS)}")
    sides = [_side(number, name, cells[name], problems) for name in BOX]
    left, top, right, bottom = sides
    if problems.number == before:
        for low, high, name in ((left, right, "Right"), (top, bottom, "Bottom")):
            if low >= high:
                problems.add(number, name, f"lies not beyond {'Left' if name == 'Right' else 'Top'}")
    if view is None or problems.number > before:
        return None
    return Lesion(view, kind, (left, top, right, bottom))


def _side(number: int, name: str, text: str, problems: Problems) -> float:
    value = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,20})?", text, re.ASCII) else math.nan
    if not 0 <= value <= FARTHEST:
        problems.add(number, name, f"is a number from 0 to {FARTHEST}: pixels of the stored image")
        return 0.0
    return value


def _uid(text: str) -> str:
    if text and (len(text) > 64 or not _UID.fullmatch(text)):
        raise ValueError("is no UID (PS3.5 section 9.1)")
    return text


def _short(text: str) -> str:
    if len(text) > 64 or not text.isprintable() or "\\" in text:
        raise ValueError("has more than 64 characters, or one that can't be in it")
    return text


def _date(text: str) -> str:
    """A date as YYYYMMDD (PS3.5 section 6.2, DA), which may be written with hyphens."""
    if not text:
        return ""
    try:
        if not re.fullmatch(r"[0-9]{4}(-?)[0-9]{2}\1[0-9]{2}", text, re.ASCII):
            raise ValueError
        return datetime.strptime(text.replace("-", ""), "%Y%m%d").strftime("%Y%m%d")
    except ValueError:
        raise ValueError("is a date, YYYYMMDD or YYYY-MM-DD") from None


def _density(text: str) -> str:
    if text.lower() not in ("", "a", "b", "c", "d"):
        raise ValueError("is a, b, c or d")
    return text.lower()


def _assessment(text: str) -> str:
    if not re.fullmatch("([0-6]|4[ABC])?", text.upper(), re.ASCII):
        raise ValueError("is a category of BI-RADS, 0 to 6")
    return text[:1]


def _cancer(text: str) -> str:
    if text.lower() not in ("", "yes", "no"):
        raise ValueError("is yes or no")
    return text.lower()


def _kind(text: str) -> str:
    if text.lower() not in ("", NONE, *KINDS):
        raise ValueError(f"is one of {', '.join((*KINDS, NONE))}")
    return text.lower()
