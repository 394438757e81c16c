"""multipart/related, rendered and parsed (RFC 2046 section 5.1, RFC 2387)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest, PayloadTooLarge
from archive.media_type import parse_media_type
from gateway.multipart import MAXIMUM_HEADERS, Parser, boundary_of, render

BODIES = [
    b"",
    b"one",
    b"\r\n",
    b"\n",
    b"--",
    b"\r\n--other\r\n",
    b"\0\xff\r",
    b"ends in \r",
    b"\n\n--X",
    b"a" * 5000,
]


def parse(data: bytes, boundary: bytes = b"XX", *, step: int = 0, maximum: int = 10_000):
    parser = Parser(boundary, maximum)
    chunks = [data[at : at + step] for at in range(0, len(data), step)] if step else [data]
    parts = [part for chunk in chunks for part in parser.feed(chunk)]
    parser.close()
    return parts


def body(*parts: bytes, end: bytes = b"\r\n", headers: bytes = b"Content-Type: application/dicom") -> bytes:
    return b"".join(b"--XX" + end + headers + end * 2 + part + end for part in parts) + b"--XX--" + end


class TestParser:
    """RFC 2046 section 5.1.1."""

    @pytest.mark.parametrize("step", [0, 1, 3, 7, 64])
    @pytest.mark.parametrize("end", [b"\r\n", b"\n"])
    def test_parts_come_out_as_they_went_in_however_they_arrive(self, end, step):
        bodies = [part for part in BODIES if end == b"\r\n" or not part.endswith(b"\r")]
        assert [part.body for part in parse(body(*bodies, end=end), step=step)] == bodies

    def test_headers_are_read_without_their_case(self):
        (part,) = parse(body(b"x", headers=b"CONTENT-Type:  a/b\r\nX-Long: one\r\n two"))
        assert part.headers == {"content-type": "a/b", "x-long": "one two"}

    def test_a_part_may_have_no_headers(self):
        (part,) = parse(b"--XX\r\n\r\nx\r\n--XX--")
        assert (part.headers, part.body) == ({}, b"x")

    def test_preamble_and_epilogue_are_passed_over(self):
        assert [part.body for part in parse(b"hello\r\n\r\n" + body(b"x") + b"bye\r\n--XX\r\n\r\ny")] == [
            b"x"
        ]

    def test_white_space_after_a_boundary_is_let_pass(self):
        assert [part.body for part in parse(b"--XX \t\r\n\r\nx\r\n--XX--")] == [b"x"]

    def test_no_part_is_no_error(self):
        assert parse(b"--XX--\r\n") == []

    @pytest.mark.parametrize("cut", [1, 2, 4, 8, 20])
    def test_a_body_that_ends_early_is_refused(self, cut):
        with pytest.raises(BadRequest):
            parse(body(b"0123456789", end=b"\n")[: -cut - 1])

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"no boundary at all",
            b"--XXY\r\n\r\nx\r\n--XX--",
            b"--XX\r\nno colon\r\n\r\nx\r\n--XX--",
            b"a" * 70_000,
        ],
    )
    def test_what_is_no_multipart_is_refused(self, data):
        with pytest.raises(BadRequest):
            parse(data)

    @pytest.mark.parametrize("step", [0, 1000])
    def test_a_part_larger_than_the_maximum_is_refused_before_it_is_whole(self, step):
        with pytest.raises(PayloadTooLarge):
            parse(body(b"a" * 20_000), maximum=10_000, step=step)
        parser = Parser(b"XX", 10_000)
        with pytest.raises(PayloadTooLarge):
            list(parser.feed(b"--XX\r\n\r\n" + b"a" * 11_000))

    def test_a_part_of_the_maximum_is_taken(self):
        assert len(parse(body(b"a" * 10_000), step=999)[0].body) == 10_000

    def test_headers_are_bounded(self):
        with pytest.raises(BadRequest):
            parse(body(b"x", headers=b"A: " + b"b" * MAXIMUM_HEADERS), step=1000)

    @given(
        st.lists(st.binary(max_size=60).filter(lambda part: b"--XX" not in part), max_size=4),
        st.integers(1, 50),
    )
    def test_any_bytes_survive(self, parts, step):
        assert [part.body for part in parse(body(*parts), step=step)] == parts

    @given(
        st.lists(
            st.sampled_from([b"--XX", b"\r\n", b"\n", b"\r", b"--", b"a: b", b"", b" ", b"x"]), max_size=14
        )
    )
    def test_no_bytes_do_anything_else_than_parse_or_be_refused(self, pieces):
        try:
            parse(b"".join(pieces), step=3)
        except (BadRequest, PayloadTooLarge):
            return


class TestBoundary:
    """RFC 2046 section 5.1.1: 1 to 70 characters of a few kinds."""

    @pytest.mark.parametrize("text", ["XX", '"XX"', '"a b"', '"=_:/?(1)+,-."', "a" * 70])
    def test_quoted_or_not(self, text):
        found = boundary_of(parse_media_type(f"multipart/related; boundary={text}"))
        assert found == text.strip('"').encode()

    @pytest.mark.parametrize("text", ["", '""', '"a "', "a" * 71, '"a\\"b"', '"é"'])
    def test_others_are_refused(self, text):
        with pytest.raises(BadRequest):
            boundary_of(parse_media_type(f"multipart/related; boundary={text}"))


class TestRender:
    def test_the_bytes_are_those_of_the_standard(self):
        rendered = render([({"Content-Type": "a/b"}, [b"one"]), ({"X": "y"}, [b"tw", b"o"])], "B")
        assert b"".join(rendered) == (
            b"--B\r\nContent-Type: a/b\r\n\r\none\r\n--B\r\nX: y\r\n\r\ntwo\r\n--B--\r\n"
        )

    def test_what_is_rendered_can_be_parsed(self):
        rendered = b"".join(render([({"A": "b"}, [part]) for part in BODIES], "XX"))
        assert [part.body for part in parse(rendered)] == BODIES
