"""What readers' reports say of an exam, for counting (PS3.16 TID 4200, CID 6001 and 6026)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.reported import Reported, newest

ASSESSMENT, FINDING = ("111005", "DCM", ""), ("121071", "DCM", "")
SCATTERED, BENIGN, SUSPICIOUS = ("129717001", "SCT", ""), ("397141009", "SCT", ""), ("397144001", "SCT", "")


def sequence(code: tuple[str, str, str]) -> dict[str, Any]:
    tags = ("00080100", "00080102", "00080104")
    return {
        "vr": "SQ",
        "Value": [{tag: {"vr": "SH", "Value": [part]} for tag, part in zip(tags, code, strict=True)}],
    }


def item(value: tuple[str, str, str], name: tuple[str, str, str] = FINDING) -> dict[str, Any]:
    return {"0040A043": sequence(name), "0040A168": sequence(value)}


def report(*items: dict[str, Any], date: str = "20200101", **elements: str) -> bytes:
    told = {tag[1:]: {"vr": "CS", "Value": [value]} for tag, value in elements.items()}
    content = {"0040A730": {"vr": "SQ", "Value": list(items)}, "00080023": {"vr": "DA", "Value": [date]}}
    return json.dumps(content | told).encode()


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([item(SCATTERED), item(BENIGN)], Reported("b", 2)),
        ([item(BENIGN), item(SUSPICIOUS)], Reported(None, 4)),
        ([item(("F-037C1", "SRT", ""))], Reported(None, 5)),
        ([item(("111125", "DCM", ""))], Reported(None, 6)),
        ([item(("x", "99ACME", "BI-RADS 4B"), ASSESSMENT)], Reported(None, 4)),
        ([item(("x", "99ACME", "BI-RADS 4B"))], Reported()),
        ([{"0040A730": {"vr": "SQ", "Value": [item(SCATTERED)]}}], Reported("b")),
        ([item(BENIGN), item(("121007", "DCM", "Device"))], Reported()),
        ([item(BENIGN), item(("x", "y", ""), ("111001", "DCM", ""))], Reported()),
    ],
    ids=[
        "both",
        "two breasts",
        "a retired code",
        "proven",
        "meaning",
        "no name",
        "nested",
        "device",
        "algorithm",
    ],
)
def test_what_a_report_says(items: list[dict[str, Any]], told: Reported) -> None:
    assert newest([report(*items)]) == told


def test_verified_reports_come_first_and_then_the_last() -> None:
    early, late = report(item(BENIGN)), report(item(SUSPICIOUS), date="20200202")
    assert newest([early, late]).assessment == 4
    assert newest([report(item(BENIGN), _0040A493="VERIFIED"), late]).assessment == 2
    assert newest([report(item(BENIGN), _0040A491="PARTIAL")]) == Reported()


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["0040A730", "0040A168", "0040A043", "Value", "00080100", "00080104"]), inner)))  # fmt: skip
def test_whatever_comes_is_read(content: Any) -> None:
    assert newest([json.dumps(content).encode(), b"{", json.dumps({"0040A730": content}).encode()])
