"""What an instance says of its pixels after they were looked at (PS3.15 E.3.1, PS3.16 CID 7050)."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO

from deidentification.deidentify import Deidentifier, Pixels, Reason, Refused
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.drawn_text import ultrasound


@pytest.fixture(scope="module")
def deidentifier() -> Deidentifier:
    return Deidentifier(Keys.derive(bytes(range(32))), Profile.load("breast-screening"))


@pytest.fixture(scope="module")
def scan() -> bytes:
    return ultrasound(np.full((16, 16), 7, np.uint8), BurnedInAnnotation="YES")


def stored(deidentifier: Deidentifier, scan: bytes, looked: Pixels) -> Dataset:
    return dcmread(DicomBytesIO(deidentifier.deidentify(scan, looked).instance))


def codes(dataset: Dataset) -> set[str]:
    return {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}


def test_unseen_it_is_refused(deidentifier: Deidentifier, scan: bytes) -> None:
    with pytest.raises(Refused) as refused:
        deidentifier.deidentify(scan)
    assert refused.value.reason is Reason.PIXELS_MAY_CARRY_TEXT


def test_cleaned_it_states_the_option_and_no_burned_in_annotation(
    deidentifier: Deidentifier, scan: bytes
) -> None:
    dataset = stored(deidentifier, scan, Pixels.CLEANED)
    assert dataset.BurnedInAnnotation == "NO"
    assert {"113100", "113101"} <= codes(dataset)
    assert dataset.PixelData == bytes([7]) * 256


def test_accepted_by_a_person_it_does_not_claim_to_be_cleaned(
    deidentifier: Deidentifier, scan: bytes
) -> None:
    dataset = stored(deidentifier, scan, Pixels.ACCEPTED)
    assert dataset.BurnedInAnnotation == "NO"
    assert "113101" not in codes(dataset)


def test_where_its_regions_lie_and_how_they_are_calibrated_stays(deidentifier: Deidentifier) -> None:
    """PS3.3 C.8.5.5; of a region nothing but numbers."""
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMaxY1, region.RegionSpatialFormat = 4, 15, 1
    region.PhysicalUnitsXDirection, region.PhysicalDeltaX = 3, 0.0078
    region.ImageComments = "Mustermann^Erika"
    scan = ultrasound(np.full((16, 16), 7, np.uint8), SequenceOfUltrasoundRegions=[region])
    (kept,) = stored(deidentifier, scan, Pixels.CLEANED).SequenceOfUltrasoundRegions
    del region.ImageComments
    assert kept == region


@pytest.mark.parametrize("looked", [Pixels.CLEANED, Pixels.ACCEPTED])
def test_its_proof_covers_every_pixel(deidentifier: Deidentifier, scan: bytes, looked: Pixels) -> None:
    made = deidentifier.deidentify(scan, looked).instance
    assert deidentifier.carries_whole_proof(made)
    assert not deidentifier.carries_proof(made[:-1] + bytes([made[-1] ^ 1]))


def test_who_it_is_about_is_told_without_rewriting(deidentifier: Deidentifier, scan: bytes) -> None:
    who, made = deidentifier.recognise(scan), deidentifier.deidentify(scan, Pixels.CLEANED)
    assert who.instance == b""
    assert (who.sop_instance_uid, who.identity) == (made.sop_instance_uid, made.identity)
