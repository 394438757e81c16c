"""Which Orthanc the plugin takes: a release that was tested, set up so that nothing breaks a promise."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_plugin import fitness

OWN = json.loads(Path(__file__).resolve().parents[2].joinpath("orthanc.json").read_text("utf-8"))
TESTED = fitness.TESTED[0]


def test_the_shipped_configuration_breaks_no_promise() -> None:
    assert list(fitness.dangers(OWN)) == []
    assert list(fitness.remarks(OWN)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"StorageCompression": True},
        {"StoreDicom": False},
        {"IngestTranscoding": "1.2.840.10008.1.2.4.70"},
        {"OverwriteInstances": True},
        {"DeidentifyLogs": False},
        {"AuthenticationEnabled": False},
        {"WebDavEnabled": True},
        {"ExecuteLuaEnabled": True},
        {"DicomAlwaysAllowFind": True},
        {"DicomAlwaysAllowFindWorklist": True},
        {"DicomAlwaysAllowGet": True},
        {"DicomAlwaysAllowMove": True},
        {"MaximumStorageSize": 1000},
        {"MaximumPatientCount": 10, "MaximumStorageMode": "Recycle"},
        {"PostgreSQL": {"EnableIndex": True, "EnableStorage": True}},
        {"DelayedDeletion": {"Enable": True}},
        {"Python": {}},
    ],
    ids=lambda change: "-".join(change),
)
def test_what_breaks_a_promise_is_refused_by_its_key(change: dict[str, Any]) -> None:
    (danger,) = fitness.dangers(OWN | change)
    assert any(danger.startswith((key, f"{key}.")) or key.startswith("Maximum") for key in change)
    with pytest.raises(fitness.Unfit, match="refuses"):
        fitness.require(TESTED, OWN | change)


@pytest.mark.parametrize(
    "change",
    [
        {"MaximumStorageSize": 1000, "MaximumStorageMode": "Reject"},
        {"PostgreSQL": {"EnableIndex": True, "EnableStorage": False}},
        {"DicomTlsEnabled": True},
    ],
    ids=lambda change: "-".join(change),
)
def test_what_breaks_none_is_taken(change: dict[str, Any]) -> None:
    fitness.require(TESTED, OWN | change)


@pytest.mark.parametrize("key", ["AuthenticationEnabled", "WebDavEnabled"])
def test_what_orthanc_does_by_itself_is_refused_where_nothing_is_said_of_it(key: str) -> None:
    """Its defaults: WebDAV is on, and nobody is asked who they are where no remote access is allowed."""
    (danger,) = fitness.dangers({name: value for name, value in OWN.items() if name != key})
    assert danger.startswith(key)


@pytest.mark.parametrize("version", ["1.10.1", "1.12.6", "2.0.0", "mainline", "", f"{TESTED}.1"])
def test_a_release_that_was_not_tested_is_refused(version: str) -> None:
    with pytest.raises(fitness.Unfit, match="docs/doctor.md"):
        fitness.require(version, OWN)


def test_a_site_accepts_one_release_and_no_other() -> None:
    fitness.require("1.99.3", OWN, accepted="1.99.3")
    with pytest.raises(fitness.Unfit):
        fitness.require("1.99.4", OWN, accepted="1.99.3")
    assert fitness.refusal("", accepted="")


@given(st.tuples(*[st.integers(0, 99)] * 3))
def test_a_version_is_found_by_asking_whether_it_is_at_least_another(version: tuple[int, int, int]) -> None:
    found = fitness.version_of(lambda *asked: asked <= version)
    assert found == ".".join(map(str, version))


def test_mainline_claims_to_be_above_any() -> None:
    assert fitness.version_of(lambda *asked: 1) == "mainline"


@pytest.mark.parametrize("key", ["LuaScripts", "DicomModalities", "ReadOnly", "UnknownSopClassAccepted"])
def test_what_somebody_should_know_of_is_told(key: str) -> None:
    (remark,) = fitness.remarks(OWN | {key: ["something"]})
    assert remark.startswith(key)
