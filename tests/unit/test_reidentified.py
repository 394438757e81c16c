"""The reverse of de-identification: every UID and date at any depth, and no pseudonym beside an identity."""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filereader import read_dataset as read_elements
from pydicom.uid import JPEGBaseline8Bit, generate_uid

from deidentification.deidentify import Deidentified, Deidentifier
from deidentification.identity import Identity
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from inference.delivery.association import Meaning, judge
from inference.delivery.described import describe
from inference.delivery.errors import Undeliverable
from inference.delivery.lane import LONGEST_WAIT, wait_after
from inference.delivery.reidentified import Edition, Reidentified, Study, own_uids
from inference.instance import read_dataset
from inference.results.writers import WRITERS, write
from tests.integration.conftest import edit
from tests.unit.findings import lesion_findings
from tests.unit.mammograms import small_exam

DOOR = Deidentifier(Keys.derive(bytes(range(32))), Profile.load("breast-screening"))
PSEUDONYMS = DOOR.pseudonyms
MADE_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
FRAMES = "1.2.826.0.1.3680043.8.498.7"


def name(dataset: Dataset) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID = "Müller^Jörg", "Ä-4711"
    dataset.IssuerOfPatientID = "CLINIC"
    dataset.PatientBirthDate, dataset.PatientSex = "19500101", "F"
    dataset.AccessionNumber, dataset.StudyID = "ACC-1", "S-1"
    dataset.ReferringPhysicianName = "Überweiser^Udo"
    dataset.StudyDescription = "Mammography of Mrs Müller"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20240229"
    dataset.FrameOfReferenceUID = FRAMES


def exam() -> list[Deidentified]:
    return [DOOR.deidentify(edit(each, name)) for each in small_exam()]


EXAM = exam()
SOURCES = [read_dataset(each.instance, pixels=True) for each in EXAM]


def study(identity: Identity | None = None) -> Study:
    originals = {}
    for each in EXAM:
        for uid in ("study_instance_uid", "series_instance_uid", "sop_instance_uid"):
            originals[getattr(each, uid)] = getattr(each.identity, uid)
        originals[DOOR.uid(FRAMES)] = FRAMES
    return Study(identity or EXAM[0].identity, originals)


def reidentified(instance: bytes, whose: Study | None = None, replaces: str = "") -> Reidentified:
    edition = Edition(describe(instance).content, MADE_AT, replaces)
    return Reidentified(instance, whose or study(), edition, {}, PSEUDONYMS)


def delivered(instance: bytes, *, explicit: bool = True) -> Dataset:
    encoded = reidentified(instance).dataset(explicit=explicit)
    return read_elements(io.BytesIO(encoded), not explicit, True)


@cache
def results(*kinds: str, lesions: int = 2) -> list[bytes]:
    findings = lesion_findings(SOURCES)
    few = replace(findings, lesions=findings.lesions[:lesions])
    return write(few, SOURCES, kinds or [*WRITERS], PSEUDONYMS.uid)


def uids(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR == "UI":
            yield from [element.value] if isinstance(element.value, str) else element.value


@pytest.mark.parametrize("explicit", [True, False])
def test_identity_comes_back_byte_for_byte(explicit: bool) -> None:
    for result in results():
        encoded = reidentified(result).dataset(explicit=explicit)
        found = delivered(result, explicit=explicit)
        assert (found.PatientName, found.PatientID) == ("Müller^Jörg", "Ä-4711")
        assert (found.StudyInstanceUID, found.StudyDate) == (EXAM[0].identity.study_instance_uid, "20240229")
        assert (found.AccessionNumber, found.StudyID, found.IssuerOfPatientID) == ("ACC-1", "S-1", "CLINIC")
        assert found.SpecificCharacterSet == "ISO_IR 100" and "Müller".encode("latin-1") in encoded


def test_dates_are_moved_back_at_any_depth() -> None:
    def date(each: Dataset) -> None:
        item = Dataset()
        item.Date, item.DateTime, item.Time = each.ContentDate, f"{each.ContentDate}101500.5+0100", "101500"
        each.ContentSequence[0].ContentSequence = [item]

    for result in results():
        found = delivered(result)
        assert {found.get(f"{each}Date", "20240229") for each in ("Series", "Content")} == {"20240229"}
    (item,) = delivered(edit(results("kos")[0], date)).ContentSequence[0].ContentSequence
    assert (item.Date, item.DateTime, item.Time) == ("20240229", "20240229101500.5+0100", "101500")


def test_what_says_that_it_was_deidentified_goes() -> None:
    """And what de-identification changed and the crosswalk does not hold."""
    for result in results():
        found = delivered(result)
        assert not {"PatientIdentityRemoved", "StudyDescription", "PatientAge"} & set(found.dir())
        assert not [each for each in found.dir() if "Deidentification" in each or "Longitudinal" in each]


def test_every_uid_is_the_original_or_the_results_own() -> None:
    for result in results():
        assert not [uid for uid in uids(delivered(result)) if PSEUDONYMS.is_own_uid(uid)]


def test_a_segmentation_lies_in_the_original_frame_of_reference() -> None:
    assert {delivered(each).FrameOfReferenceUID for each in results("seg")} == {FRAMES}


def test_the_same_content_goes_out_under_the_same_uid_and_another_under_another() -> None:
    first, again, changed = (delivered(results("sr", lesions=number)[0]) for number in (2, 2, 1))
    assert first.SOPInstanceUID == again.SOPInstanceUID != changed.SOPInstanceUID
    assert first.SeriesInstanceUID == changed.SeriesInstanceUID


def test_a_report_that_replaces_another_names_it() -> None:
    """PS3.3 C.17.2, Predecessor Documents Sequence."""
    (report,), (image, *_) = results("sr"), results("sc")
    encoded = reidentified(report, replaces="before").dataset(explicit=True)
    found = read_elements(io.BytesIO(encoded), False, True)
    (named,) = found.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    own = describe(report).sop_instance_uid
    assert named.ReferencedSOPInstanceUID == PSEUDONYMS.outward_uid(own, "before") != found.SOPInstanceUID
    picture = reidentified(image, replaces="before").dataset(explicit=True)
    assert "PredecessorDocumentsSequence" not in read_elements(io.BytesIO(picture), False, True)


def test_the_latest_of_several_is_told_by_its_creation() -> None:
    """In the time zone that the result names (PS3.3 C.12.1.1.8)."""
    zoned = edit(results("kos")[0], lambda each: setattr(each, "TimezoneOffsetFromUTC", "-0330"))
    found = delivered(zoned)
    assert (found.InstanceCreationDate, found.InstanceCreationTime) == ("20261123", "083000")


def test_what_leaves_is_no_pseudonym_when_it_comes_back() -> None:
    own = PSEUDONYMS.uid("result")
    assert not PSEUDONYMS.is_own_uid(PSEUDONYMS.outward_uid(own, "content"))
    assert PSEUDONYMS.uid(PSEUDONYMS.outward_uid(own)) != PSEUDONYMS.outward_uid(own)


@pytest.mark.parametrize(
    "changed",
    [
        {"patient_id": "SOMEBODY-ELSE", "raw": {}},
        {"issuer_of_patient_id": "X"},
        {"study_instance_uid": "1.2"},
    ],
)
def test_nothing_comes_to_another_patient_or_study(changed: dict) -> None:
    """What the crosswalk opened has to give the very pseudonyms that the result carries."""
    identity = replace(EXAM[0].identity, **changed)
    with pytest.raises(Undeliverable, match="another patient or study"):
        reidentified(results("sr")[0], study(identity))


def test_a_reference_that_leads_nowhere_is_not_sent() -> None:
    whose = study()
    gone = {key: uid for key, uid in whose.originals.items() if key != EXAM[0].sop_instance_uid}
    with pytest.raises(Undeliverable, match="names an instance"):
        reidentified(results("sr")[0], replace(whose, originals=gone))


def test_a_pseudonym_in_a_text_is_not_sent() -> None:
    leaky = edit(results("kos")[0], lambda each: setattr(each, "SeriesDescription", EXAM[0].patient_id))
    with pytest.raises(Undeliverable, match="pseudonym"):
        reidentified(leaky).dataset(explicit=True)


def test_text_that_the_patients_character_set_lacks_makes_it_utf_8() -> None:
    greek = edit(results("kos")[0], lambda each: setattr(each, "SeriesDescription", "Μαστός"))
    found = delivered(greek)
    assert (found.SpecificCharacterSet, found.SeriesDescription) == ("ISO_IR 192", "Μαστός")
    assert (found.PatientName, found.PatientID) == ("Müller^Jörg", "Ä-4711")


def test_dates_that_were_not_kept_become_those_of_the_study() -> None:
    def unknown(each: Dataset) -> None:
        each.LongitudinalTemporalInformationModified = "REMOVED"
        each.SeriesDate, each.SeriesTime = "19000101", "000000"

    found = delivered(edit(results("kos")[0], unknown))
    assert (found.SeriesDate, found.SeriesTime) == ("20240229", EXAM[0].identity.study_time)


def test_an_identity_that_was_sealed_before_this_version_still_reads() -> None:
    before = {k: v for k, v in asdict(EXAM[0].identity).items() if k != "frame_of_reference_uid"}
    assert Identity.from_json(json.dumps(before).encode()).patient_id == EXAM[0].identity.patient_id


def _nested(depth: int) -> st.SearchStrategy[Dataset]:
    """A data set with references, own and foreign, in sequences of sequences."""
    known = st.sampled_from([each.sop_instance_uid for each in EXAM])
    foreign = st.sampled_from([str(JPEGBaseline8Bit), generate_uid(entropy_srcs=["foreign"])])
    own = st.integers(0, 50).map(lambda number: PSEUDONYMS.uid(f"tracking {number}"))

    @st.composite
    def make(draw: st.DrawFn) -> Dataset:
        item = Dataset()
        item.ReferencedSOPInstanceUID = draw(known | foreign)
        item.TrackingUID = draw(own | foreign)
        item.RelatedFrameOfReferenceUID = draw(own | st.just(DOOR.uid(FRAMES)))
        item.ReferencedImageRealWorldValueMappingSequence = []
        item.SeriesInstanceUID = draw(st.sampled_from([each.series_instance_uid for each in EXAM]) | own)
        item.ContributingSOPInstancesReferenceSequence = (
            draw(st.lists(_nested(depth - 1), max_size=2)) if depth else []
        )
        return item

    return make()


@settings(deadline=None, max_examples=25)
@given(_nested(3))
def test_uids_are_mapped_at_any_depth(item: Dataset) -> None:
    def hang(each: Dataset) -> None:
        each.ReferencedSeriesSequence = [item]

    instance = edit(results("kos")[0], hang)
    before = list(uids(read_dataset(instance, pixels=False)))
    after = list(uids(delivered(instance)))
    originals = study().originals
    for was, now in zip(before, after, strict=True):
        assert now == originals.get(was, now) and not PSEUDONYMS.is_own_uid(now)
        assert (now == was) == (not PSEUDONYMS.is_own_uid(was))
    assert set(originals) & own_uids(instance, PSEUDONYMS) >= {EXAM[0].study_instance_uid}


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (0, "stored"),
        (0xB007, "stored"),
        (0xA701, "later"),
        (0xA9FF, "refused"),
        (0xCFFF, "refused"),
        (0xFE00, "later"),
    ],
)
def test_statuses_of_the_standard(status: int, meaning: str) -> None:
    """PS3.4 table B.2-1."""
    assert judge(status).meaning == Meaning(meaning)


@given(st.integers(0, 10_000))
def test_waits_double_and_have_a_bound(attempts: int) -> None:
    assert 1 <= wait_after(attempts) <= LONGEST_WAIT
    assert wait_after(attempts) >= min(2.0 ** min(attempts, 30), LONGEST_WAIT / 2) * 0.5
