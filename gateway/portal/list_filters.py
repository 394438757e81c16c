"""What a worklist is filtered and sorted by, as its address says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from archive.attributes import Level
from archive.errors import BadRequest
from archive.findings import Task
from archive.query import parse_parameters, parse_query
from archive.summaries import DENSITIES, STATUSES, Filters, Order, Place, parse_place

REPEATED = ("density", "status")
NAMES = ("from", "to", "Modality", "PatientID", *REPEATED, "score", "task", "unread", "sort")
"""The parameters that filter and sort; `before` and `behind` name the place where a page ends or begins."""
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of an address as they were given, of which those that are empty say nothing."""

    given: tuple[tuple[str, str], ...] = ()

    def one(self, name: str) -> str:
        """The value of a parameter; empty where there is none. Raises BadRequest for several."""
        found = self.all(name)
        if len(found) > 1:
            raise BadRequest("%(name)s is given twice", name=name)
        return found[0] if found else ""

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(value for each, value in self.given if each == name)

    def query_of(self, **others: str) -> str:
        """The filters as a query string, with other parameters behind them."""
        kept = [(name, value) for name, value in self.given if name in NAMES]
        return urlencode([*kept, *others.items()])


def parse_asked(query_string: bytes, others: Sequence[str] = ("before", "behind")) -> Asked:
    """Raises BadRequest for a parameter that is none."""
    pairs = [(name, value.strip()) for name, value in parse_parameters(query_string)]
    if any(name not in (*NAMES, *others) for name, _ in pairs):
        raise BadRequest("the address has a parameter that the worklist does not know")
    if any("\0" in value for _, value in pairs):
        raise BadRequest("the address has a character that no value has")
    return Asked(tuple((name, value) for name, value in pairs if value))


def parse_filters(asked: Asked) -> Filters:
    """Raises BadRequest, which names the parameter and what it takes."""
    statuses = _among(asked, "status", STATUSES)
    task = _among(asked, "task", list(Task))
    if task and not statuses:
        raise BadRequest("task goes with a status")
    return Filters(
        query=parse_query(Level.STUDY, [*_dates(asked), *_patient(asked)]),
        modality=_modality(asked.one("Modality")),
        densities=_among(asked, "density", DENSITIES),
        minimum_score=_score(asked.one("score")),
        task=Task(task[0]) if task else None,
        statuses=statuses,
        unread=_among(asked, "unread", ("1",)) != (),
        order=_order(asked),
    )


def place_of(asked: Asked, order: Order) -> Place | None:
    """Where the page begins or ends; None for the first. Raises BadRequest."""
    behind, before = asked.one("behind"), asked.one("before")
    if behind and before:
        raise BadRequest("a page is either before a place or behind one")
    return parse_place(behind or before, order, is_end=bool(before)) if behind or before else None


def _dates(asked: Asked) -> list[tuple[str, str]]:
    first, last = _day(asked, "from"), _day(asked, "to")
    if first and last and first > last:
        raise BadRequest("from is a day after to")
    return [("StudyDate", f"{first}-{last}")] if first or last else []


def _day(asked: Asked, name: str) -> str:
    text = asked.one(name)
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest("%(name)s is a day, such as 2026-03-31", name=name) from None
    return f"{day.year:04}{day.month:02}{day.day:02}" if day else ""


def _patient(asked: Asked) -> list[tuple[str, str]]:
    text = asked.one("PatientID")
    return [("PatientID", text)] if text else []


def _modality(text: str) -> str:
    if text and not _MODALITY.fullmatch(text):
        raise BadRequest("Modality is one of DICOM's, such as MG")
    return text


def _score(text: str) -> float | None:
    if text and (not _PERCENT.fullmatch(text) or float(text) > 100):
        raise BadRequest("score is a percentage from 0 to 100")
    return float(text) / 100 if text else None


def _order(asked: Asked) -> Order:
    found = _among(asked, "sort", list(Order))
    return Order(found[0]) if found else Order.DATE


def _among(asked: Asked, name: str, known: Sequence[str]) -> tuple[str, ...]:
    found = asked.all(name) if name in REPEATED else tuple(filter(None, [asked.one(name)]))
    if not set(found) <= set(known):
        raise BadRequest("%(name)s is one of: %(known)s", name=name, known=", ".join(known))
    return tuple(dict.fromkeys(found))
