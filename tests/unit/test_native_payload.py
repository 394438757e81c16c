"""A data set read from the Native DICOM Model: PS3.19 section A.1, from whoever sends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from archive.errors import BadRequest, PayloadTooLarge
from archive.json_values import render_attributes
from gateway import native_payload
from gateway.native_model import NAMESPACE, render_native_model
from gateway.native_payload import parse_native_model
from tests.unit.native_model import comparable


def document(inner: str) -> bytes:
    return f'<NativeDicomModel xmlns="{NAMESPACE}">{inner}</NativeDicomModel>'.encode()


def attribute(kind: str, inner: str) -> bytes:
    return document(f'<DicomAttribute tag="0010abcd" vr="{kind}">{inner}</DicomAttribute>')


@pytest.mark.parametrize(
    ("kind", "inner", "expected"),
    [
        ("LO", '<Value number="1">A</Value>', {"Value": ["A"]}),
        ("CS", '<Value number="2">B</Value>', {"Value": [None, "B"]}),
        ("IS", '<Value number="1">12</Value>', {"Value": [12]}),
        ("DS", '<Value number="1">1.5</Value>', {"Value": [1.5]}),
        ("OW", '<BulkData uri="u"/>', {"BulkDataURI": "u"}),
        ("OB", "<InlineBinary> AA\nA= </InlineBinary>", {"InlineBinary": "AAA="}),
        ("SQ", '<Item number="1"></Item>', {"Value": [{}]}),
        ("LO", "", {}),
    ],
)
def test_each_kind_of_value(kind, inner, expected):
    assert parse_native_model(attribute(kind, inner)) == {"0010ABCD": {"vr": kind} | expected}


def test_every_file_says_the_same_as_its_json(shared):
    for file in sorted((shared / "data" / "dicom").rglob("*.dcm"))[:40]:
        attributes = render_attributes(dcmread(file, stop_before_pixels=True, force=True), "/bulkdata")
        found = parse_native_model(render_native_model(attributes))
        assert comparable(found).keys() == comparable(attributes).keys()
        assert parse_native_model(render_native_model(found)) == found, file.name


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<a/>",
        document("<x/>"),
        document('<DicomAttribute tag="1" vr="LO"/>'),
        document('<DicomAttribute tag="00100010"/>'),
        attribute("IS", '<Value number="1">secret</Value>'),
        attribute("LO", "<Value>secret</Value>"),
        attribute("LO", '<Value number="999999">secret</Value>'),
        attribute("LO", '<Other number="1"/>'),
        b'<!DOCTYPE a [<!ENTITY b "secret">]>' + document("&b;"),
        b'<?xml version="1.0" encoding="secret"?><a/>',
    ],
)
def test_what_is_no_data_set_is_refused_without_its_values(text):
    with pytest.raises(BadRequest) as refused:
        parse_native_model(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("depth", [native_payload.DEEPEST, 20_000])
def test_what_is_nested_too_deeply(depth):
    opened = '<DicomAttribute tag="00082112" vr="SQ"><Item number="1">' * depth
    with pytest.raises(BadRequest):
        parse_native_model(document(opened + "</Item></DicomAttribute>" * depth))


def test_what_is_too_long(monkeypatch):
    monkeypatch.setattr(native_payload, "MAXIMUM", 10)
    with pytest.raises(PayloadTooLarge):
        parse_native_model(document(""))


@given(st.binary(max_size=60), st.sampled_from([b"", document("")[:-20]]))
def test_nothing_else_is_raised(tail, head):
    with pytest.raises(BadRequest):
        parse_native_model(head + tail)
