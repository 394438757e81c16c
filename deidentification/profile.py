"""Table E.1-1 of PS3.15, its options and the allow-list, read as data: an action for each element.

Default deny: an element for which there is no rule goes, at every nesting level.
"""

import csv
import functools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deidentification import actions
from deidentification.actions import Action, Codes
from deidentification.elements import LONG_VRS, SHORT_VRS

TABLES = Path(__file__).parent / "tables"

# CID 7050, De-identification Method: the codes of the options, by their columns in confidentiality.csv.
BASIC_PROFILE_CODE = "113100"
OPTION_CODES = {
    "clean_graphics": "113103",
    "clean_structured_content": "113104",
    "clean_descriptors": "113105",
    "retain_longitudinal_full_dates": "113106",
    "retain_longitudinal_modified_dates": "113107",
    "retain_patient_characteristics": "113108",
    "retain_device_identity": "113109",
    "retain_uids": "113110",
    "retain_safe_private": "113111",
    "retain_institution_identity": "113112",
}
SUPPORTED_OPTIONS = frozenset({"retain_longitudinal_modified_dates", "retain_patient_characteristics"})

PATIENT_ID = 0x00100020
TIMEZONE_OFFSET = 0x00080201
_ANY_VR = (LONG_VRS | SHORT_VRS | {b""}) - {b"SQ", b"UN"}


class UnknownProfile(ValueError):
    """There is no such profile, or it asks for an option that does not exist here."""


class Rule(NamedTuple):
    """What happens to an element: the VR to write, the VRs it may come with ("" if implicit), and how.

    What comes as UN is taken for the VR to write (PS3.5 6.2.2).
    """

    vr: bytes
    accepted: frozenset[bytes]
    action: Action | None  # None: a sequence whose items are rebuilt by the same rules


@dataclass(frozen=True, slots=True)
class Profile:
    """A de-identification profile: rules by tag, and what the rules stand for."""

    name: str
    version: str
    options: tuple[str, ...]
    method_codes: tuple[tuple[str, str], ...]  # (code, meaning) of CID 7050
    rules: Mapping[int, Rule] = field(repr=False)
    codes: Codes = field(repr=False)
    code_values: frozenset[bytes] = field(repr=False)

    @property
    def label(self) -> str:
        """How proofs and De-identification Method (0012,0063) name the profile."""
        return f"Senogate {self.name} {self.version}"

    @classmethod
    @functools.cache  # noqa: B019  the arguments are a class and a short list of names
    def load(cls, name: str) -> "Profile":
        """Read a profile by its name from tables/. Raises UnknownProfile."""
        path = TABLES / f"{name}.toml"
        if not re.fullmatch(r"[a-z0-9-]{1,32}", name) or not path.exists():
            raise UnknownProfile("there is no de-identification profile of that name")
        settings = tomllib.loads(path.read_text("utf-8"))
        options = tuple(settings["options"])
        if not SUPPORTED_OPTIONS.issuperset(options):
            raise UnknownProfile(f"profile {name} asks for an option that is not supported")
        codes = _read_codes()
        return cls(
            name=settings["name"],
            version=settings["version"],
            options=options,
            method_codes=_method_codes(options, codes),
            rules={**dict(_read_kept()), **dict(_read_confidentiality(frozenset(options)))},
            codes=codes,
            code_values=frozenset(code for _, code in codes),
        )


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (TABLES / name).open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines)


@functools.cache
def _read_codes() -> Codes:
    return {
        (row["scheme"].encode(), row["code"].encode()): row["meaning"].encode("ascii")
        for row in _rows("codes.csv")
    }


@functools.cache
def _read_terms() -> dict[str, frozenset[bytes]]:
    return {row["keyword"]: frozenset(row["terms"].encode().split(b"|")) for row in _rows("terms.csv")}


def _method_codes(options: tuple[str, ...], codes: Codes) -> tuple[tuple[str, str], ...]:
    applied = [BASIC_PROFILE_CODE, *(OPTION_CODES[option] for option in options)]
    return tuple((code, codes[b"DCM", code.encode()].decode()) for code in sorted(applied))


def _read_confidentiality(options: frozenset[str]) -> Iterator[tuple[int, Rule]]:
    """The rules of Table E.1-1 under the options; rows with action X have none, for what has no rule goes."""
    for row in _rows("confidentiality.csv"):
        if not re.fullmatch("[0-9A-F]{8}", row["tag"]) or row["tag"] < "0008":
            continue
        tag, vr = int(row["tag"], 16), row["vr"]
        action = _with_options(row, tag, _basic(row["action"], vr), options)
        if vr == "SQ" and row["action"] in "DU":
            yield tag, Rule(b"SQ", frozenset({b"SQ", b""}), None)
        elif action is not actions.remove:
            yield tag, Rule(vr.encode(), _ANY_VR | {vr.encode()}, action)


def _basic(code: str, vr: str) -> Action:
    """The action of the Basic Profile. A dummy UID is a pseudonym."""
    if code == "X":
        return actions.remove
    if code == "Z":
        return actions.empty
    if code == "U" or vr == "UI":
        return actions.map_uid
    return actions.empty if vr == "SQ" else actions.make_dummy(vr)


def _with_options(row: dict[str, str], tag: int, basic: Action, options: frozenset[str]) -> Action:
    """The action under the options. None keeps free text: what is not checked by value gets the basic one."""
    if tag == PATIENT_ID:
        return actions.map_patient_id
    if row["retain_longitudinal_modified_dates"] and "retain_longitudinal_modified_dates" in options:
        if tag == TIMEZONE_OFFSET:
            return actions.make_keep_zone(basic)
        return _BY_TEMPORAL_VR.get(row["vr"], lambda otherwise: otherwise)(basic)
    if row["retain_patient_characteristics"] == "K" and "retain_patient_characteristics" in options:
        return _keep_characteristic(row["keyword"], row["vr"], basic)
    return basic


_BY_TEMPORAL_VR: dict[str, Callable[[Action], Action]] = {
    "DA": actions.make_shift_date,
    "DT": actions.make_shift_date_time,
    "TM": actions.make_keep_time,
}


def _keep_characteristic(keyword: str, vr: str, basic: Action) -> Action:
    if vr == "AS":
        return actions.make_keep_age(basic)
    if vr in ("DS", "US"):
        return actions.make_keep_number(vr, 1, basic)
    terms = _read_terms().get(keyword)
    return actions.make_keep_term(terms, basic) if vr == "CS" and terms else basic


def _read_kept() -> Iterator[tuple[int, Rule]]:
    """The rules of the allow-list. What comes with another VR than its own goes."""
    for row in _rows("keep.csv"):
        vrs = row["vr"].split(" or ")
        accepted = frozenset({vr.encode() for vr in vrs} | {b""})
        written = "OW" if "OW" in vrs else vrs[0]  # a lookup table may be too long for US
        yield int(row["tag"], 16), Rule(written.encode(), accepted, _check(row, vrs[0]))


def _check(row: dict[str, str], vr: str) -> Action | None:
    if row["check"] == "sequence":
        return None
    if row["check"] == "number":
        return actions.make_keep_number(vr, _most(row["vm"]), actions.remove)
    if row["check"] == "term":
        return actions.make_keep_term(_read_terms().get(row["keyword"], frozenset()), actions.empty)
    return _BY_CHECK[row["check"]](vr)


def _most(multiplicity: str) -> int:
    """The most values that a VM allows; 0 where there is no bound."""
    last = multiplicity.split("-")[-1]
    return int(last) if last.isdigit() else 0


_BY_CHECK: dict[str, Callable[[str], Action]] = {
    "character_set": lambda vr: actions.make_keep_character_set(actions.remove),
    "code_meaning": lambda vr: actions.keep_code_meaning,
    "code_scheme": lambda vr: actions.keep_code_scheme,
    "code_value": lambda vr: actions.keep_code_value,
    "date": lambda vr: actions.make_shift_date(actions.remove),
    "date_time": lambda vr: actions.make_shift_date_time(actions.remove),
    "dummy": actions.make_dummy,
    "empty": lambda vr: actions.empty,
    "lookup_table": lambda vr: actions.make_keep_number("US", 0, actions.remove),
    "ordinal": lambda vr: actions.make_keep_ordinal(actions.make_dummy(vr)),
    "product": lambda vr: actions.make_keep_product(actions.make_dummy(vr)),
    "time": lambda vr: actions.make_keep_time(actions.remove),
    "uid": lambda vr: actions.keep_standard_uid,
    "version": lambda vr: actions.make_keep_version(actions.empty),
}
