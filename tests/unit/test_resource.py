"""Addresses of DICOMweb resources (PS3.18 section 10.1.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.attributes import Level
from archive.errors import BadRequest
from archive.resource import Resource, parse_frames, parse_resource, parse_uid


@pytest.mark.parametrize(
    ("parameters", "level", "path"),
    [
        ({}, None, ""),
        ({"study": "1.2"}, Level.STUDY, "/studies/1.2"),
        ({"study": "1.2", "series": "3"}, Level.SERIES, "/studies/1.2/series/3"),
        (
            {"study": "1.2", "series": "3", "instance": "4"},
            Level.INSTANCE,
            "/studies/1.2/series/3/instances/4",
        ),
    ],
)
def test_address_names_its_level_and_path(parameters, level, path):
    resource = parse_resource(parameters)
    assert (resource.level, resource.path) == (level, path)


@pytest.mark.parametrize(
    "text", ["", "1..2", ".1", "1.", "1.2 ", "1.a", "1.2\n", "٣.1", "1" * 65, "1.2;drop"]
)
def test_what_is_no_uid_is_refused_without_being_quoted(text):
    """PS3.5 section 9.1."""
    with pytest.raises(BadRequest) as caught:
        parse_uid(text)
    assert not text or text not in str(caught.value)


def test_frames_keep_the_order_asked():
    """PS3.18 section 10.4.1.1.6."""
    assert parse_frames("3,1,3") == (3, 1, 3)


@pytest.mark.parametrize("text", ["", "0", "-1", "1,", "1;2", "1.5", "a", "01", "1, 2", "9" * 10, "²"])
def test_malformed_frame_lists_are_refused(text):
    with pytest.raises(BadRequest):
        parse_frames(text)


def test_the_number_of_frames_asked_at_once_is_bounded():
    with pytest.raises(BadRequest):
        parse_frames(",".join(["1"] * 10_001))


@given(st.text(max_size=100))
def test_parsing_never_fails_otherwise(text):
    for parse in (parse_uid, parse_frames):
        try:
            parse(text)
        except BadRequest:
            continue


def test_resources_are_values():
    assert Resource("1.2") == parse_resource({"study": "1.2"})
