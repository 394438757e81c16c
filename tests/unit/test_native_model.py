"""The Native DICOM Model: PS3.19 section A.1 and PS3.18 table F.3.1-1, equal in content to DICOM JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from archive.json_values import render_attributes
from gateway.native_model import render_native_model
from tests.unit.native_model import comparable, read_native_model

TEXT = st.text(max_size=20)


def value(kind: str):
    names = st.dictionaries(st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), TEXT, max_size=3)
    return names if kind == "PN" else TEXT


def attribute(kind: str):
    return st.fixed_dictionaries({"vr": st.just(kind), "Value": st.lists(value(kind), max_size=3)})


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"00100020": {"vr": "LO", "Value": ["1"]}}, 'tag="00100020" vr="LO" keyword="PatientID"><Value number="1">'),
        ({"00100020": {"vr": "LO", "Value": ["a<b>&c"]}}, "a&lt;b&gt;&amp;c</Value>"),
        ({"00080008": {"vr": "CS", "Value": [None, "B"]}}, '<Value number="2">B</Value>'),
        ({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}}, "<FamilyName>Doe</FamilyName><GivenName>"),
        ({"00082112": {"vr": "SQ", "Value": [{}]}}, '<Item number="1"></Item>'),
        ({"7FE00010": {"vr": "OW", "BulkDataURI": 'u"<'}}, "<BulkData uri='u\"&lt;'/>"),
        ({"00091002": {"vr": "UN"}, "00090010": {"vr": "LO", "Value": ["ACME"]}}, 'vr="UN" privateCreator="ACME"'),
        ({"00080060": {"vr": "CS"}}, '<DicomAttribute tag="00080060" vr="CS" keyword="Modality"></DicomAttribute>'),
    ],
)  # fmt: skip
def test_each_kind_of_value(attributes, expected):
    assert expected in render_native_model(attributes).decode()


@given(st.sampled_from(["LO", "LT", "PN", "UC"]).flatmap(attribute))
def test_what_any_text_says_is_kept(each):
    """XML 1.0 section 2.2: characters that it has no way to hold are left out, and nothing breaks."""
    document = {"00104000": each}
    assert read_native_model(render_native_model(document)) == comparable(document)


def test_every_file_says_the_same_in_xml_and_json(shared):
    files = sorted((shared / "data" / "dicom").rglob("*.dcm"))[:40]
    assert files
    for file in files:
        attributes = render_attributes(dcmread(file, stop_before_pixels=True, force=True), "/bulkdata")
        assert read_native_model(render_native_model(attributes)) == comparable(attributes), file.name
