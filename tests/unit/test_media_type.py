"""Media types and their negotiation (RFC 9110 section 12.5.1, PS3.18 sections 8.3.3 and 8.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest, NotAcceptable
from archive.media_type import media_type, multipart, parse_accept, parse_media_type, select

JSON, DICOM = media_type("application/dicom+json"), media_type("application/dicom")
JPEG = multipart("image/jpeg", transfer_syntax="1.2.840.10008.1.2.4.70")
OCTETS = multipart("application/octet-stream", transfer_syntax="1.2.840.10008.1.2.4.70")


def choose(accept, *offers, query=None):
    return select(parse_accept(accept, query), offers)


class TestChoice:
    """RFC 9110 section 12.5.1."""

    def test_nothing_said_takes_the_first_offer(self):
        assert choose(None, JSON, DICOM) == choose("", JSON, DICOM) == choose("*/*", JSON, DICOM) == JSON

    def test_the_greater_quality_wins(self):
        assert choose("application/dicom;q=0.5, application/dicom+json;q=0.9", DICOM, JSON) == JSON

    def test_the_more_specific_range_decides_the_quality(self):
        assert choose("application/*, application/dicom;q=0.1", DICOM, JSON) == JSON

    def test_quality_zero_refuses(self):
        with pytest.raises(NotAcceptable):
            choose("*/*, application/dicom;q=0", DICOM)

    def test_what_is_not_offered_is_refused_with_the_offers(self):
        with pytest.raises(NotAcceptable, match=r"application/dicom\+json"):
            choose("text/html", JSON)

    def test_no_offer_accepts_nothing(self):
        with pytest.raises(NotAcceptable):
            choose("*/*")

    def test_letter_case_does_not_matter(self):
        assert choose("Application/DICOM+JSON", JSON) == JSON

    def test_the_query_stands_in_for_the_header(self):
        """PS3.18 section 8.3.3.1."""
        assert choose("text/html", JSON, query="application/dicom+json") == JSON

    def test_a_plus_that_a_query_read_as_a_space_is_a_plus(self):
        assert choose(None, DICOM, JSON, query="application/dicom json") == JSON


class TestMultipart:
    """PS3.18 section 8.7.3."""

    @pytest.mark.parametrize("quote", ["", '"'])
    def test_the_type_of_the_parts_may_be_quoted_or_not(self, quote):
        assert choose(f"multipart/related; type={quote}image/jpeg{quote}", OCTETS, JPEG) == JPEG

    @pytest.mark.parametrize("syntax", ["*", "1.2.840.10008.1.2.4.70", None])
    def test_the_transfer_syntax_stored_any_or_none(self, syntax):
        accept = 'multipart/related; type="application/octet-stream"'
        assert choose(accept + (f"; transfer-syntax={syntax}" if syntax else ""), JPEG, OCTETS) == OCTETS

    def test_another_transfer_syntax_is_not_acceptable(self):
        with pytest.raises(NotAcceptable):
            choose('multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50', JPEG)

    def test_a_range_of_part_types(self):
        assert choose('multipart/related; type="image/*"', OCTETS, JPEG) == JPEG

    def test_single_part_is_not_multipart(self):
        with pytest.raises(NotAcceptable):
            choose("image/jpeg", JPEG)


class TestText:
    def test_a_type_is_written_as_it_is_read(self):
        text = 'multipart/related; type="application/dicom"; boundary=a1'
        assert str(parse_media_type(text)) == text

    def test_quotes_within_a_value_survive(self):
        written = str(media_type("a/b", x='say "hi" \\ now'))
        assert parse_media_type(written).parameter("x") == 'say "hi" \\ now'

    @pytest.mark.parametrize(
        "text", ["a", "a/", "/b", "a/b/c", "a/b;q=2", "a/b;q=x", "a/b x", 'a/b;x="', "a/b," + "c" * 9000]
    )
    def test_malformed_ones_are_refused(self, text):
        with pytest.raises(BadRequest):
            parse_accept(text)

    @pytest.mark.parametrize(
        "text", ["a/b;", "a/b ; ;x=1", " a/b , c/d ", "a/b,,c/d", "a/b;x=", "a/b\t;q=0.5"]
    )
    def test_harmless_oddities_are_taken(self, text):
        assert parse_accept(text)

    @given(st.text(alphabet='ab/;=",* \\q0.1\té', max_size=60))
    def test_parsing_never_fails_otherwise(self, text):
        try:
            parse_accept(text)
        except BadRequest:
            return

    def test_a_hostile_header_is_read_in_linear_time(self):
        with pytest.raises(BadRequest):
            parse_accept("a/b" + ';x="\\' * 2000)
