"""Whole numbers and times of a request (gateway.api.payload)."""

import pytest

from archive.errors import BadRequest
from gateway.api.applications import _day
from gateway.api.payload import Payload


@pytest.mark.parametrize(("sent", "number"), [(2, 2), ("2", 2), (None, None)])
def test_a_number_comes_as_json_or_from_a_form(sent: object, number: int | None) -> None:
    assert Payload({"revision": sent}).number("revision") == number


@pytest.mark.parametrize("sent", [True, 2.0, "", "-1", "²", "9" * 5000, [1]])
def test_what_is_none_is_refused(sent: object) -> None:
    with pytest.raises(BadRequest, match="whole number"):
        Payload({"revision": sent}).number("revision")


@pytest.mark.parametrize("sent", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999+00:00"])
def test_a_time_that_other_zones_have_no_year_for_is_refused(sent: str) -> None:
    """PostgreSQL tells a moment in its own zone, in which it may be of the year 0 or 10000: no list could be read."""
    with pytest.raises(BadRequest, match="moment"):
        Payload({"until": sent}).moment("until")
    with pytest.raises(BadRequest, match="day"):
        _day(Payload({"ends": sent[:10]}), "ends")
