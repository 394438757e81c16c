"""DICOM JSON of an instance (PS3.18 annex F) and what the index learns from it."""

import json
import re
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from archive.attributes import RETURNED, TYPE_2, Level, tag
from archive.dicom_json import decode, encode, read_instance, render_series, render_study
from tests.unit.dicom_files import compressed, dataset, part10, pixels


def metadata(**values) -> dict:
    return read(**values)[1]


def read(**values):
    record = read_instance(part10(dataset(**values)))
    return record, json.loads(record.metadata.replace(b"\0", b"BASE"))


class TestValues:
    """PS3.18 sections F.2.2 to F.2.7."""

    @pytest.mark.parametrize(
        ("values", "keyword", "expected"),
        [
            ({"PatientID": "x"}, "PatientID", {"vr": "LO", "Value": ["x"]}),
            ({"PatientID": ""}, "PatientID", {"vr": "LO"}),
            ({"ImageType": ["A", "", "C"]}, "ImageType", {"vr": "CS", "Value": ["A", None, "C"]}),
            ({"InstanceNumber": 7}, "InstanceNumber", {"vr": "IS", "Value": [7]}),
            ({"SliceThickness": "2.50"}, "SliceThickness", {"vr": "DS", "Value": [2.5]}),
            ({"Rows": 3}, "Rows", {"vr": "US", "Value": [3]}),
            (
                {"FrameIncrementPointer": 0x00181063},
                "FrameIncrementPointer",
                {"vr": "AT", "Value": ["00181063"]},
            ),
            ({"ReferencedImageSequence": []}, "ReferencedImageSequence", {"vr": "SQ"}),
            ({"PatientComments": "a\\b  "}, "PatientComments", {"vr": "LT", "Value": ["a\\b"]}),
            ({"ICCProfile": b"\1\2"}, "ICCProfile", {"vr": "OB", "InlineBinary": "AQI="}),
            (
                {"PatientName": "Doe^Jane=山田^花子", "SpecificCharacterSet": "ISO_IR 192"},
                "PatientName",
                {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane", "Ideographic": "山田^花子"}]},
            ),
        ],
    )
    def test_each_kind(self, values, keyword, expected):
        assert metadata(**values)[tag(keyword)] == expected

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (b"1.5 ", 1.5),
            (b"007 ", 7),
            (b"1e3 ", 1000.0),
            (b"abc ", "abc"),
            (b"1,5 ", "1,5"),
            (b"NaN ", "NaN"),
            (b"1_0 ", "1_0"),
        ],
    )
    def test_a_number_that_is_none_is_text(self, text, value):
        """PS3.18 section F.2.3.1 lets decimal strings be either."""
        file = part10(dataset(SliceThickness="9999")).replace(b"9999", text.ljust(4)[:4])
        found = json.loads(read_instance(file).metadata.replace(b"\0", b""))[tag("SliceThickness")]["Value"]
        assert found == [value]

    def test_numbers_that_json_lacks_are_text(self):
        made = metadata(RealWorldValueFirstValueMapped=1, LUTFrameRange=None, FlipAngle=1.0)
        assert made
        found = metadata(DoubleFloatRealWorldValueFirstValueMapped=float("nan"))
        assert found[tag("DoubleFloatRealWorldValueFirstValueMapped")]["Value"] == ["NaN"]

    def test_long_binary_values_are_by_reference(self):
        found = metadata(ICCProfile=b"\1" * 1026)[tag("ICCProfile")]
        assert found == {
            "vr": "OB",
            "BulkDataURI": "BASE/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5/bulkdata/00282000",
        }

    def test_those_in_an_item_name_the_way_to_it(self):
        item = Dataset()
        item.ICCProfile = b"\1" * 1026
        (found,) = metadata(OpticalPathSequence=[item])[tag("OpticalPathSequence")]["Value"]
        assert found[tag("ICCProfile")]["BulkDataURI"].endswith("/bulkdata/00480105/0/00282000")

    def test_text_is_utf8_and_says_so(self):
        record, found = read(PatientName="Buc^Jérôme", SpecificCharacterSet="ISO_IR 100")
        assert found[tag("SpecificCharacterSet")]["Value"] == ["ISO_IR 192"]
        assert "Jérôme".encode() in record.metadata
        assert record.study.patient_name == "Buc^Jérôme"

    def test_control_characters_never_get_in(self):
        record = read_instance(part10(dataset(PatientID="ABCDEF")).replace(b"ABCDEF", b"A\x00B\x7f\x1bF"))
        assert record.study.patient_id == "ABF"
        assert json.loads(record.metadata.replace(b"\0", b""))[tag("PatientID")]["Value"] == ["ABF"]

    def test_attributes_are_in_ascending_order(self):
        names = list(metadata(PatientID="x", Rows=1, StudyID="y"))
        assert names == sorted(names)

    def test_encoding_and_decoding_are_inverse(self):
        rendered = read_instance(part10(dataset(PatientComments='\\u0000 "\\" é'))).dicom_json
        assert encode(decode(rendered)) == rendered


class TestPixels:
    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.1"])
    def test_native_ones_are_found_in_the_file(self, syntax):
        values = pixels(4, 5, frames=3)
        file = part10(dataset(**values), syntax)
        record = read_instance(file)
        assert file[record.pixel_offset :][: record.pixel_length] == values["PixelData"]
        assert (record.number_of_frames, record.transfer_syntax_uid) == (3, syntax)

    def test_encapsulated_ones_have_a_place_and_no_length(self):
        made = dataset(**compressed([[b"\xff\xd8ab"]], table=True))
        file = part10(made, JPEGBaseline8Bit)
        record = read_instance(file)
        assert record.pixel_length is None
        assert file[record.pixel_offset :][:4] == b"\xfe\xff\x00\xe0"

    def test_deflated_ones_have_no_place_in_the_file(self):
        record = read_instance(part10(dataset(**pixels(4, 4)), DeflatedExplicitVRLittleEndian))
        assert (record.pixel_offset, record.pixel_length) == (None, None)
        assert b"/bulkdata/7FE00010" in record.metadata

    def test_an_instance_without_pixels_has_none(self):
        record = read_instance(part10(dataset(Modality="SR")))
        assert (record.pixel_offset, record.number_of_frames) == (None, 1)
        assert b"7FE00010" not in record.metadata

    def test_the_pixels_are_not_read(self):
        file = BytesIO(part10(dataset(**pixels(1000, 1000))))
        record = read_instance(file)
        assert file.tell() < record.pixel_offset + 16 * 1024


class TestRefused:
    @pytest.mark.parametrize(
        "missing", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"]
    )
    def test_without_an_identifier(self, missing):
        file = (
            part10(dataset()).replace(b"\x08\0\x16\0UI", b"\x08\0\x17\0UI")
            if missing == "SOPClassUID"
            else None
        )
        if missing == "SOPInstanceUID":
            file = part10(dataset()).replace(b"\x08\0\x18\0UI", b"\x08\0\x19\0UI")
        with pytest.raises(ValueError, match=missing):
            read_instance(file or part10(dataset(**{missing: None})))

    def test_what_is_no_file_of_this_kind(self):
        with pytest.raises(InvalidDicomError):
            read_instance(b"not DICOM at all" * 20)


class TestRecords:
    def test_columns_are_text_and_whole_numbers(self):
        record = read_instance(
            part10(
                dataset(
                    PatientName="A^B=C",
                    StudyDate="20200102",
                    SeriesNumber=4,
                    InstanceNumber=None,
                    Modality="MG",
                )
            )
        )
        assert (record.study.patient_name, record.study.study_date) == ("A^B=C", "20200102")
        assert (record.series.series_number, record.series.modality) == (4, "MG")
        assert (record.instance_number, record.study.accession_number) == (None, "")

    def test_numbers_beyond_the_columns_are_left_out(self):
        assert read_instance(part10(dataset(InstanceNumber="99999999999"))).instance_number is None

    def test_attributes_are_those_of_the_level(self):
        record = read_instance(part10(dataset(PatientSex="F", Manufacturer="M", Rows=1)))
        assert tag("PatientSex") in record.study.attributes
        assert tag("Manufacturer") in record.series.attributes
        assert tag("Rows") not in record.study.attributes | record.series.attributes


class TestAnswers:
    """PS3.18 tables 10.6.3-3 to 10.6.3-5."""

    def study(self, **values) -> dict:
        record = read_instance(part10(dataset(**values)))
        rendered = render_study(
            record.study.attributes,
            study_instance_uid="1.2.3",
            modalities=["MG", "SR"],
            sop_classes=["1.2"],
            number_of_series=2,
            number_of_instances=5,
        )
        return json.loads(rendered.replace(b"\0", b"BASE"))

    def test_type_2_attributes_are_there_when_empty(self):
        assert set(TYPE_2[Level.STUDY]) <= set(self.study())
        assert self.study()[tag("PatientBirthDate")] == {"vr": "DA"}

    def test_a_study_counts_what_it_has(self):
        study = self.study(PatientID="x")
        assert study[tag("ModalitiesInStudy")]["Value"] == ["MG", "SR"]
        assert study[tag("NumberOfStudyRelatedSeries")]["Value"] == [2]
        assert study[tag("NumberOfStudyRelatedInstances")]["Value"] == [5]
        assert study[tag("RetrieveURL")] == {"vr": "UR", "Value": ["BASE/studies/1.2.3"]}
        assert study[tag("InstanceAvailability")]["Value"] == ["ONLINE"]

    def test_a_series(self):
        record = read_instance(part10(dataset(Modality="MG", Manufacturer="not returned")))
        series = json.loads(
            render_series(record.series.attributes, number_of_instances=3).replace(b"\0", b"BASE")
        )
        assert series[tag("NumberOfSeriesRelatedInstances")]["Value"] == [3]
        assert series[tag("RetrieveURL")]["Value"] == ["BASE/studies/1.2.3/series/1.2.3.4"]
        assert series[tag("SeriesNumber")] == {"vr": "IS"}
        assert tag("Manufacturer") not in series

    def test_an_instance(self):
        record = read_instance(part10(dataset(**pixels(4, 5))))
        instance = json.loads(record.dicom_json.replace(b"\0", b"BASE"))
        assert instance[tag("RetrieveURL")]["Value"] == [
            "BASE" + "/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5"
        ]
        assert instance[tag("AvailableTransferSyntaxUID")]["Value"] == [record.transfer_syntax_uid]
        assert set(RETURNED[Level.INSTANCE]) >= {tag("Rows"), tag("NumberOfFrames")}


def comparable(found: dict) -> dict:
    """A data set's public text and numbers, those of items included; numbers alike however they are written."""
    values: dict = {}
    for name, attribute in found.items():
        if int(name[:4], 16) % 2 or name.endswith("0000") or name == tag("SpecificCharacterSet"):
            continue
        parts = [part for part in attribute.get("Value", []) if part not in (None, "", {})]
        values[name] = (
            [comparable(part) for part in parts] if attribute["vr"] == "SQ" else list(map(plain, parts))
        )
    return values


def plain(value):
    """Without the escape sequences that pydicom leaves in some Chinese and Korean text."""
    if isinstance(value, dict):
        return {group: re.sub(r"\x1b\$\)[AC]", "", name) for group, name in value.items()}
    try:
        return float(value)
    except ValueError:
        return re.sub(r"\x1b\$\)[AC]", "", value).rstrip()


def test_every_file_reads_as_pydicom_reads_it(shared):
    """But for private and binary attributes; those that pydicom will not write for their length are left out."""
    folders = [shared / "data" / "dicom", Path(pydicom.__file__).parent / "data" / "test_files"]
    compared = 0
    for path in (path for folder in folders for path in sorted(folder.rglob("*.dcm"))):
        try:
            ours = comparable(json.loads(read_instance(path.read_bytes()).metadata.replace(b"\0", b"")))
        except (ValueError, InvalidDicomError):
            continue  # not an instance that a site could hold
        theirs = comparable(as_pydicom_reads(path))
        assert {name: ours[name] for name in theirs} == theirs, path.name
        compared += 1
    assert compared > 50


def as_pydicom_reads(path: Path) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = dcmread(path, stop_before_pixels=True)
        found = read.to_json_dict(bulk_data_element_handler=lambda element: "x", suppress_invalid_tags=True)
    return json.loads(json.dumps(found))
