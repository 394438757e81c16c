"""Table E.1-1, its options and the allow-list as rules."""

import csv
from pathlib import Path

import pydicom.datadict as dictionary
import pytest

from deidentification import actions
from deidentification.profile import TABLES, Profile, UnknownProfile

PROFILE = Profile.load("breast-screening")

TEXTS = {"LO", "SH", "LT", "ST", "UT", "UC", "UR", "PN", "AE"}

# What screening software needs to decode, hang and read an image.
NEEDED = """
    SOPClassUID Modality PresentationIntentType Manufacturer ManufacturerModelName ImageLaterality
    Laterality ViewPosition ViewCodeSequence ViewModifierCodeSequence PatientOrientation PixelSpacing
    ImagerPixelSpacing PartialView PartialViewCodeSequence BreastImplantPresent KVP ExposureInuAs
    AnodeTargetMaterial BodyPartThickness CompressionForce DistanceSourceToDetector
    EstimatedRadiographicMagnificationFactor PositionerPrimaryAngle WindowCenter WindowWidth
    VOILUTFunction VOILUTSequence LUTData LUTDescriptor RescaleSlope RescaleIntercept
    PresentationLUTShape PixelIntensityRelationship PixelIntensityRelationshipSign Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PhotometricInterpretation
    PlanarConfiguration NumberOfFrames PixelPaddingValue SharedFunctionalGroupsSequence
    PerFrameFunctionalGroupsSequence PlanePositionSequence ImagePositionPatient ImageOrientationPatient
    SliceThickness FrameContentSequence DimensionIndexValues XRay3DAcquisitionSequence
    LossyImageCompression BurnedInAnnotation InstanceNumber SeriesNumber ImageType BodyPartExamined
    AnatomicRegionSequence SequenceOfUltrasoundRegions EchoTime RepetitionTime DiffusionBValue
    ContentSequence ValueType ConceptNameCodeSequence MeasuredValueSequence NumericValue GraphicData
    SegmentSequence SegmentNumber GraphicAnnotationSequence DisplayedAreaSelectionSequence
    SpecificCharacterSet
""".split()  # noqa: SIM905


def read(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


class TestLoad:
    def test_states_what_is_applied(self) -> None:
        """CID 7050."""
        assert [code for code, _ in PROFILE.method_codes] == [
            *("113100", "113102", "113103", "113104", "113105", "113107", "113108")
        ]

    def test_is_read_once(self) -> None:
        assert Profile.load("breast-screening") is PROFILE

    @pytest.mark.parametrize("name", ["nobody", "", "../profile", "breast-screening.toml"])
    def test_unknown(self, name: str) -> None:
        with pytest.raises(UnknownProfile):
            Profile.load(name)


class TestConfidentiality:
    """PS3.15 Table E.1-1."""

    def test_every_row_is_there(self, shared: Path) -> None:
        with (shared / "reference" / "ps3.15_table_e1-1.csv").open(newline="") as lines:
            source = [
                (row["tag"].split()[0].strip("()"), row["basic_profile"]) for row in csv.DictReader(lines)
            ]
        ours = [(row["tag"], row["basic"]) for row in read("confidentiality.csv")]
        assert [(tag.replace(",", "").upper(), code) for tag, code in source] == [
            (tag.upper(), code) for tag, code in ours
        ]

    def test_every_action_is_one_that_its_code_allows(self) -> None:
        for row in read("confidentiality.csv"):
            assert row["action"] in row["basic"].replace("U*", "U").split("/"), row["keyword"]

    @pytest.mark.parametrize("row", [row for row in read("confidentiality.csv") if row["action"] == "X"])
    def test_x_has_no_rule_but_by_an_option(self, row: dict[str, str]) -> None:
        kept_by_option = any(row.get(option) for option in PROFILE.options)
        tag = row["tag"]
        assert kept_by_option or "x" in tag or tag == "GGGGEEEE" or int(tag, 16) not in PROFILE.rules

    def test_no_option_keeps_text(self) -> None:
        """Only a Timezone Offset From UTC is kept of all that is text, and that has a form of its own."""
        subject = actions.Subject(None, "", "", 0, {}, ())
        for row in read("confidentiality.csv"):
            rule = (
                PROFILE.rules.get(int(row["tag"], 16)) if "x" not in row["tag"] and row["tag"] < "G" else None
            )
            if (
                rule is None
                or row["vr"] not in TEXTS
                or row["keyword"] in ("PatientID", "TimezoneOffsetFromUTC")
            ):
                continue
            assert rule.action is not None
            assert rule.action(subject, b"IDENTITY") in (None, b"", actions.DUMMIES[row["vr"]])


class TestAllowList:
    @pytest.mark.parametrize("keyword", NEEDED)
    def test_keeps_what_screening_needs(self, keyword: str) -> None:
        tag = dictionary.tag_for_keyword(keyword)
        assert tag in PROFILE.rules

    def test_names_nothing_that_the_table_names(self) -> None:
        listed = {row["tag"] for row in read("confidentiality.csv")}
        assert not listed & {row["tag"] for row in read("keep.csv")}

    def test_keeps_no_private_overlay_or_curve(self) -> None:
        assert not [
            tag for tag in PROFILE.rules if tag >> 16 & 1 or tag >> 24 in (0x50, 0x60) or tag >> 16 < 8
        ]

    def test_vrs_are_those_of_the_dictionary(self) -> None:
        for row in read("keep.csv"):
            assert row["vr"] == dictionary.dictionary_VR(int(row["tag"], 16))

    def test_text_is_kept_of_a_short_list_only(self) -> None:
        kept = {
            row["keyword"]
            for row in read("keep.csv")
            if row["vr"] in TEXTS
            and row["check"] not in ("dummy", "empty")
            and not row["check"].startswith("code_")
        }
        assert kept == {
            "CodingSchemeVersion",
            "Manufacturer",
            "ManufacturerModelName",
            "ModalityLUTType",
            "RescaleType",
            "StackID",
        }

    def test_terms_belong_to_attributes_that_are_kept(self) -> None:
        kept = {row["keyword"] for row in read("keep.csv")} | {
            row["keyword"] for row in read("confidentiality.csv")
        }
        assert {row["keyword"] for row in read("terms.csv")} <= kept
