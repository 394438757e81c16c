"""Nothing that an independent tool removes is kept without a reason that is listed here.

The independent tool is dicom-anonymizer with its own copy of Table E.1-1. It is no part of the test environment:
the test runs where `pip install dicom-anonymizer` was done, and the table itself is checked in any case.
"""

import csv
import re
from pathlib import Path

import pytest

from deidentification.profile import Profile
from deidentification.rules import rows

PROFILE, BASIC = Profile.load("breast-screening"), Profile.load("basic")
# Kept or rebuilt where the basic profile says X, Z or D; each by an option that the profile states.
OPTIONS = {
    "retain_longitudinal_modified_dates": "dates move, times of day stay",
    "retain_patient_characteristics": "checked by value",
    "clean_descriptors": "words of a list",
    "clean_structured_content": "items are treated one by one",
    "clean_graphics": "items are treated one by one",
}


def untouched(profile: Profile, tag: str) -> bool:
    """Whether the profile has a rule that may leave the value as it came."""
    if not re.fullmatch("[0-9A-F]{8}", tag):
        return False
    rule = profile.rules.get(int(tag, 16))
    return rule is not None and rule.what.startswith(("kept", "reduced", "moved"))


def test_table_e_1_1(shared: Path) -> None:
    with (shared / "reference" / "ps3.15_table_e1-1.csv").open(newline="") as lines:
        basic = {
            row["tag"].split()[0].strip("()").replace(",", "").upper(): row for row in csv.DictReader(lines)
        }
    options = {row["tag"].upper(): row for row in rows("confidentiality.csv")}
    for tag in basic:
        if untouched(PROFILE, tag) and options[tag]["vr"] != "SQ":
            reasons = [option for option in PROFILE.options if options[tag].get(option)]
            assert reasons, tag
            assert set(reasons) <= OPTIONS.keys()


def test_basic_profile_keeps_no_value_of_the_table() -> None:
    kept = [row for row in rows("confidentiality.csv") if untouched(BASIC, row["tag"]) and row["vr"] != "SQ"]
    assert kept == []


def test_sequences_of_the_table_are_rebuilt_only_where_it_says_d_or_u() -> None:
    for row in rows("confidentiality.csv"):
        if untouched(BASIC, row["tag"]):
            assert row["action"] in "DU", row["keyword"]


def test_dicom_anonymizer() -> None:
    tables = pytest.importorskip("dicomanonymizer.dicom_anonymization_databases.dicomfields_2024b")
    options = {row["tag"]: row for row in rows("confidentiality.csv")}
    kept = {}
    for name in (
        "D_TAGS",
        "Z_TAGS",
        "X_TAGS",
        "U_TAGS",
        "Z_D_TAGS",
        "X_Z_TAGS",
        "X_D_TAGS",
        "X_Z_D_TAGS",
        "X_Z_U_STAR_TAGS",
    ):
        for each in getattr(tables, name, ()):
            tag = f"{each[0]:04X}{each[1]:04X}"
            by_option = any(options.get(tag, {}).get(option) for option in PROFILE.options)
            rebuilt = options.get(tag, {}).get("vr") == "SQ"
            if untouched(PROFILE, tag) and not by_option and not rebuilt:
                kept[tag] = name
    assert kept == {}
