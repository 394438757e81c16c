"""Query strings of searches (PS3.18 sections 8.3.4 and 10.6.1, PS3.4 section C.2.2.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.attributes import Level
from archive.errors import BadRequest
from archive.matching import Between, Like, Named, OneOf
from archive.query import MAXIMUM_LIMIT, parse_parameters, parse_query


def query(text: str, level: Level = Level.INSTANCE):
    return parse_query(level, parse_parameters(text.encode()))


def condition(text: str, level: Level = Level.INSTANCE):
    (match,) = query(text, level).matches
    return match.condition


REQUIRED = {
    Level.STUDY: "StudyDate=20200101 StudyTime=10 AccessionNumber=1 ModalitiesInStudy=MG PatientName=a PatientID=1"
    " ReferringPhysicianName=a StudyInstanceUID=1.2 StudyID=1",
    Level.SERIES: "Modality=MG SeriesInstanceUID=1.2 SeriesNumber=1 PerformedProcedureStepStartDate=20200101"
    " PerformedProcedureStepStartTime=10 RequestAttributesSequence.ScheduledProcedureStepID=1"
    " RequestAttributesSequence.RequestedProcedureID=1",
    Level.INSTANCE: "SOPClassUID=1.2 SOPInstanceUID=1.2 InstanceNumber=1",
}


class TestKeys:
    """PS3.18 table 10.6.1-5 and section 10.6.1.2."""

    @pytest.mark.parametrize(
        ("level", "key"),
        [(level, key) for level in Level for at in Level if at <= level for key in REQUIRED[at].split()],
    )
    def test_required_keys_of_the_level_and_those_above(self, level, key):
        assert len(query(key, level).matches) == 1

    def test_keyword_and_tag_are_alike(self):
        assert query("PatientID=1") == query("00100020=1")
        assert query("RequestAttributesSequence.00400009=1") == query("00400275.ScheduledProcedureStepID=1")

    @pytest.mark.parametrize(
        "text",
        [
            "Foo=1",
            "=1",
            "0010002=1",
            "001000200=1",
            "PixelData=1",
            "00091001=1",
            "PatientID.=1",
            "limits=1",
            "SOPClassUID.CodeValue=1",
            "ModalitiesInStudy.CodeValue=1",
            "PatientID.PatientID=1",
            "a.b=1",
        ],
    )
    def test_an_unknown_key_is_refused_and_never_left_out(self, text):
        with pytest.raises(BadRequest):
            query(text)

    @pytest.mark.parametrize("text", ["Modality=MG", "SOPInstanceUID=1.2", "SeriesNumber=1"])
    def test_a_key_of_a_level_below_is_refused(self, text):
        with pytest.raises(BadRequest, match="studies"):
            query(text, Level.STUDY)

    def test_a_key_given_twice_is_refused(self):
        with pytest.raises(BadRequest, match="twice"):
            query("PatientID=1&00100020=2")

    def test_an_error_never_quotes_a_value(self):
        for text in (
            "StudyDate=Doe",
            "SeriesNumber=Doe",
            "limit=Doe",
            "StudyInstanceUID=Doe",
            "fuzzymatching=Doe",
        ):
            with pytest.raises(BadRequest) as caught:
                query(text)
            assert "Doe" not in str(caught.value)

    def test_matched_attributes_are_returned(self):
        assert "00080090" in query("ReferringPhysicianName=a").include


class TestValues:
    """PS3.4 section C.2.2.2."""

    @pytest.mark.parametrize(
        "text", ["PatientID=", "PatientID=*", "StudyDate=", "StudyInstanceUID=*", "StudyTime=**"]
    )
    def test_universal_matching_is_no_condition(self, text):
        assert query(text).matches == ()

    @pytest.mark.parametrize("separator", [",", "\\", "%5C", ", "])
    def test_lists_of_uids(self, separator):
        assert condition(f"StudyInstanceUID=1.2{separator}1.3") == OneOf(("1.2", "1.3"))

    def test_a_comma_in_other_values_is_itself(self):
        assert condition("PatientID=a,b") == OneOf(("a,b",))

    @pytest.mark.parametrize("text", ["StudyInstanceUID=1.2*", "StudyInstanceUID=a", "SOPClassUID=1.2,,x"])
    def test_malformed_uids_are_refused(self, text):
        with pytest.raises(BadRequest):
            query(text)

    @pytest.mark.parametrize(
        ("text", "low", "high"),
        [
            ("20200101", "20200101", "20200101"),
            ("20200101-", "20200101", None),
            ("-20200131", None, "20200131"),
            ("20200101-20200131", "20200101", "20200131"),
        ],
    )
    def test_dates_and_their_ranges(self, text, low, high):
        assert condition(f"StudyDate={text}") == Between(low, high)

    @pytest.mark.parametrize(
        "text", ["2020", "2020-01-01", "20201301", "20200132", "-", "20200101-20200131-20200201", "2020010*"]
    )
    def test_malformed_dates_are_refused(self, text):
        with pytest.raises(BadRequest):
            query(f"StudyDate={text}")

    @pytest.mark.parametrize(
        ("text", "low", "high"),
        [
            ("10", "100000000000", "105959999999"),
            ("1015-", "101500000000", None),
            ("-101530", None, "101530999999"),
            ("101530.5-235959", "101530500000", "235959999999"),
        ],
    )
    def test_times_of_any_precision(self, text, low, high):
        assert condition(f"StudyTime={text}") == Between(low, high)

    @pytest.mark.parametrize("text", ["1", "24", "1060", "10:15", "101530.1234567", "10*"])
    def test_malformed_times_are_refused(self, text):
        with pytest.raises(BadRequest):
            query(f"StudyTime={text}")

    def test_wildcards(self):
        assert condition("AccessionNumber=A*1?") == Like("A*1?")

    def test_names_are_compared_in_lower_case_without_trailing_delimiters(self):
        assert condition("PatientName=DOE^Jane^^") == Named("doe^jane")

    def test_fuzzy_names_are_words(self):
        assert condition("PatientName=Jane^DOE*&fuzzymatching=true") == Named("jane^doe*", ("jane", "doe"))

    def test_several_modalities_mean_any_of_them(self):
        assert condition("ModalitiesInStudy=MG\\US") == OneOf(("MG", "US"))

    def test_numbers_are_whole(self):
        assert condition("SeriesNumber=+007") == OneOf(("7",))
        with pytest.raises(BadRequest):
            query("SeriesNumber=1.5")

    @pytest.mark.parametrize(
        "text", ["PatientID=%00", "PatientName=a%1Bb", "AccessionNumber=%0A1", "StudyID=%7F"]
    )
    def test_control_characters_are_refused(self, text):
        with pytest.raises(BadRequest):
            query(text)

    def test_percent_encoding_is_utf8(self):
        assert condition("PatientID=%C3%A9%25_") == OneOf(("é%_",))
        for text in ("PatientID=%FF", "PatientID=%ED%A0%80"):
            with pytest.raises(BadRequest):
                query(text)


class TestPaging:
    """PS3.18 section 8.3.4.4."""

    def test_limit_and_offset(self):
        page = query("limit=5&offset=10")
        assert (page.page_size, page.offset) == (5, 10)

    def test_the_server_has_a_maximum(self):
        assert query("").page_size == query("limit=999999").page_size == MAXIMUM_LIMIT

    def test_limit_zero_is_no_result(self):
        assert query("limit=0").page_size == 0

    @pytest.mark.parametrize("name", ["limit", "offset"])
    @pytest.mark.parametrize("value", ["-1", "", "1.5", "a", "+1", "1e3", "9" * 30, "٣"])
    def test_bad_numbers_are_refused(self, name, value):
        with pytest.raises(BadRequest, match=name):
            query(f"{name}={value}")


class TestIncluded:
    """PS3.18 section 8.3.4.3."""

    def test_names_tags_lists_and_repeats(self):
        fields = query("includefield=Manufacturer,00081090&includefield=Rows").include
        assert fields == {"00080070", "00081090", "00280010"}

    def test_all(self):
        assert query("includefield=all").include_all
        assert query("includefield=all").include == frozenset()

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(BadRequest):
            query("includefield=Foo")


@given(
    st.text(max_size=80)
    | st.from_regex(r"(PatientName|StudyDate|SeriesNumber|0020000D)=.{0,40}", fullmatch=True)
)
def test_parsing_never_fails_otherwise(text):
    try:
        parse_query(Level.INSTANCE, parse_parameters(text.encode("utf-8", "ignore")))
    except BadRequest:
        return


def test_too_long_a_query_is_refused():
    with pytest.raises(BadRequest):
        query("PatientID=" + "a" * 70_000)
    with pytest.raises(BadRequest):
        query("&".join(["includefield=Rows"] * 300))
