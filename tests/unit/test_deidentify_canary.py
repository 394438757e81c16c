"""A canary in every place where identity can hide: none may be in the output (PS3.15 E.1, E.3)."""

import csv
import io
import struct
import zlib

import pydicom
import pytest

from deidentification.deidentify import Deidentifier
from deidentification.profile import TABLES, Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SEQUENCE_END,
    UNDEFINED,
    big_endian,
    dataset,
    element,
    item,
    jpeg,
    mammogram,
    part10,
    sequence,
)

JPEG = "1.2.840.10008.1.2.4.50"
SYNTAXES = [EXPLICIT, IMPLICIT, DEFLATED, BIG_ENDIAN, JPEG]
# Attributes that an option keeps, checked by value: their canary is a number or a term, and it stays.
RETAINED = {
    0x00080201: "Timezone Offset From UTC stays, as times do (modified dates)",
    0x00100040: "Patient's Sex (patient characteristics)",
    0x00101010: "Patient's Age (patient characteristics)",
    0x00101020: "Patient's Size (patient characteristics)",
    0x00101030: "Patient's Weight (patient characteristics)",
    0x001021A0: "Smoking Status (patient characteristics)",
    0x001021C0: "Pregnancy Status (patient characteristics)",
    0x00102203: "Patient's Sex Neutered (patient characteristics)",
    0x0072005F: "Selector AS Value, an age (patient characteristics)",
}
DESCRIPTION = {0x00280002, 0x00280004, 0x00280010, 0x00280011, 0x00280100, 0x7FE00010, 0x00080005}


@pytest.fixture(scope="module")
def deidentifier() -> Deidentifier:
    return Deidentifier(Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening"))


def canary(index: int, vr: str) -> bytes:
    """A value of the VR that is met nowhere else. Numbers and dates carry the index in digits."""
    text = f"{index:05d}"
    by_vr = {
        "DA": f"19{index % 90 + 10}1{index % 3}1{index % 9}",
        "DT": f"1931{index % 3 + 10}1{index % 9}{index % 10}83017.{text}",
        "TM": f"0317{index % 60:02d}.7{text}",
        "AS": f"{index % 80 + 10:03d}Y",
        "DS": f"777.{text}",
        "IS": f"777{text}",
        "UI": f"1.2.3.777.{text}.777",
        "US": f"\xf7{chr(0xE0 + index % 31)}",
        "CS": f"CANARY{text}",
    }
    return by_vr.get(vr, f"CaNaRy^{text}").encode("latin-1")


def rows() -> list[tuple[int, str]]:
    with (TABLES / "confidentiality.csv").open(newline="") as lines:
        listed = [(row["tag"], row["vr"]) for row in csv.DictReader(lines)]
    concrete = [(tag.replace("x", "0").replace("GGGGEEEE", "00091001"), vr) for tag, vr in listed]
    return [(int(tag, 16), "OB" if "OB" in vr else "UN" if vr == "*" else vr) for tag, vr in concrete]


def times() -> set[int]:
    """Times of day stay under the option of modified dates, which moves whole days."""
    return {tag for tag, vr in rows() if vr == "TM"}


def planted(
    explicit: bool, nested: bytes = b""
) -> tuple[dict[int, tuple[str, bytes]], list[tuple[int, bytes]]]:
    """Every row of Table E.1-1 with its canary; a sequence holds text, a code and what is `nested`."""
    elements, canaries = {}, []
    for index, (tag, vr) in enumerate(rows()):
        if tag >> 16 < 8:
            continue
        value = canary(index, vr)
        canaries.append((tag, value))
        if vr == "SQ":
            value = item(
                element(0x00080104, "LO", b"CaNaRy meaning", explicit)
                + element(0x00100010, "PN", value, explicit)
                + (nested if tag == 0x0040A730 else b"")
            )
        elements[tag] = (vr, value)
    return elements, canaries


def encode(elements: dict[int, tuple[str, bytes]], syntax: str) -> bytes:
    if syntax == JPEG:
        header = {tag: value for tag, value in elements.items() if tag < 0x7FE00010}
        value = item(b"") + item(jpeg()) + SEQUENCE_END
        return dataset(header) + element(0x7FE00010, "OB", value, length=UNDEFINED)
    body = dataset(elements, syntax != IMPLICIT)
    if syntax == BIG_ENDIAN:
        return big_endian(body)
    if syntax == DEFLATED:
        stream = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = stream.compress(body) + stream.flush()
    return body


def opened(instance: bytes) -> bytes:
    """The instance, where its dataset is deflated with that inflated: two bytes are met in any compressed stream."""
    meta = pydicom.dcmread(io.BytesIO(instance), stop_before_pixels=True, specific_tags=[]).file_meta
    if meta.TransferSyntaxUID != DEFLATED:
        return instance
    start = 132 + 12 + meta.FileMetaInformationGroupLength
    stream = zlib.decompressobj(-15)
    return instance[:start] + stream.decompress(instance[start:]) + stream.unused_data


def survivors(output: bytes, canaries: list[tuple[int, bytes]]) -> set[int]:
    """The tags whose canary is met in the output, as bytes in any case or as UTF-16."""
    lower = output.lower()
    forms = [(tag, value.lower()) for tag, value in canaries]
    return {
        tag for tag, value in forms if value in lower or value.decode("latin-1").encode("utf-16-le") in lower
    }


def test_every_row_of_the_table_is_there() -> None:
    assert len(rows()) == 656


@pytest.mark.parametrize("syntax", SYNTAXES)
class TestTableE11:
    """PS3.15 E.1.1: the action of Table E.1-1 is taken at every nesting level."""

    def test_outermost(self, deidentifier: Deidentifier, syntax: str) -> None:
        elements, canaries = planted(syntax != IMPLICIT)
        kept = {tag: value for tag, value in mammogram().items() if tag in DESCRIPTION | {0x00080016}}
        output = opened(deidentifier.deidentify(part10(encode(elements | kept, syntax), syntax)).instance)
        assert survivors(output, canaries) <= RETAINED.keys() | times()
        assert b"canary" not in output.lower()

    def test_two_levels_down(self, deidentifier: Deidentifier, syntax: str) -> None:
        explicit = syntax != IMPLICIT
        inner, canaries = planted(explicit)
        outer, _ = planted(explicit, nested=sequence(0x0040A730, dataset(inner, explicit), explicit=explicit))
        carrier = {0x0040A730: outer[0x0040A730]}
        output = opened(
            deidentifier.deidentify(part10(encode(mammogram() | carrier, syntax), syntax)).instance
        )
        assert survivors(output, canaries) <= RETAINED.keys() | times()
        assert b"canary" not in output.lower()

    def test_in_a_functional_group_of_undefined_length(self, deidentifier: Deidentifier, syntax: str) -> None:
        explicit = syntax != IMPLICIT
        inner, canaries = planted(explicit)
        frames = sequence(0x00209113, dataset(inner, explicit), explicit=explicit, undefined=True)
        body = dataset({tag: value for tag, value in mammogram().items() if tag < 0x52009230}, explicit)
        body += sequence(0x52009230, frames, explicit=explicit, undefined=True)
        pixels = {0x7FE00010: mammogram()[0x7FE00010]}
        if syntax == DEFLATED:
            stream = zlib.compressobj(6, zlib.DEFLATED, -15)
            body = stream.compress(body + dataset(pixels)) + stream.flush()
        elif syntax == BIG_ENDIAN:
            body = big_endian(body + dataset(pixels))
        else:
            body += encode(pixels, syntax)
        output = opened(deidentifier.deidentify(part10(body, syntax)).instance)
        assert survivors(output, canaries) <= RETAINED.keys() | times()
        assert b"canary" not in output.lower()


@pytest.mark.parametrize("undefined", [True, False])
def test_within_a_sequence_encoded_as_unknown(deidentifier: Deidentifier, undefined: bool) -> None:
    """PS3.5 6.2.2: such a sequence is in implicit VR, and is rebuilt by the same rules in explicit VR."""
    inner, canaries = planted(explicit=False)
    code = element(0x00080100, "SH", b"399162004", explicit=False)
    body = dataset({tag: value for tag, value in mammogram().items() if tag < 0x00540220})
    body += sequence(0x00540220, code, dataset(inner, explicit=False), vr="UN", undefined=undefined)
    body += dataset({tag: value for tag, value in mammogram().items() if tag > 0x00540220})
    output = deidentifier.deidentify(part10(body)).instance
    assert survivors(output, canaries) <= RETAINED.keys() | times()
    assert b"canary" not in output.lower()
    assert pydicom.dcmread(io.BytesIO(output)).ViewCodeSequence[0].CodeValue == "399162004"


HIDDEN = b"CaNaRy hidden"


def hidden_in(place: str) -> bytes:
    """A mammogram with the canary in one place outside Table E.1-1."""
    name = element(0x00100010, "PN", HIDDEN, explicit=False)
    extra_meta = {
        "source AE title": element(0x00020016, "AE", HIDDEN),
        "private information": element(0x00020100, "UI", b"1.2.3") + element(0x00020102, "OB", HIDDEN),
        "implementation version": element(0x00020013, "SH", HIDDEN),
    }
    added = {
        "private element": {0x00090010: ("LO", b"CaNaRy"), 0x00091001: ("LO", HIDDEN)},
        "private sequence": {0x00091001: ("SQ", item(element(0x00100010, "PN", HIDDEN)))},
        "unknown element": {0x00081999: ("LO", HIDDEN)},
        "unknown number": {0x00189999: ("DS", b"777000777")},
        "UN value": {0x00185101: ("UN", HIDDEN)},
        "UN-encoded sequence": {0x00540220: ("UN", item(name))},
        "number of another VR": {0x00180060: ("LO", HIDDEN)},
        "term with a name": {0x00185101: ("CS", HIDDEN)},
        "manufacturer with a date of birth": {0x00081090: ("LO", b"19551203 CaNaRy hidden")},
        "manufacturer in another alphabet": {0x00081090: ("LO", "Ca\u00e9NaRy hidden".encode())},
        "overlay": {0x60000010: ("US", b"\1\0"), 0x60003000: ("OW", HIDDEN), 0x60001500: ("LO", HIDDEN)},
        "curve": {0x50003000: ("OW", HIDDEN)},
        "group length": {0x00080000: ("UL", b"CaNa")},
        "trailing padding": {0xFFFCFFFC: ("OB", HIDDEN)},
        "digital signature": {0xFFFAFFFA: ("SQ", item(element(0x00100010, "PN", HIDDEN)))},
        "behind rows and columns": {0x7FE00010: ("OW", bytes(range(24)) + HIDDEN)},
        "icon": {0x00880200: ("SQ", item(element(0x7FE00010, "OB", HIDDEN)))},
        "code meaning": {0x00540220: ("SQ", item(element(0x00080104, "LO", HIDDEN)))},
        "local code": {
            0x00540220: (
                "SQ",
                item(element(0x00080100, "SH", b"7770007") + element(0x00080102, "SH", b"99CaNaRy")),
            )
        },
        "command group": {0x00000010: ("LO", HIDDEN)},
        "UID of a sort of its own": {0x00080118: ("UI", b"1.2.777.777")},
        "number with too many values": {0x00280010: ("US", b"\4\0CaNaRy")},
    }
    if place == "preamble":
        return part10(dataset(mammogram()), preamble=HIDDEN.ljust(128, b"\0"))
    if place == "after the pixels":
        return part10(dataset(mammogram()) + HIDDEN)
    if place == "UN-encoded sequence of undefined length":
        body = mammogram()
        before = dataset({tag: value for tag, value in body.items() if tag < 0x00540220})
        after = dataset({tag: value for tag, value in body.items() if tag > 0x00540220})
        return part10(before + sequence(0x00540220, name, vr="UN", undefined=True) + after)
    if place in extra_meta:
        return part10(dataset(mammogram()), extra=extra_meta[place])
    return part10(dataset(mammogram() | added[place]))


PLACES = """preamble|source AE title|private information|implementation version|private element
private sequence
unknown element|unknown number|UN value|UN-encoded sequence|UN-encoded sequence of undefined length
number of another VR|term with a name|manufacturer with a date of birth|manufacturer in another alphabet
overlay|curve|group length|trailing padding|digital signature|behind rows and columns|icon|code meaning
local code|command group|UID of a sort of its own|after the pixels""".replace("\n", "|").split("|")


@pytest.mark.parametrize("place", PLACES)
def test_outside_the_table_by_default_deny(deidentifier: Deidentifier, place: str) -> None:
    """PS3.15 E.1.1, E.3.1: what is not known to be safe goes, in the header and behind it."""
    output = deidentifier.deidentify(hidden_in(place)).instance.lower()
    assert b"cana" not in output
    assert b"777000" not in output
    assert b"1.2.777" not in output


def test_after_the_delimiter_of_fragments(deidentifier: Deidentifier) -> None:
    """PS3.5 A.4: the sequence delimiter ends encapsulated pixel data."""
    body = dataset(mammogram(x7FE00010=None))
    frames = item(b"") + item(jpeg()) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    body += element(0x7FE00010, "OB", frames, length=0xFFFFFFFF) + HIDDEN
    output = deidentifier.deidentify(part10(body, "1.2.840.10008.1.2.4.50")).instance
    assert output.endswith(frames)
    assert b"cana" not in output.lower()
