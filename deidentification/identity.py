"""Who an instance is about, as it said before it was de-identified: what the crosswalk seals."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

# Attributes of the outermost dataset that the identity is read from, by tag, with the field that takes each.
TAGS: dict[int, str] = {
    0x00080005: "character_set",
    0x00080016: "sop_class_uid",
    0x00080018: "sop_instance_uid",
    0x00080020: "study_date",
    0x00080030: "study_time",
    0x00080050: "accession_number",
    0x00080090: "referring_physician_name",
    0x00100010: "patient_name",
    0x00100020: "patient_id",
    0x00100021: "issuer_of_patient_id",
    0x00100030: "patient_birth_date",
    0x00100040: "patient_sex",
    0x0020000D: "study_instance_uid",
    0x0020000E: "series_instance_uid",
    0x00200010: "study_id",
    0x00200052: "frame_of_reference_uid",
}
_TEXTS = (
    "patient_name",
    "patient_id",
    "issuer_of_patient_id",
    "accession_number",
    "study_id",
    "referring_physician_name",
)
_PADDING = b" \0"

# Defined terms of Specific Character Set (PS3.3 C.12.1.1.2) and Python's codecs.
_CODECS = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 166": "tis_620",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
# Escape sequences of ISO 2022 (PS3.3 C.12.1.1.2, tables C.12-3 and C.12-4) and the codecs of what follows them.
_ESCAPES = {
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b$B": "iso2022_jp_2",
    b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
    b"\x1b-A": "latin_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-T": "tis_620",
}
CODECS = frozenset({*_CODECS.values(), *_ESCAPES.values()})
"""Python's codecs of all the character sets that are known here."""
_ESCAPE = re.compile(rb"(\x1b(?:\$B|\$\(D|\$\)[AC]|[()-][A-Z]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Raw original values as text, without padding; empty where the instance had none.

    The texts are decoded as Specific Character Set says; `raw` keeps the bytes of those that are not plain
    ASCII, in hex by field, so that re-identification gives back what came.
    """

    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    referring_physician_name: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    frame_of_reference_uid: str = ""
    character_set: str = ""
    raw: Mapping[str, str]

    @property
    def patient(self) -> tuple[str, str]:
        """What the patient's pseudonym is made of: the Patient ID by its bytes, as Latin-1, and its issuer.

        Without a Patient ID each study is a person of its own.
        """
        raw = self.raw.get("patient_id")
        written = bytes.fromhex(raw).decode("latin-1") if raw else self.patient_id
        return (
            (written, self.issuer_of_patient_id)
            if written
            else (self.study_instance_uid, "study without patient")
        )

    def to_json(self) -> bytes:
        """UTF-8 JSON with sorted keys: the same identity gives the same bytes."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Identity":
        """Read what `to_json` wrote; fields of a later version are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in names})


def read_identity(values: Mapping[int, bytes]) -> Identity:
    """The identity that raw values of the outermost dataset, by tag, give."""
    raw = {name: values[tag].strip(_PADDING) for tag, name in TAGS.items() if tag in values}
    character_set = raw.get("character_set", b"").decode("latin-1")
    found = {name: value.decode("latin-1") for name, value in raw.items() if name not in _TEXTS}
    for name in _TEXTS:
        found[name] = decode(raw.get(name, b""), character_set)
    kept = {name: raw[name].hex() for name in _TEXTS if name in raw and not _is_plain(raw[name])}
    return Identity(**found, raw=kept)


def _is_plain(value: bytes) -> bool:
    return value.isascii() and b"\x1b" not in value


def decode(value: bytes, character_set: str) -> str:
    """Text as its Specific Character Set says, well enough to be read; what is undecodable is U+FFFD."""
    if _is_plain(value):
        return value.decode("ascii")
    terms = (term.strip().replace("ISO 2022 IR ", "ISO_IR ") for term in character_set.split("\\"))
    initial = next((_CODECS[term] for term in terms if term in _CODECS), "latin_1")
    text, *escaped = _ESCAPE.split(value)
    decoded = [text.decode(initial, "replace")]
    for escape, text in zip(escaped[::2], escaped[1::2], strict=True):
        codec = _ESCAPES.get(escape, initial)
        decoded.append((escape + text if codec == "iso2022_jp_2" else text).decode(codec, "replace"))
    return "".join(decoded)
