"""Instances from attributes in DICOM JSON and bulk data (PS3.18 sections 8.7.1 and 10.5.2, annex F)."""

import json
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import generate_uid

from archive.errors import BadRequest, PayloadTooLarge
from gateway.assembly import DEEPEST, Assembly
from gateway.multipart import Part
from tests.unit.dicom_files import dataset, pixels

MG = "1.2.840.10008.5.1.4.1.1.1.2"
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON_VALUES = SCALARS | st.lists(
    SCALARS | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2), max_size=3
)


def mammogram(**values) -> Dataset:
    return dataset(
        SOPClassUID=MG,
        SOPInstanceUID=generate_uid(),
        StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
        **values,
    )


def describe(*datasets: Dataset, limit: int = 1) -> bytes:
    """JSON in which every value of more than `limit` KiB is bulk data at its tag."""

    def to_json(each: Dataset) -> dict:
        return each.to_json_dict(limit, lambda element: f"{each.SOPInstanceUID}/{int(element.tag):08x}")

    return json.dumps(list(map(to_json, datasets))).encode()


def part(address: str, value: bytes, kind: str = "application/octet-stream") -> Part:
    return Part({"content-type": kind, "content-location": address}, value)


def assemble(text: bytes, *bulk: Part) -> list[Dataset]:
    assembly = Assembly(1 << 20)
    assembly.describe(text)
    for each in bulk:
        assembly.add(each)
    return [dcmread(BytesIO(instance)) for instance in assembly.completed()]


def test_native_pixels_come_back_bit_by_bit():
    image = mammogram(**pixels(40, 30, bits=16))
    (found,) = assemble(describe(image), part(f"{image.SOPInstanceUID}/7fe00010", image.PixelData))
    assert found.PixelData == image.PixelData
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_compressed_frames_are_encapsulated_in_their_order():
    """Table 8.7.3-5: the transfer syntax is the media type's default, or the one it names."""
    image = mammogram(**pixels(4, 4, bits=16, frames=2))
    text = describe(image, limit=0)
    address = f"{image.SOPInstanceUID}/7fe00010"
    frames = [part(address, b"first frame.", "image/jls"), part(address, b"second", "image/jls")]
    (found,) = assemble(text, *frames)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.80"
    assert list(generate_frames(found.PixelData, number_of_frames=2)) == [b"first frame.", b"second"]


def test_an_instance_waits_until_the_last_of_its_bulk_data_has_come():
    image = mammogram(**pixels(40, 30, bits=16))
    assembly = Assembly(1 << 20)
    assembly.describe(describe(image, mammogram()))
    assert (len(list(assembly.completed())), assembly.unfinished) == (1, 1)
    assembly.add(part(f"{image.SOPInstanceUID}/7fe00010", image.PixelData))
    assert (len(list(assembly.completed())), assembly.unfinished) == (1, 0)


def test_bulk_data_at_any_depth_and_of_any_vr():
    inner = Dataset()
    inner.add_new(0x00081115, "SQ", [])
    inner.add_new(0x00420011, "OB", b"x" * 2000)
    outer = mammogram(ImageComments="c" * 2000)
    outer.add_new(0x00081140, "SQ", [inner])
    uid = outer.SOPInstanceUID
    (found,) = assemble(
        describe(outer), part(f"{uid}/00420011", b"x" * 2000), part(f"{uid}/00204000", b"c" * 2000)
    )
    assert found.ReferencedImageSequence[0].EncapsulatedDocument == b"x" * 2000
    assert found.ImageComments == "c" * 2000


def test_decimal_strings_keep_to_their_sixteen_characters():
    text = describe(mammogram()).replace(
        b"[{", b'[{"00181160": {"vr": "DS", "Value": [0.12345678901234567, 2, 0.1]}, ', 1
    )
    (found,) = assemble(text)
    assert [len(str(value)) <= 16 for value in found[0x00181160].value] == [True] * 3
    assert found[0x00181160].value[0] == pytest.approx(0.12345678901234567)


def test_text_beyond_ascii_is_kept():
    (found,) = assemble(describe(mammogram(PatientName="Ärzte^Ωμέγα")))
    assert (found.PatientName, found.SpecificCharacterSet) == ("Ärzte^Ωμέγα", "ISO_IR 192")


def test_file_meta_and_group_lengths_are_written_anew():
    text = describe(mammogram()).replace(
        b"[{", b'[{"00020010": {"vr": "UI", "Value": ["1.2.3"]}, "00080000": {"vr": "UL", "Value": [3]}, ', 1
    )
    (found,) = assemble(text)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert 0x00080000 not in found


def test_more_waiting_bulk_data_than_an_instance_may_have_is_refused():
    assembly = Assembly(1000)
    with pytest.raises(PayloadTooLarge):
        assembly.add(part("x", bytes(1001)))


def test_bulk_data_without_an_address_is_refused():
    with pytest.raises(BadRequest):
        Assembly(1000).add(Part({}, b""))


def test_nesting_that_is_too_deep_is_refused():
    nested: dict = {}
    for _ in range(DEEPEST + 1):
        nested = {"00081140": {"vr": "SQ", "Value": [nested]}}
    with pytest.raises(BadRequest):
        Assembly(1000).describe(json.dumps(nested).encode())


@given(
    st.dictionaries(
        st.sampled_from(["00080005", "00100010", "00280010", "7FE00010", "00081140", "00200032", "x"]),
        JSON_VALUES
        | st.fixed_dictionaries(
            {"vr": st.sampled_from(["SQ", "DS", "PN", "AT", "US", "OW", "??", "UI"]) | JSON_VALUES},
            optional={"Value": JSON_VALUES, "BulkDataURI": JSON_VALUES, "InlineBinary": JSON_VALUES},
        ),
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_is_described_gives_an_instance_or_none(attributes):
    """No input raises anything but a bad request."""
    assembly = Assembly(1000)
    try:
        assembly.describe(json.dumps([attributes]).encode())
    except BadRequest:
        return
    assert all(isinstance(instance, bytes) for instance in assembly.completed())
