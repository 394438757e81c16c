"""A result under the identity that its study came with: the reverse of de-identification, in memory.

What leaves carries the patient's and the study's attributes as they came, byte for byte, the original UIDs of all that
it refers to, the original dates, and nothing that says or shows which pseudonym it had here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import Comprehensive3DSRStorage, MammographyCADSRStorage

from deidentification.identity import Identity
from deidentification.part10 import encode
from deidentification.pseudonym import Pseudonyms
from inference.delivery.errors import Undeliverable
from inference.instance import read_dataset, readable

STUDY_INSTANCE_UID, SOP_INSTANCE_UID = 0x0020000D, 0x00080018
REFERENCED_SOP_INSTANCE_UID = 0x00081155
_CHARACTER_SET = 0x00080005
_UTF_8 = b"ISO_IR 192"
# Attributes of patient and study that are put back, by their tags, with their VRs.
_PUT_BACK: dict[int, tuple[str, bytes]] = {
    0x00080020: ("study_date", b"DA"),
    0x00080030: ("study_time", b"TM"),
    0x00080050: ("accession_number", b"SH"),
    0x00080090: ("referring_physician_name", b"PN"),
    0x00100010: ("patient_name", b"PN"),
    0x00100020: ("patient_id", b"LO"),
    0x00100021: ("issuer_of_patient_id", b"LO"),
    0x00100030: ("patient_birth_date", b"DA"),
    0x00100040: ("patient_sex", b"CS"),
    0x00200010: ("study_id", b"SH"),
}
_OPTIONAL = {0x00100021}  # of type 3: absent where the study had none
# What says that it was de-identified, and what de-identification changed and the crosswalk does not hold.
_DROPPED = {0x00120062, 0x00120063, 0x00120064, 0x00280303, 0x00081030, 0x00101010}
_REPORTS = {Comprehensive3DSRStorage, MammographyCADSRStorage}
_LONGITUDINAL = "LongitudinalTemporalInformationModified"
_TEXTS = frozenset(
    {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
)  # those that the character set is for (PS3.5 6.1.2)
_DATE = re.compile(r"([0-9]{8})(.*)", re.DOTALL)
_ZONE = re.compile(r"([+-])(0[0-9]|1[0-4])([0-5][0-9])")
_PSEUDONYMS = re.compile(rb"2\.25\.[1-9][0-9]{0,38}|SG[A-Z2-7]{24}")


@dataclass(frozen=True, slots=True)
class Study:
    """Whose a study is, as the crosswalk says: original UIDs by pseudonym, with those of what belongs to it."""

    identity: Identity
    originals: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Edition:
    """Which version of a result it is, since when, and which one the destination was sent before, if any."""

    version: str
    made_at: datetime
    replaces: str = ""


class Reidentified:
    """A result as it leaves; `dataset` gives its bytes. Raises Undeliverable."""

    def __init__(
        self,
        instance: bytes,
        study: Study,
        edition: Edition,
        versions: Mapping[str, str],
        pseudonyms: Pseudonyms,
    ) -> None:
        """`versions` are those of other results that it may name, by SOP Instance UID."""
        self._identity = study.identity
        self._originals = study.originals
        self._edition = edition
        self._pseudonyms = pseudonyms
        with readable():
            self._result = read_dataset(instance, pixels=True)
            self._require_same_study()
            own = str(self._result.SOPInstanceUID)
            self._versions = {**versions, own: edition.version}
            self._dates = self._make_dates()
            self._change(self._result)
            self._date_edition(own)
            self._character_set, values = self._choose_characters()
        self._put_back = {
            tag: (vr, values[name])
            for tag, (name, vr) in _PUT_BACK.items()
            if values[name] or tag not in _OPTIONAL
        }
        self.sop_class_uid = str(self._result.SOPClassUID)
        self.sop_instance_uid = str(self._result.SOPInstanceUID)
        self.series_instance_uid = str(self._result.SeriesInstanceUID)
        self.study_instance_uid = str(self._result.StudyInstanceUID)

    def dataset(self, *, explicit: bool) -> bytes:
        """The data set in little endian, with explicit or implicit VR; the same each time."""
        own = {**self._put_back} | (
            {_CHARACTER_SET: (b"CS", self._character_set)} if self._character_set else {}
        )
        parts = []
        with readable():
            for tag in sorted({*map(int, self._result.keys()), *own}):
                if tag in own:
                    parts.append(encode(tag, *own[tag], explicit))
                elif tag not in _PUT_BACK and tag not in (*_DROPPED, _CHARACTER_SET):
                    parts.append(_encoded(self._result[tag], explicit, self._character_set))
        whole = b"".join(parts)
        self._require_no_pseudonym(whole)
        return whole

    def _date_edition(self, own: str) -> None:
        """Instance Creation Date and Time tell the latest of several, and a report names the one before it.

        PS3.3 C.12.1.1 and C.17.2. They are in the time zone that the result names, else in the site's own.
        """
        named = _ZONE.fullmatch(str(self._result.get("TimezoneOffsetFromUTC", "")))
        offset = (
            timedelta(hours=int(named[1] + named[2]), minutes=int(named[1] + named[3])) if named else None
        )
        made_at = self._edition.made_at.astimezone(None if offset is None else timezone(offset))
        self._result.InstanceCreationDate = made_at.strftime("%Y%m%d")
        self._result.InstanceCreationTime = made_at.strftime("%H%M%S")
        if self._edition.replaces and str(self._result.SOPClassUID) in _REPORTS:
            before, series, study = Dataset(), Dataset(), Dataset()
            before.ReferencedSOPClassUID = self._result.SOPClassUID
            before.ReferencedSOPInstanceUID = self._pseudonyms.outward_uid(own, self._edition.replaces)
            series.SeriesInstanceUID, series.ReferencedSOPSequence = self._result.SeriesInstanceUID, [before]
            study.StudyInstanceUID, study.ReferencedSeriesSequence = self._result.StudyInstanceUID, [series]
            self._result.PredecessorDocumentsSequence = [study]

    def _require_same_study(self) -> None:
        """That the opened identity is that of this very result: nothing may come to another patient."""
        pseudonyms, result = self._pseudonyms, self._result
        patient = pseudonyms.patient_id(*self._identity.patient)
        study = self._originals.get(str(result.StudyInstanceUID))
        if study != self._identity.study_instance_uid or patient != str(result.PatientID):
            raise Undeliverable("the crosswalk names another patient or study than the result does")

    def _make_dates(self) -> "_Dates":
        if self._result.get(_LONGITUDINAL) == "MODIFIED":
            return _Dates(self._identity, -self._pseudonyms.days(*self._identity.patient))
        return _Dates(self._identity, None)

    def _change(self, dataset: Dataset) -> None:
        """Map UIDs and dates, and drop what says that it was de-identified, at every depth."""
        for element in list(dataset):
            if int(element.tag) in _DROPPED:
                del dataset[element.tag]
            elif element.VR == "SQ":
                for item in element.value:
                    self._change(item)
            elif element.VR == "UI":
                element.value = _each(element, lambda uid, tag=element.tag: self._map(int(tag), uid))
            elif element.VR in ("DA", "DT", "TM"):
                element.value = _each(element, lambda text, vr=element.VR: self._dates.restore(vr, text))

    def _map(self, tag: int, uid: str) -> str:
        if uid in self._originals:
            return self._originals[uid]
        if not self._pseudonyms.is_own_uid(uid):
            return uid
        if tag in (SOP_INSTANCE_UID, REFERENCED_SOP_INSTANCE_UID):
            if uid not in self._versions:
                raise Undeliverable(
                    "it names an instance that neither the crosswalk nor its destination holds"
                )
            return self._pseudonyms.outward_uid(uid, self._versions[uid])
        if tag == STUDY_INSTANCE_UID:
            raise Undeliverable("it names a study that the crosswalk does not hold")
        return self._pseudonyms.outward_uid(uid)

    def _choose_characters(self) -> tuple[bytes, dict[str, bytes]]:
        """The character set, and the values that are put back: as they came, where the rest of the text allows."""
        identity = self._identity
        raw = {name: bytes.fromhex(value) for name, value in identity.raw.items()}
        texts = {name: str(getattr(identity, name)) for name, _ in _PUT_BACK.values()}
        if not raw:
            return _UTF_8, {name: text.encode("latin-1") for name, text in texts.items()}
        if _is_ascii(self._result):
            plain = {name: text.encode("latin-1") for name, text in texts.items() if name not in raw}
            return identity.character_set.encode("latin-1"), plain | {
                name: raw.get(name, b"") for name in raw
            }
        if any("�" in text for text in texts.values()):
            raise Undeliverable(
                "the patient's attributes can't be read in the character set that they came in"
            )
        return _UTF_8, {name: text.encode() for name, text in texts.items()}

    def _require_no_pseudonym(self, dataset: bytes) -> None:
        for found in _PSEUDONYMS.findall(dataset):
            text = found.decode("ascii")
            if self._pseudonyms.is_own_uid(text) or self._pseudonyms.is_own_patient_id(text):
                raise Undeliverable("a pseudonym would go out with the identity")


class _Dates:
    """Dates as they were: moved back by the patient's days, or, where they were not kept, those of the study."""

    def __init__(self, identity: Identity, days: int | None) -> None:
        self._identity = identity
        self._days = days
        self._latest = datetime.now(UTC) + timedelta(days=1)

    def restore(self, vr: str, text: str) -> str:
        if not text or vr == "TM" and self._days is not None:
            return text
        if self._days is None:
            return self._of_study(vr)
        parsed = _DATE.fullmatch(text)
        try:
            moved = datetime.strptime(parsed[1], "%Y%m%d").replace(tzinfo=UTC) if parsed else None
            moved = moved and moved + timedelta(self._days)
        except (ValueError, OverflowError):
            moved = None
        if parsed is None or moved is None:
            return text
        return f"{moved:%Y%m%d}{parsed[2]}" if moved <= self._latest else self._of_study(vr)

    def _of_study(self, vr: str) -> str:
        date, time = self._identity.study_date, self._identity.study_time
        return {"DA": date, "TM": time, "DT": date + time}[vr]


def own_uids(instance: bytes, pseudonyms: Pseudonyms) -> set[str]:
    """The UIDs of the site's own making that a Part 10 instance names, at every depth. Raises ReadingFailed."""
    with readable():
        result = read_dataset(instance, pixels=False)
        return {uid for uid in _uids(result) if pseudonyms.is_own_uid(uid)}


def _uids(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR == "UI":
            yield from _values(element)


def _values(element: DataElement) -> list[str]:
    value: Any = element.value
    values = value if isinstance(value, MultiValue | list) else [value]
    return ["" if one is None else str(one) for one in values]


def _each(element: DataElement, change: Any) -> Any:
    changed = [change(one) if one else one for one in _values(element)]
    return changed if len(changed) != 1 else changed[0]


def _is_ascii(dataset: Dataset) -> bool:
    """Whether the text that stays can be written in any character set. That which is put back is not looked at."""
    put_back: set[BaseTag] = {Tag(tag) for tag in _PUT_BACK}
    return all(
        text.isascii()
        for element in dataset.iterall()
        if element.VR in _TEXTS and element.tag not in put_back
        for text in _values(element)
    )


def _encoded(element: DataElement, explicit: bool, character_set: bytes) -> bytes:
    """An element as it is written; its text is ASCII unless the character set is UTF-8."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, not explicit
    write_data_element(buffer, element, "ISO_IR 192" if character_set == _UTF_8 else "ISO_IR 6")
    return buffer.getvalue()
