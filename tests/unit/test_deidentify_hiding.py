"""A canary in every place outside Table E.1-1 where identity can hide, in every encoding: none survives."""

import io
import zlib
from collections.abc import Callable

import pydicom
import pytest

from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit import frames
from tests.unit.part10_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SEQUENCE_END,
    UNDEFINED,
    Elements,
    big_endian,
    dataset,
    element,
    item,
    mammogram,
    part10,
    sequence,
)
from tests.unit.test_codestream import MARKED, hide

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
CANARY = b"CaNaRy^hidden"
SYNTAXES = [EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN]
Hide = Callable[[bytes, bool], Elements]  # (canary, explicit) -> elements


def name(canary: bytes, explicit: bool) -> bytes:
    return element(0x00100010, "PN", canary, explicit)


def text_item(canary: bytes, explicit: bool) -> bytes:
    return element(0x0040A040, "CS", b"TEXT", explicit) + element(0x0040A160, "UT", canary, explicit)


PLACES: dict[str, Hide] = {
    "private element": lambda c, e: {0x00090010: ("LO", b"SOMEBODY"), 0x00091001: ("LO", c)},
    "private creator": lambda c, e: {0x00090010: ("LO", c), 0x00091001: ("US", b"\1\0")},
    "private sequence": lambda c, e: {0x00091001: ("SQ", item(name(c, e)))},
    "unknown element": lambda c, e: {0x00081999: ("LO", c)},
    "text of SR": lambda c, e: {0x0040A730: ("SQ", item(text_item(c, e)))},
    "text of SR three deep": lambda c, e: {
        0x0040A730: (
            "SQ",
            item(sequence(0x0040A730, sequence(0x0040A730, text_item(c, e), explicit=e), explicit=e)),
        )
    },
    "person name of SR": lambda c, e: {0x0040A730: ("SQ", item(element(0x0040A123, "PN", c, e)))},
    "annotation": lambda c, e: {
        0x00700001: ("SQ", item(sequence(0x00700008, element(0x00700006, "ST", c, e), explicit=e)))
    },
    "graphic layer": lambda c, e: {0x00700060: ("SQ", item(element(0x00700002, "CS", c, e)))},
    "content label": lambda c, e: {0x00700080: ("CS", c)},
    "overlay data": lambda c, e: {0x60000010: ("US", b"\1\0"), 0x60003000: ("OW", c)},
    "overlay label": lambda c, e: {0x60021500: ("LO", c)},
    "curve": lambda c, e: {0x50003000: ("OW", c)},
    "encapsulated PDF": lambda c, e: {0x00420011: ("OB", b"%PDF-1.7 " + c), 0x00420012: ("LO", c)},
    "waveform": lambda c, e: {0x54000100: ("SQ", item(element(0x54001010, "OW", c, e)))},
    "waveform annotation": lambda c, e: {0x0040B020: ("SQ", item(element(0x00700006, "ST", c, e)))},
    "icon": lambda c, e: {0x00880200: ("SQ", item(element(0x7FE00010, "OW", c, e)))},
    "original attributes": lambda c, e: {0x04000561: ("SQ", item(name(c, e)))},
    "encrypted attributes": lambda c, e: {0x04000500: ("SQ", item(element(0x04000520, "OB", c, e)))},
    "digital signature": lambda c, e: {0xFFFAFFFA: ("SQ", item(element(0x04000115, "OB", c, e)))},
    "trailing padding": lambda c, e: {0xFFFCFFFC: ("OB", c)},
    "group length": lambda c, e: {0x00080000: ("UL", c[:4])},
    "UN": lambda c, e: {0x00185101: ("UN", c)},
    "UN-encoded sequence": lambda c, e: {0x00540220: ("UN", item(name(c, False)))},
    "description": lambda c, e: {0x0008103E: ("LO", c)},
    "comment": lambda c, e: {0x00204000: ("LT", b"left breast of " + c)},
    "segment label": lambda c, e: {0x00620002: ("SQ", item(element(0x00620005, "LO", c, e)))},
    "manufacturer": lambda c, e: {0x00080070: ("LO", c)},
    "software": lambda c, e: {0x00181020: ("LO", c)},
    "local code": lambda c, e: {0x00081032: ("SQ", item(element(0x00080100, "SH", b"CaNaRy", e)))},
    "local scheme": lambda c, e: {0x00081032: ("SQ", item(element(0x00080102, "SH", b"99CaNaRy", e)))},
    "code meaning": lambda c, e: {0x00081032: ("SQ", item(element(0x00080104, "LO", c, e)))},
    "UID": lambda c, e: {0x00080118: ("UI", c)},
    "number": lambda c, e: {0x00180060: ("DS", c)},
    "time": lambda c, e: {0x00080031: ("TM", c)},
    "date": lambda c, e: {0x00080021: ("DA", c)},
    "age": lambda c, e: {0x00101010: ("AS", c)},
    "pixel padding": lambda c, e: {0x7FE00010: ("OW", bytes(range(24)) + c)},
}


def encoded(elements: Elements, syntax: str) -> bytes:
    body = dataset(elements, syntax != IMPLICIT)
    if syntax == BIG_ENDIAN:
        return big_endian(body)
    if syntax != DEFLATED:
        return body
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(body) + stream.flush()


def opened(instance: bytes, syntax: str) -> bytes:
    if syntax != DEFLATED:
        return instance
    length = pydicom.dcmread(io.BytesIO(instance), specific_tags=[]).file_meta.FileMetaInformationGroupLength
    return instance + zlib.decompressobj(-15).decompress(instance[144 + length :])


def traces(output: bytes) -> list[bytes]:
    lower = output.lower()
    forms = [
        b"canary",
        "canary".encode("utf-16-le"),
        "canary".encode("utf-16-be"),
        "canary".encode("utf-32-le"),
    ]
    return [form for form in forms if form in lower]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", ["ascii", "utf-16", "utf-16-be"])
def test_in_the_dataset(place: str, syntax: str, form: str) -> None:
    """PS3.15 E.1.1, E.3; PS3.5 6.2.2, 7.5, A.5."""
    planted = PLACES[place](CANARY.decode().encode(form), syntax != IMPLICIT)
    try:
        made = DEIDENTIFIER.deidentify(part10(encoded(mammogram() | planted, syntax), syntax))
    except Refused:
        assert place in ("digital signature", "trailing padding", "group length") and syntax == DEFLATED
        return
    assert traces(opened(made.instance, syntax)) == []


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("undefined", [True, False])
def test_two_levels_down(place: str, syntax: str, undefined: bool) -> None:
    """In the items of a functional group, whose sequences are kept (PS3.15 E.1.1)."""
    explicit = syntax != IMPLICIT
    inner = dataset(PLACES[place](CANARY, explicit), explicit)
    group = sequence(0x00209113, inner, explicit=explicit, undefined=undefined)
    frames = {0x52009230: ("SQ", item(group, undefined))}
    try:
        made = DEIDENTIFIER.deidentify(part10(encoded(mammogram() | frames, syntax), syntax))
    except Refused:
        assert place in ("digital signature", "trailing padding", "group length", "UN-encoded sequence")
        return
    assert traces(opened(made.instance, syntax)) == []


class TestCompressedFrames:
    """PS3.5 A.4: canaries in frames, between them, behind them, and in their tables."""

    @staticmethod
    def stored(syntax: str, *fragments: bytes, table: bytes = b"", extended: bytes = b"") -> bytes:
        value = b"".join(map(item, (table, *fragments))) + SEQUENCE_END
        body = dataset(mammogram(x00280008=("IS", b"%d" % len(fragments)), x7FE00010=None)) + extended
        body += element(0x7FE00010, "OB", value, length=UNDEFINED) + CANARY
        return DEIDENTIFIER.deidentify(part10(body, syntax)).instance

    @pytest.mark.parametrize("syntax", MARKED)
    def test_in_each_segment(self, syntax: str) -> None:
        frame = hide(frames.encode(frames.IMAGE, syntax), syntax)
        frame += b" " * (len(frame) % 2)
        output = self.stored(syntax, frame, frame)
        assert traces(output) == []
        (one, other) = frames.decoded(output)
        assert one == other == frames.decode(frames.encode(frames.IMAGE, syntax), syntax).tobytes()

    def test_in_the_tables(self) -> None:
        frame = frames.encode(frames.IMAGE, frames.JPEG) + b"\0"
        frame = frame[: len(frame) // 2 * 2]
        extended = element(0x7FE00001, "OV", CANARY + b"xxx") + element(0x7FE00002, "OV", CANARY + b"xxx")
        output = self.stored(frames.JPEG, frame, table=CANARY[:12], extended=extended)
        assert traces(output) == []

    def test_in_a_fragment_that_is_no_frame(self) -> None:
        with pytest.raises(Refused, match="bad-codestream"):
            self.stored(frames.JPEG, CANARY + b" ")


@pytest.mark.parametrize(
    "sop_class",
    ["104.1", "104.2", "104.3", "77.1.1.1", "77.1.2.1", "77.1.4.1", "9.1.1", "9.2.1", "481.3"],
    ids=["PDF", "CDA", "STL", "video", "microscopy video", "photo video", "ECG", "waveform", "structure set"],
)
def test_what_can_not_be_cleaned_is_refused(sop_class: str) -> None:
    changes = {
        "x00080016": ("UI", f"1.2.840.10008.5.1.4.1.1.{sop_class}".encode()),
        "x00420011": ("OB", b"%PDF-1.7 " + CANARY),
        "x7FE00010": None,
        "x00280010": None,
    }
    with pytest.raises(Refused):
        DEIDENTIFIER.deidentify(part10(dataset(mammogram(**changes))))


def test_two_sites_share_no_pseudonym() -> None:
    elsewhere = Deidentifier(Keys.derive(b"another site's secret of 32 bytes"), DEIDENTIFIER.profile)
    instance = part10(dataset(mammogram()))
    here, there = DEIDENTIFIER.deidentify(instance), elsewhere.deidentify(instance)
    ours = {here.patient_id, here.study_instance_uid, here.series_instance_uid, here.sop_instance_uid}
    theirs = {there.patient_id, there.study_instance_uid, there.series_instance_uid, there.sop_instance_uid}
    assert not ours & theirs
    assert elsewhere.deidentify(here.instance).patient_id != here.patient_id
