"""Table E.1-1 of PS3.15, its options and the allow-list, turned into a rule for each element that stays.

Default deny: an element for which there is no rule goes, at every nesting level.
"""

import csv
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from deidentification import actions, lookup_tables, reports, texts
from deidentification.actions import Action, Codes
from deidentification.elements import LONG_VRS, SHORT_VRS

TABLES = Path(__file__).parent / "tables"
PATIENT_ID = 0x00100020
CONTENT_SEQUENCE = 0x0040A730
GRAPHIC_ANNOTATION_SEQUENCE = 0x00700001
_TIMEZONE_OFFSET = 0x00080201
_ANY_VR = (LONG_VRS | SHORT_VRS | {b""}) - {b"SQ", b"UN"}
_LABELS = frozenset(["LO", "SH", "UC"])  # a few words; what is not known is left out
_TEXTS = frozenset(["LT", "ST", "UT"])  # sentences; one word less may turn their meaning round
_NUMBERS = frozenset(["DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"])
_DATES = ("retain_longitudinal_modified_dates", "retain_longitudinal_full_dates")
# Sequences whose items are written anew by the same rules only where the option asks for it.
_ONLY_WITH = {
    CONTENT_SEQUENCE: "clean_structured_content",
    GRAPHIC_ANNOTATION_SEQUENCE: "clean_graphics",
}


class Rule(NamedTuple):
    """What happens to an element: the VR to write, the VRs it may come with ("" if implicit), and how.

    What comes as UN is taken for the VR to write (PS3.5 6.2.2). `what` says it to people.
    """

    vr: bytes
    accepted: frozenset[bytes]
    action: Action | None  # None: a sequence whose items are rebuilt by the same rules
    what: str = ""


class _Choice(NamedTuple):
    action: Action | None
    what: str

    @property
    def otherwise(self) -> Action:
        """What is done where a value does not pass its check."""
        return self.action or actions.remove

    def after(self, check: Callable[[Action], Action], what: str) -> "_Choice":
        """Take this only where a value does not pass a check."""
        return _Choice(check(self.otherwise), f"{what}; otherwise {self.what}")


_REMOVED = _Choice(actions.remove, "removed")
_EMPTIED = _Choice(actions.empty, "emptied")
_PSEUDONYM = _Choice(actions.map_uid, "replaced by its pseudonym")
_REBUILT = _Choice(None, "kept; each item is treated by this table")

PrivateRules = Mapping[tuple[int, bytes], Mapping[int, Rule]]


def build(options: frozenset[str]) -> dict[int, Rule]:
    """The rules by tag under the options of PS3.15 E.3, by the names of the columns in confidentiality.csv."""
    built = {**dict(_build_kept(options)), **dict(_build_confidentiality(options))}
    for tag, around in (reports.AROUND | lookup_tables.AROUND).items():
        action = built[tag].action
        if action is not None:
            built[tag] = built[tag]._replace(action=around(action))
    return built


def build_private(options: frozenset[str]) -> PrivateRules:
    """The rules of safe private elements (PS3.15 E.3.10): by group and creator, then by the low byte."""
    blocks: dict[tuple[int, bytes], dict[int, Rule]] = {}
    for row in rows("safe_private.csv") if "retain_safe_private" in options else ():
        chosen = _choose_private(row["vr"], options)
        rule = Rule(row["vr"].encode(), frozenset({row["vr"].encode(), b""}), *chosen)
        blocks.setdefault((int(row["group"], 16), row["creator"].encode()), {})[int(row["element"], 16)] = (
            rule
        )
    return blocks


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of a table."""
    with (TABLES / name).open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines)


@functools.cache
def read_codes() -> Codes:
    """Known code meanings by scheme and code."""
    return {
        (row["scheme"].encode(), row["code"].encode()): row["meaning"].encode("ascii")
        for row in rows("codes.csv")
    }


@functools.cache
def read_terms() -> dict[str, frozenset[bytes]]:
    """The defined terms of attributes, by keyword."""
    return {row["keyword"]: frozenset(row["terms"].encode().split(b"|")) for row in rows("terms.csv")}


@functools.cache
def read_words() -> frozenset[bytes]:
    """The words, in upper case, that Clean Descriptors leaves in a text."""
    text = (TABLES / "words.txt").read_bytes().upper()
    return frozenset(word for line in text.splitlines() if line[:1] != b"#" for word in line.split())


def _build_confidentiality(options: frozenset[str]) -> Iterator[tuple[int, Rule]]:
    """The rules of Table E.1-1; rows with action X have none, for what has no rule goes."""
    for row in rows("confidentiality.csv"):
        if not re.fullmatch("[0-9A-F]{8}", row["tag"]) or row["tag"] < "0008":
            continue
        tag, vr = int(row["tag"], 16), row["vr"]
        action, what = _choose(row, tag, options)
        if vr == "SQ" and action is None:
            yield tag, Rule(b"SQ", frozenset({b"SQ", b""}), None, what)
        elif action is not actions.remove:
            yield tag, Rule(vr.encode(), _ANY_VR | {vr.encode()}, action, what)


def _choose_basic(row: Mapping[str, str]) -> _Choice:
    """The action of the Basic Profile. A dummy UID is a pseudonym."""
    code, vr = row["action"], row["vr"]
    if code == "X":
        return _REMOVED
    if vr == "SQ" and code in "DU":
        return _REBUILT
    if code == "Z" or vr == "SQ":
        return _EMPTIED
    if code == "U" or vr == "UI":
        return _PSEUDONYM
    return _Choice(actions.make_dummy(vr), "replaced by a dummy")


def _choose(row: Mapping[str, str], tag: int, options: frozenset[str]) -> _Choice:
    """The action under the options. What they keep must pass a check; else the basic action is taken."""
    basic = _choose_basic(row)
    if tag == PATIENT_ID:
        return _Choice(actions.map_patient_id, "replaced by the patient's pseudonym")
    if tag in _ONLY_WITH:
        return _REBUILT if _ONLY_WITH[tag] in options else _REMOVED
    asked = {option: row[option] for option in options if row.get(option)}
    if "retain_longitudinal_modified_dates" in asked:
        return _choose_modified_date(tag, row["vr"], basic)
    if "K" in asked.values():
        return _choose_kept(row, basic)
    if "C" in asked.values() and not {"clean_structured_content", "clean_graphics"} & asked.keys():
        return _choose_cleaned(row["vr"], basic)
    return basic


def _choose_modified_date(tag: int, vr: str, basic: _Choice) -> _Choice:
    if tag == _TIMEZONE_OFFSET:
        return basic.after(actions.make_keep_zone, "kept where well formed")
    check = _BY_TEMPORAL_VR.get(vr)
    return basic.after(*check) if check else basic


_BY_TEMPORAL_VR: dict[str, tuple[Callable[[Action], Action], str]] = {
    "DA": (actions.make_shift_date, "moved by the patient's number of days"),
    "DT": (actions.make_shift_date_time, "moved by the patient's number of days"),
    "TM": (actions.make_keep_time, "kept where well formed"),
}


def _choose_kept(row: Mapping[str, str], basic: _Choice) -> _Choice:
    """K: a value is kept where it is what its VR or its defined terms say and names nobody."""
    vr = row["vr"]
    if vr == "SQ":
        return _REBUILT
    if vr == "UI":
        return _Choice(actions.keep_uid, "kept where well formed; otherwise replaced by its pseudonym")
    if vr == "AS":
        return basic.after(actions.make_keep_age, "kept, above 89 years as 90")
    if vr in _NUMBERS:
        one = functools.partial(actions.make_keep_number, vr, 1)
        return basic.after(one, "kept where a number")
    if vr == "CS":
        terms = read_terms().get(row["keyword"], frozenset())
        return basic.after(functools.partial(actions.make_keep_term, terms), "kept where a defined term")
    if vr in _BY_TEMPORAL_VR:
        return basic.after(actions.make_keep_temporal(vr), "kept where well formed")
    if row.get("retain_patient_characteristics"):
        return basic
    return basic.after(texts.make_keep_plain, "kept where short and plain") if vr != "OB" else basic


def _choose_cleaned(vr: str, basic: _Choice) -> _Choice:
    """C: of a label the known words stay; a longer text stays where every word of it is known."""
    if vr == "SQ":
        return _REBUILT if basic is not _EMPTIED else _EMPTIED
    if vr in _LABELS:
        return basic.after(functools.partial(texts.make_clean_label, read_words()), "reduced to known words")
    if vr in _TEXTS:
        check = functools.partial(texts.make_clean_text, read_words())
        return basic.after(check, "kept where every word is known")
    return basic


def _choose_private(vr: str, options: frozenset[str]) -> _Choice:
    if vr in _BY_TEMPORAL_VR:
        modified = "retain_longitudinal_modified_dates" in options
        return _choose_modified_date(0, vr, _REMOVED) if modified else _REMOVED
    if vr in _NUMBERS or vr in ("CS", "AS", "SQ"):
        return _choose_kept({"vr": vr, "keyword": ""}, _REMOVED)
    if vr == "UI":
        return _choose_uid(options)
    return _REMOVED.after(texts.make_keep_product, "kept where short and plain")


def _choose_uid(options: frozenset[str]) -> _Choice:
    if "retain_uids" in options:
        return _Choice(actions.keep_uid, "kept where well formed; otherwise replaced by its pseudonym")
    return _Choice(
        actions.keep_standard_uid, "kept where assigned by DICOM; otherwise replaced by its pseudonym"
    )


def _build_kept(options: frozenset[str]) -> Iterator[tuple[int, Rule]]:
    """The rules of the allow-list. What comes with another VR than its own goes."""
    for row in rows("keep.csv"):
        vrs = row["vr"].split(" or ")
        accepted = frozenset({vr.encode() for vr in vrs} | {b""})
        written = "OW" if "OW" in vrs else vrs[0]  # a lookup table may be too long for US
        yield int(row["tag"], 16), Rule(written.encode(), accepted, *_check(row, vrs[0], options))


def _check(row: Mapping[str, str], vr: str, options: frozenset[str]) -> _Choice:
    check = row["check"]
    if check == "sequence":
        return _REBUILT
    if check == "number":
        numbers = functools.partial(actions.make_keep_number, vr, _most(row["vm"]))
        return _REMOVED.after(numbers, "kept where a number of its VR")
    if check == "term":
        terms = read_terms().get(row["keyword"], frozenset())
        form = "a defined term" if terms and actions.OPEN not in terms else "formed like a term"
        return _EMPTIED.after(functools.partial(actions.make_keep_term, terms), f"kept where {form}")
    if check == "label":
        words = functools.partial(texts.make_keep_label, read_words())
        return _Choice(actions.make_dummy(vr), "replaced by a dummy").after(
            words, "kept where of known words"
        )
    if check == "key":
        return _Choice(texts.make_keep_key(read_words()), "kept where of known words; otherwise a pseudonym")
    if check == "uid":
        return _choose_uid(options)
    if check in ("date", "date_time", "time"):
        modified = not options.isdisjoint(_DATES)
        return _choose_modified_date(0, vr, _REMOVED) if modified else _REMOVED
    if check in ("dummy", "empty"):
        basic = _EMPTIED if check == "empty" else _Choice(actions.make_dummy(vr), "replaced by a dummy")
        return _choose_cleaned(vr, basic) if "clean_descriptors" in options else basic
    dummy = _Choice(actions.make_dummy(vr), "replaced by a dummy") if vr in actions.DUMMIES else _REMOVED
    return _BY_CHECK[check](dummy)


def _most(multiplicity: str) -> int:
    """The most values that a VM allows; 0 where there is no bound."""
    last = multiplicity.split("-")[-1]
    return int(last) if last.isdigit() else 0


_BY_CHECK: dict[str, Callable[[_Choice], _Choice]] = {
    "character_set": lambda dummy: _REMOVED.after(actions.make_keep_character_set, "kept where of PS3.3"),
    "code_meaning": lambda dummy: _Choice(actions.keep_code_meaning, "given by the code; otherwise a dummy"),
    "code_scheme": lambda dummy: _Choice(actions.keep_code_scheme, "kept where published; otherwise 99LOCAL"),
    "code_value": lambda dummy: _Choice(actions.keep_code_value, "kept where known or short; else a dummy"),
    "lookup_table": lambda dummy: _REMOVED.after(
        functools.partial(actions.make_keep_number, "US", 0), "kept where numbers"
    ),
    "ordinal": lambda dummy: dummy.after(texts.make_keep_ordinal, "kept where a small whole number"),
    "product": lambda dummy: dummy.after(texts.make_keep_product, "kept where short and plain"),
    "version": lambda dummy: _EMPTIED.after(texts.make_keep_version, "kept where formed like a version"),
}
