"""What each option of PS3.15 E.3 keeps, and that without it the Basic Profile holds."""

import io

import pydicom
import pytest

from deidentification.declaration import Declaration
from deidentification.deidentify import Deidentifier, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.unit.part10_bytes import EXPLICIT, IMPLICIT, dataset, element, item, mammogram, part10

KEYS = Keys.derive(b"a site secret of thirty-two bytes")
CONTENT = "1.2.840.10008.5.1.4.1.1.88.34"
PRESENTATION = "1.2.840.10008.5.1.4.1.1.11.1"
NO_PIXELS: dict = {"x7FE00010": None, "x00280010": None, "x00280011": None}


def engine(*options: str) -> Deidentifier:
    return Deidentifier(KEYS, Profile.make(Declaration("test", "1", options)))


def rewritten(deidentifier: Deidentifier, syntax: str = EXPLICIT, **changes: object) -> pydicom.Dataset:
    body = dataset(mammogram(**changes), syntax == EXPLICIT)
    output = deidentifier.deidentify(part10(body, syntax)).instance
    assert deidentifier.deidentify(output).instance == output
    return pydicom.dcmread(io.BytesIO(output))


BASIC = engine()


class TestBasic:
    """PS3.15 E.2."""

    def test_dates_and_characteristics_go(self) -> None:
        output = rewritten(BASIC)
        assert (output.StudyDate, output.StudyTime, output.PatientSex) == ("", "", "")
        assert "PatientAge" not in output
        assert "SeriesDescription" not in output
        assert output.LongitudinalTemporalInformationModified == "REMOVED"

    def test_image_stays_readable(self) -> None:
        output = rewritten(BASIC)
        assert (output.ViewPosition, output.ImageLaterality, output.Rows) == ("CC", "L", 4)

    def test_reports_are_refused(self) -> None:
        with pytest.raises(Refused, match="structured-content"):
            rewritten(BASIC, x00080016=("UI", CONTENT.encode()), **NO_PIXELS)

    def test_annotations_go(self) -> None:
        text = item(element(0x00700006, "ST", b"MASS"))
        output = rewritten(
            BASIC,
            x00080016=("UI", PRESENTATION.encode()),
            x00700001=("SQ", item(element(0x00700008, "SQ", text))),
            **NO_PIXELS,
        )
        assert "GraphicAnnotationSequence" not in output


class TestRetainUids:
    """PS3.15 E.3.9."""

    def test_all_stay(self) -> None:
        output = rewritten(engine("retain_uids"), x00200052=("UI", b"1.2.752.99.8"))
        assert output.StudyInstanceUID == "1.2.752.99.1.2"
        assert output.SOPInstanceUID == output.file_meta.MediaStorageSOPInstanceUID == "1.2.752.99.1.2.3.4"
        assert output.FrameOfReferenceUID == "1.2.752.99.8"
        assert output.PatientID.startswith("SG")

    def test_what_is_no_uid_is_replaced(self) -> None:
        output = rewritten(engine("retain_uids"), x00200052=("UI", b"MUSTERMANN"))
        assert output.FrameOfReferenceUID.startswith("2.25.")


class TestRetainDeviceAndInstitution:
    """PS3.15 E.3.8 and E.3.11."""

    @pytest.mark.parametrize(
        ("option", "tag", "vr", "value"),
        [
            ("retain_device_identity", "x00181000", "LO", b"81234567"),
            ("retain_device_identity", "x00081010", "SH", b"MAMMO1"),
            ("retain_device_identity", "x0018700A", "SH", b"DET12345"),
            ("retain_institution_identity", "x00080080", "LO", b"St. Elsewhere"),
        ],
    )
    def test_stays_with_its_option_only(self, option: str, tag: str, vr: str, value: bytes) -> None:
        number = int(tag[1:], 16)
        kept = rewritten(engine(option), **{tag: (vr, value)})
        assert kept[number].value == value.decode()
        without = rewritten(BASIC, **{tag: (vr, value)})
        assert without.get(number) is None or without[number].value in ("", "REMOVED")

    def test_not_where_it_names_the_patient(self) -> None:
        output = rewritten(engine("retain_device_identity"), x00081010=("SH", b"ROOM MUSTERMANN"))
        assert output.StationName == "REMOVED"

    def test_device_uid(self) -> None:
        output = rewritten(engine("retain_device_identity"), x00181002=("UI", b"1.2.752.99.9"))
        assert output.DeviceUID == "1.2.752.99.9"

    def test_calibration_dates_move_with_all_others(self) -> None:
        both = engine("retain_device_identity", "retain_longitudinal_modified_dates")
        assert rewritten(both, x0018700C=("DA", b"20240201")).DateOfLastDetectorCalibration != "20240201"
        alone = rewritten(engine("retain_device_identity"), x0018700C=("DA", b"20240201"))
        assert alone.DateOfLastDetectorCalibration == "20240201"


class TestRetainSafePrivate:
    """PS3.15 E.3.10: by creator, VR and value."""

    ENGINE = engine("retain_safe_private")

    @pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
    def test_safe_element_of_a_safe_creator(self, syntax: str) -> None:
        private = {"x00E10010": ("LO", b"ELSCINT1"), "x00E11021": ("DS", b"12.5")}
        output = rewritten(self.ENGINE, syntax, **private)
        assert output[0x00E10010].value == "ELSCINT1"
        assert b"12.5" in bytes(str(output[0x00E11021].value), "ascii")

    @pytest.mark.parametrize(
        "private",
        [
            {"x00E10010": ("LO", b"ELSCINT1"), "x00E11021": ("DS", b"MUSTERMANN")},
            {"x00E10010": ("LO", b"ELSCINT1"), "x00E11021": ("LO", b"12.5")},
            {"x00E10010": ("LO", b"ELSCINT1"), "x00E11022": ("DS", b"12.5")},
            {"x00E10010": ("LO", b"ELSCINT1"), "x00E11121": ("DS", b"12.5")},
            {"x00E10010": ("LO", b"SOMEBODY"), "x00E11021": ("DS", b"12.5")},
            {"x00E11021": ("DS", b"12.5")},
        ],
    )
    def test_any_other_goes(self, private: dict) -> None:
        output = rewritten(self.ENGINE, **private)
        assert not [each for each in output if each.tag.is_private and not each.tag.is_private_creator]

    def test_none_without_the_option(self) -> None:
        private = {"x00E10010": ("LO", b"ELSCINT1"), "x00E11021": ("DS", b"12.5")}
        assert not [each for each in rewritten(BASIC, **private) if each.tag.is_private]


class TestCleanDescriptors:
    """PS3.15 E.3.5."""

    ENGINE = engine("clean_descriptors")

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            (b"L CC", "L CC"),
            (b"R-MLO, Tomosynthesis", "R-MLO, Tomosynthesis"),
            (b"L CC of Mustermann", "L CC of"),
            (b"LMLO Dr. Smith 12.3.1955", "LMLO"),
            (b"M\xfcller left breast", "left breast"),
            (b"\x1b$B;3ED\x1b(B left", "left"),
        ],
    )
    def test_known_words_of_a_label_stay(self, text: bytes, left: str) -> None:
        assert rewritten(self.ENGINE, x0008103E=("LO", text)).SeriesDescription == left

    def test_nothing_known(self) -> None:
        assert "SeriesDescription" not in rewritten(self.ENGINE, x0008103E=("LO", b"Erika 1955"))

    @pytest.mark.parametrize("text", [b"No evidence of malignancy in Erika.", b"Seen by Dr. Smith"])
    def test_a_sentence_loses_no_word(self, text: bytes) -> None:
        """Without its first word, a sentence may say the contrary: it goes as a whole."""
        assert "ImageComments" not in rewritten(self.ENGINE, x00204000=("LT", text))

    def test_a_sentence_of_known_words_stays(self) -> None:
        output = rewritten(self.ENGINE, x00204000=("LT", b"No evidence of malignancy."))
        assert output.ImageComments == "No evidence of malignancy."

    def test_word_that_is_the_patients_name_goes(self) -> None:
        output = rewritten(
            self.ENGINE, x00100010=("PN", b"NORMAL^ANNA"), x0008103E=("LO", b"left normal breast")
        )
        assert output.SeriesDescription == "left breast"


class TestCleanRecognizableVisualFeatures:
    """PS3.15 E.3.2, by refusal."""

    ENGINE = engine("clean_recognizable_visual_features")
    CT = ("UI", b"1.2.840.10008.5.1.4.1.1.2\0")

    @pytest.mark.parametrize(
        "changes",
        [
            {"x00280302": ("CS", b"YES")},
            {"x00080016": CT, "x00180015": ("CS", b"HEAD")},
            {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.4\0"), "x00180015": ("CS", b"BRAIN ")},
            {"x00080016": ("UI", b"1.2.840.10008.5.1.4.1.1.128"), "x00180015": ("CS", b"WHOLEBODY ")},
        ],
    )
    def test_refused(self, changes: dict) -> None:
        with pytest.raises(Refused, match="recognizable-visual-features"):
            rewritten(self.ENGINE, **changes)
        assert rewritten(BASIC, **changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"x00080016": CT, "x00180015": ("CS", b"BREAST")},
            {"x00080016": CT, "x00180015": ("CS", b"HEAD"), "x00280302": ("CS", b"NO")},
        ],
    )
    def test_taken(self, changes: dict) -> None:
        assert rewritten(self.ENGINE, **changes)
