"""Counts patients and studies of each dataset, exactly and as they may be told."""

import asyncio
import logging
import threading
import time
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from archive import secrets
from archive.errors import Unavailable
from archive.pool import autocommitting, connect, translated_errors
from archive.search_facts import bring_up_to_date
from archive.settings import Settings
from gateway.search.budget import forget_spent, spend
from gateway.search.disclosure import FEWEST, Protection
from gateway.search.facts import Facts, Published
from gateway.search.matching import Mask, match
from gateway.search.meaning import digest
from gateway.search.question import Question

DESCRIBED = 300.0  # seconds for which what is told of a dataset as such is kept
KEPT_UP = 60.0  # seconds after which facts are computed that nobody has asked for
_KEPT = 256  # answers
_MOST_VALUES = 50  # of modalities, and of body parts, that are told of a dataset
_log = logging.getLogger("senogate.search")
_NOTHING = {"", "\0"}
_SEXES = ((1, "F"), (2, "M"), (3, "O"))


@dataclass(frozen=True, slots=True)
class Row:
    """What a dataset holds of what was asked for; a count is None where it is of too few to be told, or of none.

    The rest is of the dataset, whatever was asked, and what enough of its patients have: `ages` are the limits of
    groups of five years, None where too few are of any; `sexes` F, M and O; `modalities` as DICOM has them, and DBT.
    """

    dataset: str
    title: str
    description: str
    studies: int | None
    patients: int | None
    ages: tuple[int, int] | None = None
    sexes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A row for each published dataset, in the order of their names, whether anything was found there or not."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Exact:
    """Numbers as they are, for stewards alone: no route for others leads to them."""

    dataset: str
    studies: int
    patients: int


@dataclass(frozen=True, slots=True)
class _Description:
    at: float  # monotonic
    ages: tuple[int, int] | None
    sexes: tuple[str, ...]
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]


@dataclass(slots=True)
class Counting:
    """A process's facts, and the connection by which they are kept up to date. One question is answered at a time.

    `thread` is where: it holds up nobody else who waits for a thread.
    `waiting` are the questions whose turn has not ended.
    """

    facts: Facts = field(default_factory=Facts)
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "count"))
    waiting: int = 0
    _alone: threading.Lock = field(default_factory=threading.Lock)
    _connection: psycopg.Connection | None = None
    _answers: OrderedDict[bytes, Answer] = field(default_factory=OrderedDict)
    _descriptions: dict[int, _Description] = field(default_factory=dict)
    _most: tuple[int, int] = (-2, 1)  # of which revision, and how many studies a patient counts with at most

    def answer(self, settings: Settings, question: Question, asker: str, hub: str = "") -> Answer:
        """From the asker's budget, and from that of all askers of a hub. Raises TooManyRequests, Unavailable."""
        with self._alone, translated_errors():
            connection = self._connected(settings)
            self.facts.refresh(connection)
            protection = Protection.derive(
                secrets.read_key(settings.secrets, secrets.SITE_KEY), settings.search_noise
            )
            scale = str(self._most_of_a_patient()).encode()  # numbers of studies are drawn anew with it
            key = protection.digest(digest(question), scale, *map(self._state, self.facts.published))
            with connection.transaction():  # of who is refused nothing is put down
                if hub:
                    spend(connection, hub, key, overlap(self.facts), settings.search_hub_budget)
                spend(connection, asker, key, overlap(self.facts), settings.search_budget)
            told = protection.digest(key, repr((self.facts.published, settings.search_noise)).encode())
            if told not in self._answers:
                self._answers[told] = self.tell(question, protection)
                while len(self._answers) > _KEPT:
                    self._answers.popitem(last=False)
            return self._answers[told]

    def exact(self, settings: Settings, question: Question) -> tuple[Exact, ...]:
        """The numbers of each published dataset before they are protected. Raises Unavailable."""
        with self._alone, translated_errors():
            self.facts.refresh(self._connected(settings))
            return exact(self.facts, question)

    def overlap(self, settings: Settings) -> int:
        """What a question costs."""
        with self._alone, translated_errors():
            self.facts.refresh(self._connected(settings))
            return overlap(self.facts)

    def close(self) -> None:
        with self._alone:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
        self.thread.shutdown(wait=False)

    def _connected(self, settings: Settings) -> psycopg.Connection:
        """A connection that answers: one that PostgreSQL closed meanwhile, by a restart say, is known by its use."""
        if self._connection is not None:
            with suppress(psycopg.OperationalError, psycopg.InterfaceError):
                self._connection.execute("")
                return self._connection
            self._connection.close()
        self._connection = connect(settings.database_url, autocommit=True)
        return self._connection

    def _state(self, dataset: Published) -> bytes:
        return f"{dataset.number} {self.facts.states[dataset.number]}".encode()

    def tell(self, question: Question, protection: Protection) -> Answer:
        """The answer from the facts as they are here, whatever it costs."""
        facts, meaning = self.facts, digest(question)
        matching = match(question, facts.columns) & facts.is_present
        most = self._most_of_a_patient()
        rows = []
        for dataset in facts.published:
            found = counts(facts, matching & facts.members[dataset.number], most)
            told = protection.tell(*found, most, meaning, self._state(dataset))
            patients, studies = told or (None, None)
            described = self._described(dataset, protection)
            rows.append(
                Row(
                    dataset.name, dataset.title, dataset.description, studies, patients,
                    described.ages, described.sexes, described.modalities, described.body_parts,
                )
            )  # fmt: skip
        return Answer(tuple(rows))

    def _most_of_a_patient(self) -> int:
        """As many studies as 19 of 20 patients have at most."""
        facts = self.facts
        if self._most[0] != facts.revision:
            held = np.bincount(facts.patients.take(np.flatnonzero(facts.is_present)), minlength=1)
            held = held[held > 0]
            self._most = facts.revision, int(np.quantile(held, 0.95, method="higher")) if len(held) else 1
        return self._most[1]

    def _described(self, dataset: Published, protection: Protection) -> _Description:
        kept = self._descriptions.get(dataset.number)
        if kept is None or kept.at < time.monotonic() - DESCRIBED:
            kept = self._descriptions[dataset.number] = _describe(
                self.facts, dataset, protection, self._state(dataset)
            )
        return kept


async def keep_up_to_date(settings: Settings) -> None:
    """Compute facts as studies change, also while nobody asks, and forget what was asked on days before.

    For as long as it is not cancelled.
    """
    while True:
        await asyncio.sleep(KEPT_UP)
        try:
            await asyncio.to_thread(_bring_up_to_date, settings)
        except (Unavailable, psycopg.Error) as error:  # a deadlock, say: the next time does it
            _log.warning("facts of studies wait (%s)", type(error).__name__)


def _bring_up_to_date(settings: Settings) -> None:
    with autocommitting(settings.database_url) as connection:
        bring_up_to_date(connection)
        forget_spent(connection)


def counts(facts: Facts, matching: Mask, most: int) -> tuple[int, int]:
    """Distinct patients of these studies, and their studies, of each patient `most` at most."""
    held = np.bincount(facts.patients.take(np.flatnonzero(matching)), minlength=1)
    return int(np.count_nonzero(held)), int(np.minimum(held, most).sum())


def exact(facts: Facts, question: Question) -> tuple[Exact, ...]:
    """The numbers of each published dataset."""
    matching = match(question, facts.columns) & facts.is_present
    rows = []
    for dataset in facts.published:
        members = matching & facts.members[dataset.number]
        patients, _ = counts(facts, members, 1)
        rows.append(Exact(dataset.name, int(np.count_nonzero(members)), patients))
    return tuple(rows)


def overlap(facts: Facts) -> int:
    """In how many published datasets a study is at most, at least 1: so many numbers of one patient an answer tells."""
    if len(facts.members) < 2:
        return 1
    held: NDArray[Any] = np.zeros(len(facts.is_present), np.uint8 if len(facts.members) < 256 else np.uint16)
    for members in facts.members.values():
        np.add(held, members.view(np.uint8), out=held)
    return max(1, int(held.max(initial=1)))


def _describe(facts: Facts, dataset: Published, protection: Protection, state: bytes) -> _Description:
    """What enough patients of a dataset have."""
    members, numbers = facts.members[dataset.number] & facts.is_present, facts.columns.numbers

    def is_told(having: Mask, what: str) -> bool:
        return protection.is_told(counts(facts, members & having, 1)[0], state, what.encode())

    ages = numbers["age"].take(np.flatnonzero(members & (numbers["age"] >= 0)))
    lows = [5 * group for group in np.flatnonzero(np.bincount(ages // 5)).tolist()]

    def is_group_told(low: int) -> bool:
        return is_told((numbers["age"] >= low) & (numbers["age"] < low + 5), f"age {low}")

    lowest = next(filter(is_group_told, lows), None)
    highest = next(filter(is_group_told, reversed(lows)), None)
    modalities, parts = _frequent(facts, members, 0), _frequent(facts, members, 2)
    return _Description(
        time.monotonic(),
        None if lowest is None or highest is None else (lowest, highest + 4),
        tuple(name for code, name in _SEXES if is_told(numbers["sex"] == code, f"sex {name}")),
        tuple(sorted(one for one in modalities if is_told(_having(facts, 0, one), f"modality {one}"))),
        tuple(sorted(one for one in parts if is_told(_having(facts, 2, one), f"body part {one}"))),
    )


def _frequent(facts: Facts, members: Mask, place: int) -> list[str]:
    """The values at a place of series' kinds that most studies have: those that may be worth a closer look."""
    kinds, numbers = facts.columns.kinds, facts.columns.numbers["kinds"]
    found: Counter[str] = Counter()
    for code, number in enumerate(np.bincount(numbers.take(np.flatnonzero(members)), minlength=1).tolist()):
        if number:
            for value in {kinds.series[one][place] for one in kinds.of_study[code]} - _NOTHING:
                found[value] += number
    return [value for value, number in found.most_common(_MOST_VALUES) if number >= FEWEST]


def _having(facts: Facts, place: int, value: str) -> Mask:
    """Studies with a series that has the value at a place of its kind."""
    kinds = facts.columns.kinds
    wanted = np.fromiter((series[place] == value for series in kinds.series), bool, len(kinds.series))
    return kinds.having(wanted).take(facts.columns.numbers["kinds"])
