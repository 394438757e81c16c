"""What becomes of an instance in the spool, with a spool and a door that are played."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from archive.durable import DurableConnection
from archive.errors import BadRequest, Unavailable
from archive.settings import Settings
from archive.spool import Entry, Purpose, Spool, State
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from inference.cleaning.mask import Box
from inference.cleaning.spooled import MOST_ATTEMPTS, Cleaning, Sealed, masks_of, release
from inference.cleaning.text import Finder, Text
from tests.drawn_text import document, ultrasound

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = np.random.default_rng(1).integers(1, 255, (64, 96), np.uint8)
NAME = Box(10, 20, 50, 40)


class Told(Finder):
    """Finds a name at the first look."""

    def __init__(self) -> None:
        pass

    def find(self, light, dark, around=None) -> list[Text]:
        return [] if around is not None else [Text(NAME, False)]


class Shelf(Spool):
    """A spool of one instance, in memory."""

    def __init__(self) -> None:
        super().__init__(Path(), DurableConnection(""))
        self.attempts = 0
        self.row = Entry("id", State.WAITING, "x", "1", "2", "3", 0, 0, NOW, NOW, None, None)

    def begin(self, identifier: str) -> int | None:
        self.attempts += 1
        return self.attempts

    def put_back(self, identifier: str) -> None:
        self.attempts -= 1

    def finish(
        self, identifier: str, state: State, reason: str, masks: Sequence[Sequence[int]] | None
    ) -> None:
        self.row = Entry("id", state, reason, "1", "2", "3", 0, 0, NOW, NOW, masks, None)

    def decide(self, identifier: str, state: State, reason: str, decision: Mapping[str, Any]) -> None:
        self.row = Entry("id", state, reason, "1", "2", "3", 0, 0, NOW, NOW, self.row.masks, decision)

    def entry(self, identifier: str) -> Entry:
        return self.row


class Room(Sealed):
    """Opens one instance, and keeps what it is given to store."""

    def __init__(self, instance: bytes) -> None:
        deidentifier = Deidentifier(Keys.derive(bytes(range(32))), Profile.load("breast-screening"))
        super().__init__(Settings(home=Path("/nowhere")), deidentifier)
        self.spool: Shelf = Shelf()
        self.instance = instance
        self.stored: list[bytes] = []
        self.failure: Exception | None = None

    def can_open(self) -> bool:
        return True

    def open(self, identifier: str, by: str, purpose: Purpose) -> bytes:
        return self.instance

    def store(self, identifier: str, deidentified: bytes) -> None:
        if self.failure:
            raise self.failure
        self.stored.append(deidentified)


@pytest.fixture
def room() -> Room:
    return Room(ultrasound(VALUES))


def clean(room: Room, *, automatic: bool) -> Entry:
    Cleaning(room, Told(), automatic=automatic).clean("id")
    return room.spool.row


def read(room: Room) -> Dataset:
    (stored,) = room.stored
    return dcmread(DicomBytesIO(stored))


def codes(dataset: Dataset) -> set[str]:
    return {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}


class TestAutomatic:
    def test_what_was_cleaned_is_stored(self, room: Room) -> None:
        entry = clean(room, automatic=True)
        assert (entry.state, entry.reason, entry.masks) == (State.RELEASED, "cleaned", [NAME.sized])
        assert "113101" in codes(read(room))

    def test_what_orthanc_does_not_take_is_left_to_a_person(self, room: Room) -> None:
        room.failure = BadRequest("x")
        entry = clean(room, automatic=True)
        assert (entry.state, entry.reason) == (State.QUARANTINED, "not-stored")

    def test_while_orthanc_does_not_answer_it_stays_due(self, room: Room) -> None:
        room.failure = Unavailable("x")
        with pytest.raises(Unavailable):
            clean(room, automatic=True)
        assert (room.spool.row.state, room.spool.attempts) == (State.WAITING, 0)


class TestReview:
    def test_what_was_cleaned_is_not_stored_and_awaits_a_person(self, room: Room) -> None:
        entry = clean(room, automatic=False)
        assert (entry.state, entry.reason) == (State.QUARANTINED, "awaiting-review")
        assert entry.masks == [NAME.sized]
        assert not room.stored

    def test_released_it_is_what_automatic_cleaning_stores(self, room: Room) -> None:
        masks = masks_of(clean(room, automatic=False))
        release(room, "id", masks, "A. Person", "looked")
        other = Room(room.instance)
        clean(other, automatic=True)
        assert room.stored == other.stored
        assert room.spool.row.decision is not None
        assert room.spool.row.decision["masks"] == [NAME.sized]

    def test_released_with_its_pixels_kept_it_claims_no_cleaning(self, room: Room) -> None:
        clean(room, automatic=False)
        release(room, "id", None, "A. Person", "a phantom")
        assert (read(room).pixel_array == VALUES).all()
        assert "113101" not in codes(read(room))

    def test_what_the_profile_refuses_does_not_await_review(self) -> None:
        room = Room(ultrasound(VALUES, StudyInstanceUID=""))
        entry = clean(room, automatic=False)
        assert (entry.state, entry.reason, entry.masks) == (State.QUARANTINED, "no-identity", None)


@pytest.mark.parametrize("automatic", [True, False])
class TestEitherWay:
    def test_what_can_not_be_cleaned_has_no_masks(self, automatic: bool) -> None:
        entry = clean(Room(document()), automatic=automatic)
        assert (entry.state, entry.reason) == (State.QUARANTINED, "not-an-image")
        with pytest.raises(BadRequest, match="not-an-image"):
            masks_of(entry)

    def test_what_never_comes_to_an_end_is_given_up(self, room: Room, automatic: bool) -> None:
        room.spool.attempts = MOST_ATTEMPTS
        assert clean(room, automatic=automatic).reason == "given-up"
