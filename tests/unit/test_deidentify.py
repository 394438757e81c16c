"""An instance as it came to the instance that may be stored: what stays, what is stated, what is refused."""

import io
import struct
import time
import tracemalloc
import zlib
from datetime import date, timedelta
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deidentification.deidentify import Deidentifier, Identity, Reason, Refused
from deidentification.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from deidentification.pixels import may_carry_text
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.frames import decoded
from tests.unit.part10_bytes import (
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SEQUENCE_END,
    UNDEFINED,
    dataset,
    element,
    item,
    jpeg,
    mammogram,
    part10,
    sequence,
)

DEIDENTIFIER = Deidentifier(
    Keys.derive(b"a site secret of thirty-two bytes"),
    Profile.load("breast-screening"),
    max_instance_bytes=1 << 26,
    max_inflated_bytes=1 << 20,
)
JPEG = "1.2.840.10008.1.2.4.50"
NO_PIXELS: dict[str, None] = {"x7FE00010": None, "x00280010": None, "x00280011": None}


def deflated(body: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(body) + stream.flush()


def rewritten(instance: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(DEIDENTIFIER.deidentify(instance).instance))


def moved(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).strftime("%Y%m%d")


def rewritten_mammogram(**changes) -> pydicom.FileDataset:
    return rewritten(part10(dataset(mammogram(**changes))))


def refusal(instance: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        DEIDENTIFIER.deidentify(instance)
    return refused.value


def reason(instance: bytes) -> str:
    return refusal(instance).reason.code


class TestIdentity:
    """PS3.15 E.1.1: what was there, and what stands in its place."""

    def test_is_handed_out(self) -> None:
        identity = DEIDENTIFIER.deidentify(part10(dataset(mammogram()))).identity
        assert (identity.patient_id, identity.patient_name) == ("PATIENT-12345", "MUSTERMANN^ERIKA")
        assert (identity.patient_birth_date, identity.accession_number) == ("19551203", "ACC-4711-0815")
        assert (identity.study_instance_uid, identity.sop_instance_uid) == (
            "1.2.752.99.1.2",
            "1.2.752.99.1.2.3.4",
        )
        assert (identity.study_date, identity.referring_physician_name) == ("20240229", "REFERRING^DOCTOR")

    def test_survives_its_json(self) -> None:
        identity = DEIDENTIFIER.deidentify(
            part10(dataset(mammogram(x00100010=("PN", b"M\xfcller"))))
        ).identity
        assert identity.patient_name == "M\u00fcller"
        assert bytes.fromhex(identity.raw["patient_name"]) == b"M\xfcller"
        assert Identity.from_json(identity.to_json()) == identity

    def test_pseudonyms_stand_in_its_place(self) -> None:
        result = DEIDENTIFIER.deidentify(part10(dataset(mammogram())))
        output = pydicom.dcmread(io.BytesIO(result.instance))
        pseudonym = DEIDENTIFIER.pseudonyms.patient_id("PATIENT-12345")
        assert output.PatientID == output.PatientName == result.patient_id == pseudonym
        assert output.StudyInstanceUID == result.study_instance_uid
        assert output.SeriesInstanceUID == result.series_instance_uid
        assert output.SOPInstanceUID == result.sop_instance_uid == output.file_meta.MediaStorageSOPInstanceUID
        assert DEIDENTIFIER.pseudonyms.is_own_uid(result.study_instance_uid)

    def test_dates_move_together(self) -> None:
        output = rewritten_mammogram(x00080021=("DA", b"20240301"))
        days = DEIDENTIFIER.pseudonyms.days("PATIENT-12345")
        expected = [moved(day, days) for day in ("20240229", "20240301")]
        assert [output.StudyDate, output.SeriesDate] == expected
        assert output.StudyTime == "101530.5"
        assert output.PatientBirthDate == ""

    def test_same_patient_same_pseudonym_in_every_study(self) -> None:
        first = rewritten_mammogram()
        second = rewritten_mammogram(x0020000D=("UI", b"1.2.752.99.77"), x00080020=("DA", b"19990101"))
        assert first.PatientID == second.PatientID
        assert first.StudyInstanceUID != second.StudyInstanceUID

    def test_no_two_studies_without_patient_id_are_joined(self) -> None:
        first = rewritten_mammogram(x00100020=None)
        second = rewritten_mammogram(x00100020=("LO", b""), x0020000D=("UI", b"1.2.752.99.77"))
        assert first.PatientID
        assert first.PatientID != second.PatientID


class TestStatement:
    """PS3.15 E.1.1 item 6, PS3.3 C.12.1.1.7, PS3.10 7.1."""

    def test_says_what_was_done(self) -> None:
        output = rewritten_mammogram()
        assert output.PatientIdentityRemoved == "YES"
        assert output.DeidentificationMethod == DEIDENTIFIER.profile.label
        codes = [code.CodeValue for code in output.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113102", "113103", "113104", "113105", "113107", "113108"]
        assert output.LongitudinalTemporalInformationModified == "MODIFIED"

    def test_replaces_what_another_said(self) -> None:
        output = rewritten_mammogram(
            x00120062=("CS", b"NO"), x00120063=("LO", b"by hand"), x00280303=("CS", b"X")
        )
        assert output.PatientIdentityRemoved == "YES"
        assert output.DeidentificationMethod == DEIDENTIFIER.profile.label

    def test_elements_are_in_order(self) -> None:
        output = rewritten_mammogram()
        tags = [element.tag for element in output]
        assert tags == sorted(tags)

    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
    def test_meta_is_new(self, syntax: str) -> None:
        meta = rewritten(part10(dataset(mammogram(), syntax == EXPLICIT), syntax)).file_meta
        assert meta.TransferSyntaxUID == syntax
        assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
        assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.1.2"

    def test_no_length_of_the_result_is_odd(self) -> None:
        assert (
            len(DEIDENTIFIER.deidentify(part10(deflated(dataset(mammogram())), DEFLATED)).instance) % 2 == 0
        )


class TestKept:
    def test_what_screening_needs(self) -> None:
        output = rewritten_mammogram(x00281055=None, x00181164=("DS", b"0.094\\0.094"))
        assert (output.PresentationIntentType, output.ViewPosition) == ("FOR PRESENTATION", "CC")
        assert (output.ImageLaterality, output.Manufacturer) == ("L", "HOLOGIC, Inc.")
        assert list(output.ImagerPixelSpacing) == [0.094, 0.094]
        assert (output.PatientSex, output.PatientAge) == ("F", "068Y")

    def test_view_code_with_modifier(self) -> None:
        modifier = element(0x00080100, "SH", b"399161006") + element(0x00080102, "SH", b"SCT")
        view = (
            element(0x00080100, "SH", b"399162004")
            + element(0x00080102, "SH", b"SCT")
            + element(0x00080104, "LO", b"cranio-caudal")
            + sequence(0x00540222, modifier)
        )
        output = rewritten_mammogram(x00540220=("SQ", item(view)))
        assert output.ViewCodeSequence[0].CodeMeaning == "cranio-caudal"
        assert output.ViewCodeSequence[0].ViewModifierCodeSequence[0].CodeValue == "399161006"

    def test_references_agree_with_the_instances_they_name(self) -> None:
        reference = element(0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.1.2\0") + element(
            0x00081155, "UI", b"1.2.752.99.1.2.3.4"
        )
        output = rewritten_mammogram(x00082112=("SQ", item(reference)))
        assert output.SourceImageSequence[0].ReferencedSOPInstanceUID == output.SOPInstanceUID
        assert output.SourceImageSequence[0].ReferencedSOPClassUID == output.SOPClassUID

    def test_empty_sequence_of_type_2(self) -> None:
        body = dataset({tag: value for tag, value in mammogram().items() if tag < 0x00400555})
        body += sequence(0x00400555, element(0x00100010, "PN", b"NAME"), undefined=True)
        body += dataset({0x7FE00010: mammogram()[0x7FE00010]})
        assert len(rewritten(part10(body)).AcquisitionContextSequence) == 0

    def test_report(self) -> None:
        """PS3.3 C.17.3: content items keep their structure and lose their text."""
        name = (
            element(0x00080100, "SH", b"121106")
            + element(0x00080102, "SH", b"DCM")
            + element(0x00080104, "LO", b"x")
        )
        text = (
            element(0x0040A010, "CS", b"CONTAINS")
            + element(0x0040A040, "CS", b"TEXT")
            + sequence(0x0040A043, name)
            + element(0x0040A160, "UT", b"Mrs MUSTERMANN")
        )
        changes = NO_PIXELS | {
            "x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.88.34\0"),
            "x0040A730": ("SQ", item(text)),
        }
        output = rewritten_mammogram(**changes)
        assert output.ContentSequence[0].ValueType == "TEXT"
        assert output.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning == "Comment"
        assert output.ContentSequence[0].TextValue == "REMOVED"


class TestPixelData:
    """PS3.5 8.1.1 and A.4."""

    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
    def test_native_is_taken_over(self, syntax: str) -> None:
        output = rewritten(part10(dataset(mammogram(), syntax == EXPLICIT), syntax))
        assert output.PixelData == bytes(range(24))

    def test_of_odd_length_is_padded(self) -> None:
        changes = {
            "x00280100": ("US", b"\x08\0"),
            "x00280010": ("US", b"\3\0"),
            "x7FE00010": ("OB", bytes(range(1, 10))),
        }
        body = dataset(mammogram(**changes))
        assert rewritten(part10(body)).PixelData == bytes(range(1, 10)) + b"\0"

    def test_longer_than_its_description_is_cut(self) -> None:
        assert rewritten_mammogram(x7FE00010=("OW", bytes(range(30)))).PixelData == bytes(range(24))

    @pytest.mark.parametrize("length", [0, 22])
    def test_shorter_than_its_description_is_refused(self, length: int) -> None:
        assert reason(part10(dataset(mammogram(x7FE00010=("OW", bytes(length)))))) == "pixel-data-too-short"

    def test_missing_is_refused(self) -> None:
        assert reason(part10(dataset(mammogram(x7FE00010=None)))) == "pixel-data-too-short"

    @pytest.mark.parametrize("tag", ["x00280010", "x00280011", "x00280100"])
    def test_without_description_is_refused(self, tag: str) -> None:
        refused = refusal(part10(dataset(mammogram(**{tag: None}))))
        assert refused.reason is Reason.PIXEL_DATA_AMBIGUOUS
        assert refused.tag == f"({tag[1:5]},{tag[5:]})"

    def test_single_bits(self) -> None:
        changes = {"x00280100": ("US", b"\1\0"), "x7FE00010": ("OB", b"\xff\x0f")}
        assert rewritten_mammogram(**changes).PixelData == b"\xff\x0f"

    def test_frames_are_counted(self) -> None:
        changes = {"x00280008": ("IS", b"2"), "x7FE00010": ("OW", bytes(48))}
        assert len(rewritten_mammogram(**changes).PixelData) == 48

    @staticmethod
    def encapsulated(*fragments: bytes, end: bytes = SEQUENCE_END) -> bytes:
        value = b"".join(item(fragment) for fragment in fragments) + end
        return part10(
            dataset(mammogram(x7FE00010=None)) + element(0x7FE00010, "OB", value, length=UNDEFINED), JPEG
        )

    def test_fragments_are_taken_over(self) -> None:
        first, second = jpeg()[:10], jpeg()[10:]
        instance = self.encapsulated(struct.pack("<L", 0), first, second)
        assert rewritten(instance).PixelData == pydicom.dcmread(io.BytesIO(instance)).PixelData

    def test_offsets_that_fit_no_fragment_go(self) -> None:
        output = rewritten(self.encapsulated(b"MUSTERMANN  ", jpeg()))
        assert output.PixelData == item(bytes(4)) + item(jpeg())

    def test_fragments_without_end(self) -> None:
        assert reason(self.encapsulated(b"", jpeg(), end=b"")) == "truncated"

    def test_no_fragment(self) -> None:
        assert reason(self.encapsulated(b"")) == "pixel-data-too-short"

    def test_native_length_in_an_encapsulated_syntax(self) -> None:
        assert reason(part10(dataset(mammogram()), JPEG)) == "bad-length"


class TestPixelsThatMayCarryText:
    """PS3.15 E.3.1: what can't be cleaned here is refused."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"x00280301": ("CS", b"YES")},
            {"x00280301": ("CS", b"MAYBE")},
            {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.7\0")},
            {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.104.1")},
            {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.6.1\0")},
            {"x00080064": ("CS", b"WSD")},
            {"x00080008": ("CS", b"DERIVED\\SECONDARY\\SCREEN SAVE")},
            {"x60000100": ("US", b"\x10\0")},
        ],
    )
    def test_is_refused(self, changes: dict) -> None:
        assert reason(part10(dataset(mammogram(**changes)))) == "pixels-may-carry-text"

    @pytest.mark.parametrize(
        "changes",
        [
            {"x00280004": ("CS", b"RGB"), "x00280002": ("US", b"\3\0")},
            {"x00280004": ("CS", b"PALETTE COLOR")},
            {"x00080060": ("CS", b"US")},
            {"x00080008": ("CS", b"DERIVED\\SECONDARY"), "x00280100": ("US", b"\x08\0")},
            {"x00187004": ("CS", b"FILM")},
            {"x00080070": ("LO", b"VIDAR Systems")},
            {"x00081090": ("LO", b"Film Digitizer 2")},
        ],
        ids=["colour", "palette", "other modality", "secondary", "film", "digitiser", "digitiser's model"],
    )
    def test_suspicious_is_held_unless_it_denies_it(self, changes: dict) -> None:
        """PS3.3 C.7.6.1.1.2: a mammogram that was on a screen or on film, and does not say that it has no text."""
        values = {int(name[1:], 16): value for name, (_, value) in changes.items()}
        ordinary = {0x00080016: b"1.2.840.10008.5.1.4.1.1.1.2", 0x00280004: b"MONOCHROME2"}
        assert not may_carry_text(ordinary)
        assert may_carry_text(ordinary | values)
        assert not may_carry_text(ordinary | values | {0x00280301: b"NO"})

    def test_ultrasound_that_denies_it_is_taken(self) -> None:
        changes = {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.6.1\0"), "x00280301": ("CS", b"NO")}
        assert rewritten_mammogram(**changes).BurnedInAnnotation == "NO"

    def test_video(self) -> None:
        assert reason(part10(dataset(mammogram()), "1.2.840.10008.1.2.4.102")) == "not-an-image"


class TestOddLengths:
    """PS3.5 7.1.1 forbids them; they are met."""

    def test_of_text(self) -> None:
        body = dataset(mammogram()).replace(
            element(0x00185101, "CS", b"CC"), element(0x00185101, "CS", b"MLO", length=3)
        )
        assert rewritten(part10(body)).ViewPosition == "MLO"

    def test_every_written_length_is_even(self) -> None:
        body = dataset(mammogram()).replace(
            element(0x00185101, "CS", b"CC"), element(0x00185101, "CS", b"MLO", length=3)
        )
        output = DEIDENTIFIER.deidentify(part10(body)).instance
        assert element(0x00185101, "CS", b"MLO ") in output


class TestUnknownVr:
    """PS3.5 6.2.2: what others wrote as UN is read by its attribute's own VR, and written with it."""

    def test_every_element(self) -> None:
        known = rewritten(part10(dataset(mammogram())))
        unknown = rewritten(part10(dataset({tag: ("UN", value) for tag, (_, value) in mammogram().items()})))
        assert unknown == known
        assert not [element for element in unknown.iterall() if element.VR == "UN"]

    def test_lookup_table_beyond_the_lengths_of_us(self) -> None:
        table = element(0x00283002, "US", b"\0\0\0\0\x10\0", explicit=False)
        table += element(0x00283006, "OW", bytes(1 << 17), explicit=False)
        output = rewritten_mammogram(x00283010=("UN", item(table)))
        assert len(output.VOILUTSequence[0].LUTData) == 1 << 17


class TestRefused:
    """Bad input has a reason each; an exception of another kind would be a hole."""

    @pytest.mark.parametrize(
        "instance", [b"", b"DICM", b"x" * 1000, bytes(128) + b"DICM", dataset(mammogram())]
    )
    def test_not_dicom(self, instance: bytes) -> None:
        assert reason(instance) == "not-dicom"

    @pytest.mark.parametrize("tag", ["x00080016", "x00080018", "x0020000D", "x0020000E"])
    def test_without_a_uid(self, tag: str) -> None:
        assert reason(part10(dataset(mammogram(**{tag: None})))) == "no-identity"
        assert reason(part10(dataset(mammogram(**{tag: ("UI", b"")})))) == "no-identity"

    @pytest.mark.parametrize(
        "uid", [b"1.3.12.2.1107.5.9.1", b"1.2.840.10008.1.3.10", b"1.2.840.10008.5.1.4.1.1.481.3"]
    )
    def test_class_of_another_kind(self, uid: bytes) -> None:
        changes = NO_PIXELS | {"x00080016": ("UI", uid)}
        assert reason(part10(dataset(mammogram(**changes)))) == "sop-class-not-supported"

    def test_dose_without_its_scaling_would_be_none(self) -> None:
        changes = {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.481.2")}
        assert reason(part10(dataset(mammogram(**changes)))) == "sop-class-not-supported"

    def test_tags_out_of_order(self) -> None:
        body = element(0x00100010, "PN", b"A") + dataset(mammogram())
        assert reason(part10(body)) in ("tag-order", "no-identity")

    @pytest.mark.parametrize(
        ("strays", "code"),
        [
            (SEQUENCE_END, "bad-structure"),
            (element(0x7FE10010, "LO", b"A ") + element(0x0040A730, "SQ", b""), "tag-order"),
            (element(0xFFFCFFFC, "OB", b"A ") + b"rest of it", "unknown-vr"),
        ],
    )
    def test_nothing_of_a_report_is_lost_behind_a_stray(self, strays: bytes, code: str) -> None:
        report = mammogram(**(NO_PIXELS | {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.88.34")}))
        assert reason(part10(dataset(report) + strays)) == code

    def test_tag_twice(self) -> None:
        body = dataset(mammogram()).replace(
            element(0x00185101, "CS", b"CC"), element(0x00185101, "CS", b"CC") * 2
        )
        refused = refusal(part10(body))
        assert (refused.reason, refused.tag) == (Reason.TAG_ORDER, "(0018,5101)")

    def test_unknown_vr(self) -> None:
        body = dataset(mammogram()).replace(b"CS\2\0CC", b"ZZ\2\0CC")
        assert reason(part10(body)) == "unknown-vr"

    def test_nested_too_deep(self) -> None:
        nested = b""
        for _ in range(20):
            nested = sequence(0x0040A730, nested)
        body = dataset({tag: value for tag, value in mammogram().items() if tag < 0x0040A730}) + nested
        assert reason(part10(body)) == "nesting-too-deep"

    def test_sixteen_deep_is_taken(self) -> None:
        nested = b""
        for _ in range(16):
            nested = sequence(0x0040A730, nested)
        body = dataset({tag: value for tag, value in mammogram().items() if tag < 0x0040A730}) + nested
        assert DEIDENTIFIER.deidentify(part10(body + dataset({0x7FE00010: mammogram()[0x7FE00010]})))

    @pytest.mark.parametrize("length", [4, 100, 0xFFFFFFFE])
    def test_length_that_lies(self, length: int) -> None:
        body = dataset(mammogram(x7FE00010=None)) + element(0x7FE00010, "OW", b"\0\0", length=length)
        assert reason(part10(body)) == "truncated"

    def test_item_that_ends_elsewhere(self) -> None:
        wrong = element(0x00540220, "SQ", item(element(0x00080100, "SH", b"ABCD", length=6)))
        before = dataset({tag: value for tag, value in mammogram().items() if tag < 0x00540220})
        assert reason(part10(before + wrong)) == "truncated"

    def test_bomb(self) -> None:
        body = deflated(dataset(mammogram(x00091001=("OB", bytes(1 << 21)))))
        assert reason(part10(body, DEFLATED)) == "deflate-bomb"

    @pytest.mark.parametrize(
        ("body", "code"), [(b"\xff\xff\xff", "bad-deflate"), (deflated(b"x" * 99)[:-3], "truncated")]
    )
    def test_deflate_that_is_none(self, body: bytes, code: str) -> None:
        assert reason(part10(body, DEFLATED)) == code

    def test_too_large(self) -> None:
        assert reason(bytes((1 << 26) + 1)) == "instance-too-large"

    def test_every_cut_is_refused(self) -> None:
        instance = part10(dataset(mammogram()))
        for length in range(len(instance)):
            assert refusal(instance[:length])

    def test_says_what_to_do_and_no_value(self) -> None:
        refused = refusal(part10(dataset(mammogram(x7FE00010=("OW", b"")))))
        assert str(refused).startswith("pixel-data-too-short at (7FE0,0010): The pixel data")


class TestCost:
    """Time grows with the bytes and with nothing else; pixel data is copied once."""

    @staticmethod
    def seconds(count: int) -> float:
        uids = [element(0x00081155, "UI", f"1.2.3.4.5.{number:06d}".encode()) for number in range(count)]
        before = dataset({tag: value for tag, value in mammogram().items() if tag < 0x00081140})
        after = dataset({tag: value for tag, value in mammogram().items() if tag > 0x00081140})
        instance = part10(before + sequence(0x00081140, *uids) + after)
        began = time.process_time()
        DEIDENTIFIER.deidentify(instance)
        return time.process_time() - began

    def test_many_references(self) -> None:
        assert self.seconds(16000) < 40 * self.seconds(1000)

    def test_one_copy_of_pixel_data(self) -> None:
        changes = {
            "x00280010": ("US", b"\0\x10"),
            "x00280011": ("US", b"\0\x08"),
            "x7FE00010": ("OW", bytes(1 << 24)),
        }
        instance = part10(dataset(mammogram(**changes)))
        tracemalloc.start()
        DEIDENTIFIER.deidentify(instance)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.02 * len(instance)


class TestIdentityThatIsAlsoAWord:
    """A name that is met in the text that is kept: the text goes, the exam is not lost."""

    @pytest.mark.parametrize(
        "name", [b"HOLOGIC^ANNA", b"Mueller^Hologic", b"PRESENTATION^FOR", b"MONOCHROME2", b"BREAST^AN"]
    )
    def test_is_taken(self, name: bytes) -> None:
        output = rewritten_mammogram(x00100010=("PN", name), x00180015=("CS", b"BREAST"))
        assert output.Manufacturer == ("REMOVED" if b"hologic" in name.lower() else "HOLOGIC, Inc.")
        assert output.PresentationIntentType == "FOR PRESENTATION"

    def test_number_of_the_patient_in_an_integer(self) -> None:
        output = rewritten_mammogram(x00100020=("LO", b"123456789"), x00200012=("IS", b"123456789 "))
        assert "AcquisitionNumber" not in output

    def test_number_that_is_a_time_of_day(self) -> None:
        assert rewritten_mammogram(x00100020=("LO", b"101530")).StudyTime == "101530.5"

    def test_name_where_a_term_is_due_without_a_list(self) -> None:
        assert rewritten_mammogram(x00181500=("CS", b"MUSTERMANN")).PositionerMotion == ""


class TestRepeated:
    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED])
    def test_the_same_bytes_give_the_same_bytes(self, syntax: str) -> None:
        body = dataset(mammogram(), syntax != IMPLICIT)
        instance = part10(deflated(body) if syntax == DEFLATED else body, syntax)
        first = DEIDENTIFIER.deidentify(instance).instance
        assert DEIDENTIFIER.deidentify(memoryview(instance)).instance == first
        assert DEIDENTIFIER.deidentify(first).instance == first

    def test_part_of_a_buffer(self) -> None:
        instance = part10(dataset(mammogram()))
        within = memoryview(b"xx" + instance + b"yy")[2:-2]
        assert DEIDENTIFIER.deidentify(within).instance == DEIDENTIFIER.deidentify(instance).instance


class TestProof:
    INSTANCE = DEIDENTIFIER.deidentify(part10(dataset(mammogram()))).instance
    ELSEWHERE = Deidentifier(
        Keys.derive(b"another site's secret of 32 bytes"), Profile.load("breast-screening")
    )

    def test_is_carried(self) -> None:
        assert DEIDENTIFIER.carries_proof(self.INSTANCE)
        assert DEIDENTIFIER.carries_proof(memoryview(self.INSTANCE))
        assert not DEIDENTIFIER.carries_whole_proof(self.INSTANCE)

    def test_holds_at_its_own_site_only(self) -> None:
        assert not self.ELSEWHERE.carries_proof(self.INSTANCE)

    def test_no_altered_byte_of_the_header_keeps_it(self) -> None:
        for position in range(len(self.INSTANCE) - 24):
            altered = bytearray(self.INSTANCE)
            altered[position] ^= 1
            assert not DEIDENTIFIER.carries_proof(bytes(altered))

    def test_nothing_can_be_added_or_taken(self) -> None:
        assert not DEIDENTIFIER.carries_proof(self.INSTANCE + b"\0\0")
        assert not DEIDENTIFIER.carries_proof(self.INSTANCE[:-2])

    def test_an_instance_as_it_came_carries_none(self) -> None:
        assert not DEIDENTIFIER.carries_proof(part10(dataset(mammogram())))

    @given(st.binary(max_size=400))
    def test_any_bytes_can_be_asked_about(self, body: bytes) -> None:
        assert not DEIDENTIFIER.carries_proof(body)
        assert not DEIDENTIFIER.carries_proof(bytes(128) + b"DICM\2\0" + body)


class TestProve:
    """Results of inference are made here, from what is already pseudonymous."""

    @staticmethod
    def result(**changes) -> bytes:
        patient, study = DEIDENTIFIER.pseudonyms.patient_id("1"), DEIDENTIFIER.pseudonyms.uid("1.2.3.4")
        pseudonymous = {"x00100020": ("LO", patient.encode()), "x0020000D": ("UI", study.encode())}
        return part10(dataset(mammogram(**(pseudonymous | changes))))

    def test_leaves_the_dataset_as_it_is(self) -> None:
        result = self.result()
        proven = DEIDENTIFIER.prove(result)
        body = element(0x00080005, "CS", b"ISO_IR 100")
        assert proven[proven.index(body) :] == result[result.index(body) :]
        assert DEIDENTIFIER.carries_whole_proof(proven)
        assert DEIDENTIFIER.carries_proof(proven)

    def test_no_altered_byte_keeps_it(self) -> None:
        proven = DEIDENTIFIER.prove(self.result())
        for position in range(len(proven)):
            altered = bytearray(proven)
            altered[position] ^= 1
            assert not DEIDENTIFIER.carries_whole_proof(bytes(altered))

    @pytest.mark.parametrize("change", [{"x00100020": ("LO", b"1")}, {"x0020000D": ("UI", b"1.2.3.4")}])
    def test_what_is_not_pseudonymous_is_refused(self, change: dict) -> None:
        with pytest.raises(Refused) as refused:
            DEIDENTIFIER.prove(self.result(**change))
        assert refused.value.reason is Reason.NOT_PSEUDONYMOUS

    @given(st.binary(max_size=400))
    def test_any_bytes_are_refused(self, body: bytes) -> None:
        with pytest.raises(Refused):
            DEIDENTIFIER.prove(part10(body))


EXPECTED_REFUSALS = {
    "charset": {"pixels-may-carry-text", "pixel-data-too-short", "no-identity"},
    "deid": {"pixels-may-carry-text"},
    "us": {"pixels-may-carry-text"},
    "encodings": {"no-identity", "pixels-may-carry-text"},
    "sr-seg-pr": {"pixels-may-carry-text"},
    "mg": set(),
}


def test_real_files(shared: Path) -> None:
    """Each is readable afterwards with the same pixel data, or refused for a reason that is known."""
    refusals = set()
    for path in sorted((shared / "data" / "dicom").glob("*/*")):
        source = path.read_bytes()
        try:
            output = DEIDENTIFIER.deidentify(source).instance
        except Refused as refused:
            refusals.add((path.parent.name, refused.reason.code))
            continue
        assert str(pydicom.dcmread(io.BytesIO(output)))
        assert decoded(output) == decoded(source)
        assert DEIDENTIFIER.deidentify(output).instance == output
        assert DEIDENTIFIER.carries_proof(output)
    assert refusals == {(folder, code) for folder, codes in EXPECTED_REFUSALS.items() for code in codes}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "cut"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)
NESTED = sequence(
    0x0040A730,
    element(0x0040A160, "UT", b"MUSTERMANN"),
    sequence(0x00081140, b"", undefined=True),
    undefined=True,
)
SEEDS = [
    part10(
        dataset({k: v for k, v in mammogram().items() if k < 0x7FE00010})
        + NESTED
        + dataset({0x7FE00010: ("OW", bytes(24))})
    ),
    part10(dataset(mammogram(), explicit=False), IMPLICIT),
    part10(
        dataset(mammogram(x00540220=("UN", item(element(0x00080100, "SH", b"399162004", explicit=False)))))
    ),
    part10(deflated(dataset(mammogram())), DEFLATED),
    TestPixelData.encapsulated(struct.pack("<L", 0), jpeg()[:10], jpeg()[10:] + b"MUSTERMANN"),
]


class TestAnyBytes:
    """Only Refused is ever raised, and what is taken is taken again unchanged."""

    @staticmethod
    def check(instance: bytes) -> None:
        try:
            output = DEIDENTIFIER.deidentify(instance).instance
        except Refused:
            return
        assert DEIDENTIFIER.carries_proof(output)
        assert DEIDENTIFIER.deidentify(output).instance == output

    @given(st.sampled_from(SEEDS), CHANGES)
    @settings(max_examples=1500, deadline=None)
    def test_mutated(self, seed: bytes, changes: list[tuple[str, float, bytes]]) -> None:
        data = bytearray(seed)
        for kind, where, content in changes:
            at = int(where * len(data))
            stop = at if kind == "insert" else len(data) if kind == "cut" else at + len(content)
            data[at:stop] = b"" if kind in ("delete", "cut") else content
        self.check(bytes(data))

    @given(st.binary(max_size=600), st.sampled_from([EXPLICIT, IMPLICIT, DEFLATED, JPEG]))
    def test_arbitrary_dataset(self, body: bytes, syntax: str) -> None:
        self.check(part10(body, syntax))

    @given(st.binary(max_size=300))
    def test_arbitrary_meta(self, meta: bytes) -> None:
        self.check(bytes(128) + b"DICM\2\0" + meta)
