"""Where a record and what the dataset holds have come apart: what was true when it was published, and is not now.

Compared are what everybody sees, the numbers it was issued with, and what was counted last. Nothing of it is told to
anybody but stewards.
"""

import re
from collections.abc import Iterable, Iterator

from archive.catalogue import Entry
from archive.holdings import FEWEST, Holdings, published
from gateway.catalogue.findings import Finding

SHARE = 0.2
"""The share of a number by which it may differ from what was published before that is drift."""
_TOTALS = ("individuals", "studies", "series", "images")
_FACETS = ("modalities", "manufacturers", "years")
_NAMED = {
    "MG": re.compile(r"mammogra|mamograf|mammographie", re.I),
    "US": re.compile(r"ultraso|sonogra|ecograf|échograph", re.I),
    "MR": re.compile(r"\bmri\b|magnetic resonance|resonancia|risonanza|kernspin|\birm\b", re.I),
    "tomosynthesis": re.compile(r"tomosynth|tomosínt|tomosint|\bdbt\b", re.I),
}
_AGES = re.compile(
    r"\b(?:age[ds]?|aged between)\s+(?P<a>\d{2})\s*(?:-|–|to|and)\s*(?P<b>\d{2})\b"
    r"|\b(?P<c>\d{2})\s*(?:-|–|to)\s*(?P<d>\d{2})[\s-]*(?:years?|year-olds?|y\b)",
    re.I,
)
_YEARS = re.compile(r"\b(?P<a>(?:19|20)\d\d)(?:\s*(?:-|–|/|to)\s*(?P<b>(?:19|20)?\d\d)\b)?", re.I)


def find_drift(entry: Entry, issued: Holdings) -> list[Finding]:
    """What of a record that everybody sees contradicts the dataset. `issued` are the numbers of its version."""
    counted = entry.holdings
    if counted is None:
        return [Finding("numbers", "the dataset was never counted")]
    if counted.studies == 0:
        return [Finding("numbers", "no studies are left in the dataset")]
    found = [
        *_moved(entry.told, published(counted), "what was counted"),
        *_moved(issued, entry.told, "what the version was issued with"),
        *_gone_and_new(issued, entry.told, counted),
        *_modalities_named(entry, counted),
        *_ages_named(entry, counted),
        *_years_named(entry, counted),
    ]
    if entry.written.missing():
        found.append(Finding("contact_email", "a mandatory field is empty"))
    if "DOWNLOAD" in entry.written.access and not entry.written.licence:
        found.append(Finding("licence", "images may be downloaded, and no licence says how they may be used"))
    return list(dict.fromkeys(found))


def _moved(before: Holdings, after: Holdings, than: str) -> Iterator[Finding]:
    for name in _TOTALS:
        was, is_now = getattr(before, name), getattr(after, name)
        if abs(is_now - was) > max(SHARE * was, 2 * FEWEST):
            yield Finding("numbers", f"{name} differ by more than {SHARE:.0%} from {than}")


def _gone_and_new(issued: Holdings, told: Holdings, counted: Holdings) -> Iterator[Finding]:
    """What is held and only not told, for it would tell of few, is not gone."""
    for name in _FACETS:
        before, now = set(getattr(issued, name)), set(getattr(told, name))
        if gone := sorted(before - now - set(getattr(counted, name))):
            yield Finding(name, f"no longer held: {', '.join(gone)}")
        if new := sorted(now - before):
            yield Finding(name, f"held since the version was issued: {', '.join(new)}")


def _modalities_named(entry: Entry, counted: Holdings) -> Iterator[Finding]:
    held = {**counted.modalities, "tomosynthesis": counted.tomosynthesis}
    texts = {"title": entry.written.title, "keywords": " ; ".join(entry.written.keywords)}
    for about, text in texts.items():
        for modality, words in _NAMED.items():
            if words.search(text) and not held.get(modality):
                yield Finding(about, f"names {modality}, of which no study is held")


def _ages_named(entry: Entry, counted: Holdings) -> Iterator[Finding]:
    held = [int(low) for low in counted.ages]
    for about in ("title", "description"):
        for named in _AGES.finditer(getattr(entry.written, about)):
            low, high = sorted(int(named[first] or named[other]) for first, other in ("ac", "bd"))
            if any(age + 4 < low or age > high for age in held):
                yield Finding(about, f"names ages {low} to {high}; exams of other ages are held")


def _years_named(entry: Entry, counted: Holdings) -> Iterator[Finding]:
    """Of the title alone: a description may tell of years for many reasons."""
    spans = [_span(named) for named in _YEARS.finditer(entry.written.title)]
    held = {int(year) for year in counted.years}
    if not spans or not held:
        return
    if outside := sorted(year for year in held if not any(low <= year <= high for low, high in spans)):
        yield Finding("title", f"exams of years that it does not name are held: {_listed(outside)}")
    if empty := sorted({year for span in spans for year in span} - held):
        yield Finding("title", f"names years of which no exam is held: {_listed(empty)}")


def _span(named: re.Match[str]) -> tuple[int, int]:
    first, last = named["a"], named["b"] or named["a"]
    ends = sorted((int(first), int(last if len(last) == 4 else first[:2] + last)))
    return ends[0], ends[1]


def _listed(years: Iterable[int]) -> str:
    return ", ".join(map(str, years))
