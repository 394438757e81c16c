"""Clean Structured Content and Clean Graphics (PS3.15 E.3.3, E.3.4): codes, numbers and references survive."""

import io
import struct

import pydicom
import pytest

from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import dataset, element, item, mammogram, part10, sequence

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"), Profile.load("breast-screening")
)
NO_PIXELS: dict = {"x7FE00010": None, "x00280010": None, "x00280011": None}


def rewritten(sop_class: str, **changes: object) -> pydicom.Dataset:
    body = dataset(mammogram(x00080016=("UI", sop_class.encode()), **NO_PIXELS, **changes))
    output = DEIDENTIFIER.deidentify(part10(body)).instance
    assert DEIDENTIFIER.deidentify(output).instance == output
    assert b"MUSTERMANN" not in output
    assert b"Smith" not in output
    return pydicom.dcmread(io.BytesIO(output))


def code(value: bytes, scheme: bytes = b"DCM", meaning: bytes = b"Mustermann") -> bytes:
    return (
        element(0x00080100, "SH", value)
        + element(0x00080102, "SH", scheme)
        + element(0x00080104, "LO", meaning)
    )


def content_item(kind: bytes, concept: bytes, *values: bytes, scheme: bytes = b"DCM") -> bytes:
    """A content item; each value is an encoded element, put where its tag belongs."""
    elements = [
        element(0x0040A010, "CS", b"CONTAINS"),
        element(0x0040A040, "CS", kind),
        sequence(0x0040A043, code(concept, scheme)),
        *values,
    ]
    return b"".join(sorted(elements, key=lambda each: struct.unpack_from("<HH", each)))


def report(*items: bytes) -> pydicom.Dataset:
    content = b"".join(map(item, items))
    return rewritten("1.2.840.10008.5.1.4.1.1.88.34", x0040A730=("SQ", content))


def one(kind: bytes, concept: bytes, *values: bytes, scheme: bytes = b"DCM") -> pydicom.Dataset:
    return report(content_item(kind, concept, *values, scheme=scheme)).ContentSequence[0]


class TestContentItems:
    """PS3.3 C.17.3.2."""

    def test_text_goes(self) -> None:
        made = one(b"TEXT", b"121106", element(0x0040A160, "UT", b"Mrs MUSTERMANN came"))
        assert made.TextValue == "REMOVED"

    def test_text_of_known_words_stays(self) -> None:
        made = one(b"TEXT", b"121106", element(0x0040A160, "UT", b"No suspicious masses in the left breast."))
        assert made.TextValue == "No suspicious masses in the left breast."

    def test_person_name_goes(self) -> None:
        assert one(b"PNAME", b"121008", element(0x0040A123, "PN", b"Smith^John")).PersonName == "REMOVED"

    def test_date_of_an_event_moves(self) -> None:
        made = one(b"DATE", b"111060", element(0x0040A121, "DA", b"20240229"))
        assert made.Date not in ("20240229", "19000101", "")

    @pytest.mark.parametrize(
        ("concept", "scheme"), [(b"121031", b"DCM"), (b"184099003", b"SCT"), (b"21112-8", b"LN")]
    )
    def test_date_of_birth_goes(self, concept: bytes, scheme: bytes) -> None:
        made = one(b"DATE", concept, element(0x0040A121, "DA", b"19551203"), scheme=scheme)
        assert made.Date == "19000101"

    def test_reference_by_uid_is_mapped(self) -> None:
        made = one(b"UIDREF", b"112040", element(0x0040A124, "UI", b"1.2.752.99.1.2"))
        assert DEIDENTIFIER.pseudonyms.uid("1.2.752.99.1.2") == made.UID

    def test_code_keeps_its_own_meaning(self) -> None:
        made = one(b"CODE", b"121071", sequence(0x0040A168, code(b"76752008", b"SCT", b"Smith")))
        assert made.ConceptCodeSequence[0].CodeMeaning == "Breast"

    def test_local_code_of_letters_goes(self) -> None:
        made = one(b"CODE", b"121071", sequence(0x0040A168, code(b"SMITH", b"99CLINIC", b"Dr. Smith")))
        concept = made.ConceptCodeSequence[0]
        assert (concept.CodeValue, concept.CodingSchemeDesignator) == ("REMOVED", "99LOCAL")

    def test_referenced_image_still_resolves(self) -> None:
        reference = element(0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.1.2\0")
        reference += element(0x00081155, "UI", b"1.2.752.99.1.2.3.4")
        made = one(b"IMAGE", b"121112", sequence(0x00081199, reference))
        mapped = DEIDENTIFIER.pseudonyms.uid("1.2.752.99.1.2.3.4")
        assert made.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == mapped

    @staticmethod
    def number(value: bytes, unit: bytes) -> pydicom.Dataset:
        measured = sequence(0x004008EA, code(unit, b"UCUM", b"year"))
        measured += element(0x0040A161, "FD", bytes(8)) + element(0x0040A30A, "DS", value)
        made = one(b"NUM", b"121033", sequence(0x0040A300, measured))
        return made.MeasuredValueSequence[0]

    def test_number_stays(self) -> None:
        assert self.number(b"92.5", b"mm").NumericValue == 92.5

    @pytest.mark.parametrize(("age", "given"), [(b"68", 68), (b"89", 89), (b"94", 90)])
    def test_great_age_is_capped(self, age: bytes, given: int) -> None:
        made = self.number(age, b"a")
        assert made.NumericValue == given
        assert "FloatingPointValue" not in made

    def test_coordinates_stay(self) -> None:
        data = bytes(range(16))
        made = one(
            b"SCOORD", b"111030", element(0x00700022, "FL", data), element(0x00700023, "CS", b"POLYLINE")
        )
        assert made.GraphicType == "POLYLINE"

    def test_observers_go(self) -> None:
        observer = element(0x0040A027, "LO", b"Smith Clinic") + element(0x0040A075, "PN", b"Smith^John")
        output = rewritten(
            "1.2.840.10008.5.1.4.1.1.88.33",
            x0040A073=("SQ", item(observer)),
            x0040A078=("SQ", item(observer)),
            x0040A730=("SQ", item(content_item(b"TEXT", b"121106", element(0x0040A160, "UT", b"x")))),
        )
        assert output.VerifyingObserverSequence[0].VerifyingObserverName == "REMOVED"
        assert "AuthorObserverSequence" not in output


class TestPresentationState:
    """PS3.3 C.10.5, C.10.7."""

    STATE = "1.2.840.10008.5.1.4.1.1.11.1"

    @staticmethod
    def annotation(text: bytes, layer: bytes) -> tuple[str, bytes]:
        shape = element(0x00700005, "CS", b"PIXEL") + element(0x00700020, "US", b"\2\0")
        shape += element(0x00700021, "US", b"\2\0") + element(0x00700022, "FL", bytes(16))
        shape += element(0x00700023, "CS", b"POLYLINE")
        words = element(0x00700006, "ST", text)
        return "SQ", item(
            element(0x00700002, "CS", layer) + sequence(0x00700008, words) + sequence(0x00700009, shape)
        )

    def test_text_goes_and_shapes_stay(self) -> None:
        output = rewritten(self.STATE, x00700001=self.annotation(b"Mrs MUSTERMANN", b"MASSES"))
        annotation = output.GraphicAnnotationSequence[0]
        assert annotation.TextObjectSequence[0].UnformattedTextValue == "REMOVED"
        assert annotation.GraphicObjectSequence[0].GraphicType == "POLYLINE"
        assert annotation.GraphicLayer == "MASSES"

    def test_layers_still_find_their_annotations(self) -> None:
        layer = item(element(0x00700002, "CS", b"DR SMITH") + element(0x00700062, "IS", b"1"))
        output = rewritten(
            self.STATE, x00700001=self.annotation(b"mass", b"DR SMITH"), x00700060=("SQ", layer)
        )
        named = output.GraphicLayerSequence[0].GraphicLayer
        assert named == output.GraphicAnnotationSequence[0].GraphicLayer
        assert named.startswith("KEY")

    def test_label_and_creator_go(self) -> None:
        output = rewritten(
            self.STATE, x00700080=("CS", b"SMITH"), x00700081=("LO", b"by Smith"), x00700084=("PN", b"Smith")
        )
        assert output.ContentLabel == "REMOVED"
        assert not output.ContentCreatorName
