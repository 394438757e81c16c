"""What a node of a federation answers to a question, as it is shown to who asked, and what of it can't be true.

Nothing that another node sends is shown that has not been read here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from archive.addresses import is_allowed
from archive.datasets import parse_name
from archive.errors import BadRequest
from archive.federation_roles import check_name
from archive.holdings import FEWEST, STEP
from archive.questions import Held
from gateway.catalogue.addresses import Addresses
from gateway.search.answering import Row

MOST_ROWS = 500
MOST_STUDIES = 10_000_000  # that one dataset is believed to hold
LEAST_HELD = 640  # studies that a dataset is told to hold at least
MOST_VALUES = 64  # of a row's sexes, modalities, body parts
GROWTH, MARGIN = (
    10,
    100_000,
)  # a dataset may hold so many times what it held a day before, and so many studies more
LONGEST_TITLE, LONGEST_DESCRIPTION = 300, 1000  # characters
DAY = 86_400.0  # seconds
_MARKUP = re.compile(r"<\s*[A-Za-z/!?]|javascript:", re.IGNORECASE)
_VALUE = re.compile(r"[A-Z0-9_ ]{1,32}")


class SiteState(StrEnum):
    """What came of a question at a node."""

    ANSWERED = "answered"
    REFUSED = "refused"  # by the node itself: no permit, or its budget is spent
    LATE = "late"  # nothing came in time
    FAULTY = "faulty"  # what came is not shown


NOT_ASKED = "not-asked"
REASONS: Mapping[str, str] = {
    "no-permit": "it gives this federation's hub no permit to count",
    "budget": "so many different questions are not answered in a day",
    "busy": "it is asked too much at this moment",
    "failed": "it could not count",
    NOT_ASKED: "it does not ask the others for this node now",
}
"""Why a node refuses, by the word for it."""
LATE = "no answer came in time"
REST_LATE = "it did not tell in time what all others answer"


class Implausible(BadRequest):
    """What came from a node can't be true, or is nothing that it may send; the text tells what, and no value."""


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """A node's answer. `rows` are there where it has answered.

    `reason` tells why it has not: of one that refuses a word of `REASONS`, else a text.

    `addresses` are the pages of datasets, by their names, where the node's public address is known.
    """

    site: str
    state: SiteState
    rows: tuple[Row, ...] = ()
    reason: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        rows = [asdict(row) for row in self.rows]
        told = {"site": self.site, "state": str(self.state), "rows": rows, "reason": self.reason}
        return told | {"addresses": dict(self.addresses)}


def read_site_answer(content: Any) -> SiteAnswer:
    """What a hub passes on of a node's answer. Raises Implausible."""
    if not isinstance(content, dict) or content.keys() != {one.name for one in fields(SiteAnswer)}:
        raise Implausible("the hub passes on what is no answer")
    state, rows, addresses = content["state"], content["rows"], content["addresses"]
    is_made = isinstance(rows, list) and isinstance(addresses, dict) and isinstance(content["site"], str)
    if state not in list(SiteState) or not is_made or not _is_text(content["reason"], LONGEST_TITLE, least=0):
        raise Implausible("the hub passes on what is no answer")
    if state == SiteState.REFUSED and content["reason"] not in REASONS:
        raise Implausible("a node refuses for no reason")
    read = read_rows(rows)
    named = {row.dataset for row in read}
    if not all(name in named and isinstance(url, str) and is_allowed(url) for name, url in addresses.items()):
        raise Implausible("an address is none of the node's datasets")
    return SiteAnswer(check_name(content["site"]), SiteState(state), read, content["reason"], addresses)


def to_rows(rows: Sequence[Row], held: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
    """Rows as a site sends them, each with the most that its dataset can hold: its size, told to a power of two."""
    return tuple(
        {"row": asdict(row), "held": max(_most_of(held.get(row.dataset, 0)), row.studies or 0)}
        for row in map(sendable, rows[:MOST_ROWS])
    )


def sendable(row: Row) -> Row:
    """A row that another node reads: with texts that are no longer, and no others, than it takes."""
    title, description = _cut(row.title, LONGEST_TITLE), _cut(row.description, LONGEST_DESCRIPTION)
    modalities, parts = (
        tuple(filter(_VALUE.fullmatch, each))[:MOST_VALUES] for each in (row.modalities, row.body_parts)
    )
    return replace(row, title=title, description=description, modalities=modalities, body_parts=parts)


def _most_of(studies: int) -> int:
    """Not under so many studies, and twice as many as the step before: whether one study is there shows in none."""
    most = LEAST_HELD
    while most < studies:
        most *= 2
    return min(most, MOST_STUDIES)


def read_told(
    rows: Sequence[Mapping[str, Any]], known: Mapping[str, Held]
) -> tuple[tuple[Row, ...], dict[str, int]]:
    """A site's rows, and what its datasets hold as it says itself. Raises Implausible.

    `known` is what they were found to hold earlier.
    """
    if not all(each.keys() == {"row", "held"} for each in rows):
        raise Implausible("the rows are none")
    read = read_rows([each["row"] for each in rows])
    holds: dict[str, int] = {}
    for row, each in zip(read, rows, strict=True):
        most = holds[row.dataset] = each["held"]
        _check_count(most)
        _check_growth(most, known.get(row.dataset))
        if row.studies is not None and row.studies > most:
            raise Implausible("more studies are found than the dataset holds")
    return read, holds


def read_rows(rows: Sequence[Any]) -> tuple[Row, ...]:
    """Raises Implausible where they can't be rows of a node's datasets."""
    if len(rows) > MOST_ROWS:
        raise Implausible(f"more than {MOST_ROWS} rows")
    read = tuple(map(_read_row, rows))
    if len({row.dataset for row in read}) < len(read):
        raise Implausible("a dataset has more than one row")
    return read


def pages(rows: Sequence[Row], public_url: str) -> dict[str, str]:
    """The addresses of the datasets' pages below a node's public address; none where that is not known."""
    return {row.dataset: Addresses(public_url).dataset(row.dataset) for row in rows if public_url}


def _read_row(content: Any) -> Row:
    if not isinstance(content, dict) or content.keys() != {one.name for one in fields(Row)}:
        raise Implausible("the rows are none")
    _check_name(content["dataset"])
    for name, most in (("title", LONGEST_TITLE), ("description", LONGEST_DESCRIPTION)):
        if not _is_text(content[name], most, least=0):
            raise Implausible(f"a {name} is no text to be shown")
    studies, patients = content["studies"], content["patients"]
    for count in (studies, patients):
        if count is not None:
            _check_count(count)
    if studies is not None and patients is not None and patients > studies:
        raise Implausible("more patients than studies")
    lists = {name: _read_values(content[name]) for name in ("sexes", "modalities", "body_parts")}
    return Row(**content | lists | {"ages": _read_ages(content["ages"])})


def _check_name(name: Any) -> None:
    try:
        _, version = parse_name(name)
    except (BadRequest, TypeError, AttributeError):
        version = -1
    if version:
        raise Implausible("a dataset's name is none")


def _check_count(count: Any) -> None:
    if type(count) is not int or count < FEWEST or count % STEP:
        raise Implausible(f"a count is no multiple of {STEP} from {FEWEST} on")
    if count > MOST_STUDIES:
        raise Implausible("a count is larger than any dataset is believed to be")


def _check_growth(count: int, known: Held | None) -> None:
    """A site may grow by the day, and not by the answer."""
    if known and count > (GROWTH * known.studies + MARGIN) * (1 + known.age / DAY):
        raise Implausible("a dataset holds far more than it held before")


def _read_ages(ages: Any) -> tuple[int, int] | None:
    if ages is None:
        return None
    if not isinstance(ages, list | tuple) or len(ages) != 2 or not all(type(each) is int for each in ages):
        raise Implausible("ages are two whole numbers")
    if not 0 <= ages[0] <= ages[1] <= 200:
        raise Implausible("ages are two whole numbers")
    return ages[0], ages[1]


def _read_values(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or len(values) > MOST_VALUES:
        raise Implausible("a row's values are too many, or none")
    if not all(isinstance(value, str) and _VALUE.fullmatch(value) for value in values):
        raise Implausible("a row has a value that is none of DICOM's")
    return tuple(values)


def _is_text(text: Any, most: int, least: int = 1) -> bool:
    """Whether a text can be shown: what a page would take for markup, or would show in another order, can't."""
    if not isinstance(text, str) or not least <= len(text) <= most:
        return False
    return all(each.isprintable() or each in "\n\t" for each in text) and not _MARKUP.search(text)


def _cut(text: str, most: int) -> str:
    """A text that can be sent: no longer than this, and without what is not taken, also where a part has left."""
    plain = "".join(each for each in text if each.isprintable() or each in "\n\t")
    plain = plain if len(plain) <= most else plain[: most - 1] + "…"
    while _MARKUP.search(plain):
        plain = _MARKUP.sub(" ", plain)
    return plain
