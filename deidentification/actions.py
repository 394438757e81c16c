"""What is done to an element's value: the actions of PS3.15 table E.1-1a, and the checks of what is kept.

An action takes a `Subject` and the value's bytes and gives the bytes that take their place: the very same
object where the value stays, None where the element goes.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from deidentification.pseudonym import Pseudonyms, is_standard_uid

Codes = Mapping[tuple[bytes, bytes], bytes]


@dataclass(slots=True)
class Subject:
    """Whose instance is rewritten, and what one element must know of those before it."""

    pseudonyms: Pseudonyms
    patient_id: str  # the pseudonym
    issuer: str  # of the original Patient ID
    days: int  # added to each date
    codes: Codes  # known meanings by (scheme, code)
    code_values: Container[bytes]  # the codes of all schemes together
    suspects: tuple[bytes, ...] = ()  # upper-case identity of the source; text that holds one is not kept
    explained: dict[bytes, int] = field(default_factory=dict)  # how often a suspect stays for a good reason
    originals: dict[str, str] = field(default_factory=dict)  # pseudonyms of the UIDs met so far
    descriptors: dict[int, bytes] = field(default_factory=dict)  # of lookup tables, by the tag of their data
    concept: bytes = b""  # the last code value met: within a content item, that of its concept name
    code: bytes = b""  # the code value and scheme of the item at hand
    scheme: bytes = b""

    def is_suspect(self, value: bytes) -> bool:
        """Whether text holds a part of the source's identity."""
        upper = value.upper()
        return any(suspect in upper for suspect in self.suspects)

    def explain(self, value: bytes) -> None:
        """Count the suspects in a value that comes from a closed vocabulary, a number or a pseudonym."""
        upper = value.upper()
        for suspect in self.suspects:
            self.explained[suspect] = self.explained.get(suspect, 0) + upper.count(suspect)


OPEN = b"*"  # among terms: the list is not the whole
Action = Callable[[Subject, bytes], bytes | None]

# A value that is valid for the VR and says nothing (PS3.15 E.1-1a, action D).
DUMMIES: dict[str, bytes] = {
    "AE": b"REMOVED",
    "AS": b"000Y",
    "CS": b"REMOVED",
    "DA": b"19000101",
    "DS": b"0",
    "DT": b"19000101000000",
    "IS": b"0",
    "LO": b"REMOVED",
    "LT": b"REMOVED",
    "OB": b"\0\0",
    "PN": b"REMOVED",
    "SH": b"REMOVED",
    "ST": b"REMOVED",
    "TM": b"000000",
    "UC": b"REMOVED",
    "UN": b"",
    "UR": b"urn:removed",
    "UT": b"REMOVED",
}

_PADDING = b" \0"
_NUMBER = rb" *[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})? *"
_NUMBERS = re.compile(rb"(?:%b)?(?:\\(?:%b)?)*\0?" % (_NUMBER, _NUMBER)).fullmatch
_INTEGER = rb" *[+-]?[0-9]{1,12} *"
_INTEGERS = re.compile(rb"(?:%b)?(?:\\(?:%b)?)*\0?" % (_INTEGER, _INTEGER)).fullmatch
_CODE_STRINGS = re.compile(rb"(?!.*[0-9]{6})[A-Z0-9 _]{0,16}(?:\\[A-Z0-9 _]{0,16})*\0?").fullmatch
_AGE = re.compile(rb"([0-9]{3})([DWMY])").fullmatch
_DATE = re.compile(rb"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})").fullmatch
_TIME = re.compile(rb"(?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?[0-6][0-9](?:\.[0-9]{1,6})?)?)?").fullmatch
_DATE_TIME = re.compile(
    rb"([0-9]{8})([0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?)?([+-][0-9]{4})?"
).fullmatch
_ZONE = re.compile(rb"[+-][0-9]{4} ?").fullmatch
_UID_FORM = re.compile(rb"[0-9.]{1,64}(?:\\[0-9.]{1,64})*").fullmatch
_CODE_VALUE = re.compile(rb"[A-Za-z0-9{}\[\]()%*/'.^+_-]{1,18}").fullmatch
_CODE_SCHEMES = frozenset(b"BARI BI DCM FMA IBSI LN MDC NCIt RADLEX RFC5646 SCT SNM3 SRT UCUM UMLS".split())
_LOCAL_SCHEME = b"99LOCAL"
_LIKE_A_NAME_OR_NUMBER = re.compile(rb"[0-9]{7}|[A-Za-z]{4}").search
_CHARACTER_SET = re.compile(
    rb"(?:(?:ISO_IR (?:6|13|100|101|109|110|126|127|138|144|148|166|192|203)|GB18030|GBK"
    rb"|ISO 2022 IR (?:6|13|58|87|100|101|109|110|126|127|138|144|148|149|159|166|203))? ?(?:\\|$))*\Z"
).match


def empty(subject: Subject, value: bytes) -> bytes:
    """Z: a value of no length."""
    return value if not value else b""


def remove(subject: Subject, value: bytes) -> None:
    """X: the element goes."""


def make_dummy(vr: str) -> Action:
    """D: the dummy of the VR; an empty value stays empty, for nothing is to be hidden there."""
    dummy_value = DUMMIES[vr]

    def put_dummy(subject: Subject, value: bytes) -> bytes:
        stripped = value.strip(_PADDING)
        return value if not stripped or stripped == dummy_value else dummy_value

    return put_dummy


def map_uid(subject: Subject, value: bytes) -> bytes:
    """U: every UID of the value becomes its pseudonym."""
    uids = value.decode("latin-1").strip(" \0").split("\\")
    mapped = [_map_one(subject, uid.strip(" \0")) for uid in uids]
    return value if mapped == uids else "\\".join(mapped).encode("ascii")


def _map_one(subject: Subject, uid: str) -> str:
    pseudonym = subject.originals.get(uid)
    if pseudonym is None:
        pseudonym = subject.originals[uid] = subject.pseudonyms.uid(uid)
    return pseudonym


def map_patient_id(subject: Subject, value: bytes) -> bytes:
    """A Patient ID below the outermost dataset becomes its pseudonym."""
    patient_id = value.decode("latin-1").strip(" \0")
    if not patient_id:
        return b""
    pseudonym = subject.pseudonyms.patient_id(patient_id, subject.issuer)
    return value if pseudonym == patient_id else pseudonym.encode("ascii")


def make_shift_date(otherwise: Action) -> Action:
    """C of a DA under modified dates: moved by the subject's days; no date is left to the basic action."""
    return _for_each_value(_shift_date, otherwise)


def make_shift_date_time(otherwise: Action) -> Action:
    """C of a DT under modified dates: its date is moved, its time and its zone stay."""
    return _for_each_value(_shift_date_time, otherwise)


def make_keep_time(otherwise: Action) -> Action:
    """C of a TM under modified dates: whole days do not change the time of day."""
    return _for_each_value(lambda subject, value: value if _TIME(value) else None, otherwise)


def make_keep_temporal(vr: str) -> Callable[[Action], Action]:
    """K of a DA, DT or TM: it stays where it is well formed."""
    fits = {"DA": _DATE, "DT": _DATE_TIME, "TM": _TIME}[vr]
    return lambda otherwise: _for_each_value(lambda subject, value: value if fits(value) else None, otherwise)


def _for_each_value(change: Action, otherwise: Action) -> Action:
    def change_all(subject: Subject, value: bytes) -> bytes | None:
        stripped = value.strip(_PADDING)
        if not stripped:
            return value if not value.strip(b" ") else b""
        before = stripped.split(b"\\")
        after = []
        for part in before:
            changed = part and change(subject, part.strip(b" "))
            if changed is None:
                return otherwise(subject, value)
            after.append(changed)
        return value if after == before else b"\\".join(after)

    return change_all


def _shift_date(subject: Subject, value: bytes) -> bytes | None:
    parsed = _DATE(value)
    if parsed is None:
        return None
    try:
        moved = date(*map(int, parsed.groups())) + timedelta(subject.days)
    except (ValueError, OverflowError):
        return None
    return b"%04d%02d%02d" % (moved.year, moved.month, moved.day)


def _shift_date_time(subject: Subject, value: bytes) -> bytes | None:
    parsed = _DATE_TIME(value)
    moved = _shift_date(subject, parsed[1]) if parsed else None
    return None if parsed is None or moved is None else moved + (parsed[2] or b"") + (parsed[3] or b"")


def make_keep_zone(otherwise: Action) -> Action:
    """C of Timezone Offset From UTC: it stays where it is well formed, as times stay."""
    return make_keep(lambda value: _ZONE(value) is not None, otherwise)


def make_keep_age(otherwise: Action) -> Action:
    """K of an AS: an age above 89 years is given as 90 (HIPAA 164.514(b)(2)(i)(C))."""

    def keep_age(subject: Subject, value: bytes) -> bytes | None:
        parsed = _AGE(value.strip(_PADDING))
        if parsed is None:
            return otherwise(subject, value) if value.strip(_PADDING) else value
        old = parsed[2] == b"Y" and int(parsed[1]) > 89
        return b"090Y" if old and parsed[1] != b"090" else value

    return keep_age


def make_keep_number(vr: str, most: int, otherwise: Action) -> Action:
    """Keep a value made of at most `most` numbers of its VR; 0 stands for any number of them."""
    if vr in ("DS", "IS"):
        return _make_keep_number_string(_NUMBERS if vr == "DS" else _INTEGERS, most, otherwise)
    size = {"S": 2, "L": 4, "T": 4, "D": 8, "V": 8, "F": 4}[vr[1]]
    longest = most * size or 1 << 32
    return make_keep(lambda value: len(value) % size == 0 and len(value) <= longest, otherwise)


def _make_keep_number_string(fits: Callable[[bytes], object], most: int, otherwise: Action) -> Action:
    def keep(subject: Subject, value: bytes) -> bytes | None:
        if (
            not fits(value)
            or most
            and value.count(b"\\") >= most
            or value.strip(_PADDING) in subject.suspects
        ):
            return otherwise(subject, value)
        return value

    return keep


def make_keep_term(terms: frozenset[bytes], otherwise: Action) -> Action:
    """Keep defined terms (PS3.3): of the given list, or, where it is open ("*") or empty, what is formed so."""
    if not terms:
        return make_keep_text(_CODE_STRINGS, otherwise)
    if OPEN in terms:
        otherwise = make_keep_text(_CODE_STRINGS, otherwise)

    def keep_term(subject: Subject, value: bytes) -> bytes | None:
        if value.strip(_PADDING) in terms or not value:
            return value
        parts = [part.strip(_PADDING).upper() for part in value.split(b"\\")]
        return (
            b"\\".join(parts)
            if all(not part or part in terms for part in parts)
            else otherwise(subject, value)
        )

    return keep_term


def make_keep_character_set(otherwise: Action) -> Action:
    """Keep a Specific Character Set of PS3.3 C.12.1.1.2. Kept text is ASCII, which each has."""
    return make_keep(_CHARACTER_SET, otherwise)


def make_keep(fits: Callable[[bytes], object], otherwise: Action) -> Action:
    """Keep a value that passes a check."""

    def keep(subject: Subject, value: bytes) -> bytes | None:
        return value if fits(value) or not value else otherwise(subject, value)

    return keep


def make_keep_text(fits: Callable[[bytes], object], otherwise: Action) -> Action:
    """Keep a text that passes a check and holds nothing of the source's identity."""

    def keep(subject: Subject, value: bytes) -> bytes | None:
        if not value or fits(value) and not (subject.suspects and subject.is_suspect(value)):
            return value
        return otherwise(subject, value)

    return keep


def keep_standard_uid(subject: Subject, value: bytes) -> bytes:
    """Keep UIDs of the standard, such as those of SOP classes; any other becomes its pseudonym."""
    if is_standard_uid(value.decode("latin-1").rstrip(" \0")):
        return value
    return map_uid(subject, value)


def keep_uid(subject: Subject, value: bytes) -> bytes:
    """K of a UI: well-formed UIDs stay; anything else becomes a pseudonym."""
    stripped = value.strip(_PADDING)
    return value if not stripped or _UID_FORM(stripped) else map_uid(subject, value)


def keep_code_value(subject: Subject, value: bytes) -> bytes:
    """Keep a known code value, or one that is too short for a name or a number; remember it for its item."""
    code = value.strip(_PADDING)
    subject.concept = subject.code = code
    subject.scheme = b""
    if not code or code in subject.code_values:
        return value
    if (
        _CODE_VALUE(code)
        and not _LIKE_A_NAME_OR_NUMBER(code)
        and not (subject.suspects and subject.is_suspect(code))
    ):
        return value
    subject.code = b""
    return DUMMIES["SH"]


def keep_code_scheme(subject: Subject, value: bytes) -> bytes:
    """Keep the designator of a published coding scheme; a local one may name a hospital, and goes."""
    scheme = value.strip(_PADDING)
    if scheme in _CODE_SCHEMES:
        subject.scheme = scheme
        return value
    return value if not scheme or scheme == _LOCAL_SCHEME else _LOCAL_SCHEME


def keep_code_meaning(subject: Subject, value: bytes) -> bytes:
    """Give a code the meaning that its scheme gives it; the meaning of an unknown code becomes a dummy."""
    scheme = b"SRT" if subject.scheme == b"SNM3" else subject.scheme
    known = subject.codes.get((scheme, subject.code), DUMMIES["LO"])
    subject.code = subject.scheme = b""
    return value if value.rstrip(b" ").lower() == known.lower() else known
