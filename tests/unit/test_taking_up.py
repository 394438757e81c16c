"""Files that Orthanc's index does not name are registered again, each once.

At a real one: integration/test_rebuilding.py.
"""

import errno
import json
import os
import time
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from archive import instances, secrets
from archive.durable import DurableConnection
from archive.errors import Unavailable
from archive.settings import Settings
from deidentification import part10
from deidentification.deidentify import Deidentifier, Pixels
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from deidentification.seal import generate_keypair
from inference.demo import demo_exam
from orthanc_plugin.received import Door
from orthanc_plugin.taking_up import TakingUp, asked
from orthanc_plugin.unfinished import Orthanc
from tests.unit.test_received import SITE_KEY, Memory, Shelf

exam = cache(demo_exam)


class Index(Orthanc):
    """An Orthanc with an index in memory, which stores what the door and the storage area have it store."""

    def __init__(self, door: Door, storage: str) -> None:
        self.door, self.storage = door, storage
        self.held: dict[str, str] = {}  # places by SOP Instance UID
        self.taking_up: TakingUp
        self.failure: BaseException | None = None

    def places(self, sop_instance_uid: str) -> set[str]:
        return {place for uid, place in self.held.items() if uid == sop_instance_uid}

    def delete(self, identifier: str) -> None:
        instances.path(self.storage, self.held.pop(identifier)).unlink(missing_ok=True)

    def place_of(self, identifier: str) -> str:
        return self.held[identifier]

    def store(self, instance: bytes) -> tuple[str, str]:
        if self.failure:
            raise self.failure
        uid, place = part10.read_sop_instance_uid(instance), str(uuid.uuid4())
        assert self.door.receive(instance) == ("keep", b"")
        assert self.door.may_be_stored(instance)
        if not self.taking_up.link(place, instance):
            instances.write(self.storage, place, instance)
        if uid in self.held:
            instances.path(self.storage, place).unlink()
            return "AlreadyStored", uid
        self.held[uid] = place
        return "Success", uid


class Erasures(DurableConnection):
    """The table of a site, with the pseudonyms that were erased."""

    def __init__(self) -> None:
        super().__init__("")
        self.pseudonyms: set[str] = set()

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        assert values is not None
        return [(1,)] if self.pseudonyms & set(values["pseudonyms"]) else []


class Place:
    """A storage folder with four files that no index names: their places in `lost`."""

    def __init__(self, folder: Path, door: Door) -> None:
        self.storage = str(folder / "storage")
        self.door, self.index, self.erasures = door, Index(door, self.storage), Erasures()
        self.index.taking_up = self.taking_up = TakingUp(
            self.storage, door, self.index, self.erasures, time.time()
        )
        self.made = [door.receive(each)[1] for each in exam()]
        assert all(map(door.may_be_stored, self.made))
        self.lost = [self.put(each) for each in self.made]

    def put(self, instance: bytes) -> str:
        """A file that is older than this process of Orthanc."""
        place = str(uuid.uuid4())
        instances.write(self.storage, place, instance)
        os.utime(instances.path(self.storage, place), (1e9, 1e9))
        return place

    def take_up(self, *places: str, clear: bool = False) -> list[str]:
        return list(self.taking_up.take_up(places, clear=clear).values())

    @property
    def files(self) -> set[str]:
        return set(instances.places(self.storage))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    secrets.write(tmp_path / "secrets" / secrets.SITE_KEY, SITE_KEY)
    secrets.write(tmp_path / "secrets" / secrets.CROSSWALK_PUBLIC_KEY, generate_keypair()[1])
    return Place(tmp_path, Door(Settings(home=tmp_path), Memory(), Shelf(), lambda warning: None))


def test_each_is_registered_once_without_a_copy(place: Place) -> None:
    assert place.take_up(*place.lost) == ["registered"] * 4
    same = [os.stat(instances.path(place.storage, each)).st_nlink for each in place.files]
    assert same == [2] * 8
    assert place.take_up(*place.lost) == ["linked"] * 4
    assert place.take_up(*place.index.held.values()) == ["held"] * 4
    assert place.take_up(*place.lost, clear=True) == ["linked"] * 4
    assert place.files == set(place.index.held.values())


def test_they_are_not_counted_as_instances_that_came(place: Place) -> None:
    before = place.door.status(b"1" * 16)["counted"]["instances"]
    place.take_up(*place.lost)
    assert place.door.status(b"1" * 16)["counted"]["instances"] == before


def test_a_file_system_without_links_has_them_copied(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: Path) -> None:
        raise OSError(errno.ENOTSUP, "no links")

    monkeypatch.setattr(os, "link", refuse)
    assert place.take_up(*place.lost) == ["registered"] * 4
    assert place.take_up(*place.lost, clear=True) == ["again"] * 4
    assert place.files == set(place.index.held.values())


def test_an_older_file_of_what_was_sent_again_goes(place: Place) -> None:
    place.index.held[part10.read_sop_instance_uid(place.made[0])] = again = place.put(place.made[0])
    assert place.take_up(place.lost[0]) == ["again"]
    assert place.lost[0] in place.files
    assert place.take_up(place.lost[0], clear=True) == ["again"]
    assert {again, *place.lost[1:]} == place.files


@pytest.mark.parametrize("is_there", [True, False])
def test_it_takes_the_place_of_one_that_is_damaged_or_gone(place: Place, is_there: bool) -> None:
    place.index.held[part10.read_sop_instance_uid(place.made[0])] = other = place.put(place.made[0][:-9])
    if not is_there:
        instances.path(place.storage, other).unlink()
    assert place.take_up(place.lost[0], clear=True) == ["registered"]
    assert place.files == {*place.lost, *place.index.held.values()}


@pytest.mark.parametrize("damage", [lambda made: made[:-1], lambda made: made[:700] + b"?" + made[701:]])
def test_what_was_cut_short_or_altered_is_left_as_it_is(place: Place, damage: Any) -> None:
    name = place.put(damage(place.made[0]))
    assert place.take_up(name, clear=True) == ["unproven"]
    assert name in place.files
    assert not place.index.held


def test_what_did_not_come_by_the_door_is_not_registered(place: Place) -> None:
    assert place.take_up(place.put(exam()[0]), place.put(b"anything")) == ["unproven"] * 2


def test_of_whom_the_crosswalk_knows_nothing_stays_unregistered(place: Place, tmp_path: Path) -> None:
    """Neither an image nor what was made here of one, which the fence does not ask about."""
    crosswalk = Memory()
    door = Door(Settings(home=tmp_path), crosswalk, Shelf(), lambda warning: None)
    deidentifier = Deidentifier(Keys.derive(SITE_KEY), Profile.load("breast-screening"))
    whole = deidentifier.deidentify(exam()[0], Pixels.CLEANED).instance
    taking_up = TakingUp(place.storage, door, place.index, place.erasures, time.time())
    found = taking_up.take_up([place.lost[0], place.put(whole)], clear=True)
    assert list(found.values()) == ["unknown"] * 2
    assert set(found) <= place.files


def test_what_was_erased_does_not_come_back(place: Place) -> None:
    study, _ = place.door.subject_of(place.made[0])
    place.erasures.pseudonyms = {study}
    assert place.take_up(place.lost[0]) == ["erased"]
    assert place.take_up(place.lost[0], clear=True) == ["erased"]
    assert (place.lost[0] in place.files, place.index.held) == (False, {})


def test_what_can_not_be_stored_now_is_tried_again(place: Place) -> None:
    place.index.failure = Unavailable("the disk is full")
    assert place.take_up(place.lost[0], clear=True) == ["not now"]
    place.index.failure = None
    assert place.take_up(place.lost[0]) == ["registered"]


def test_what_this_process_may_be_storing_is_not_removed(place: Place) -> None:
    place.take_up(*place.lost)
    os.utime(instances.path(place.storage, place.lost[0]))
    place.take_up(*place.lost, clear=True)
    assert place.lost[0] in place.files


def test_copies_of_headers_that_nothing_names_go(place: Place) -> None:
    names = [str(uuid.uuid4()) for _ in range(3)]
    for name in names:
        instances.write_header(place.storage, name, place.made[0][:1000])
    for name in names[:2]:
        os.utime(instances.header_path(place.storage, name), (1e9, 1e9))
    place.index.held[part10.read_sop_instance_uid(place.made[0])] = names[1]
    assert place.taking_up.clear_headers(names) == 1
    assert set(instances.header_places(place.storage)) == set(names[1:])


def test_a_place_that_leads_elsewhere_is_none(place: Place) -> None:
    with pytest.raises(ValueError, match="UUID"):
        place.take_up("../../secrets/site.key")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"places": [1]}', b'{"clear": "yes"}', b'{"places": 1}'])
def test_a_request_that_names_no_places_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="names no|does not say|no object|Expecting"):
        asked(body)


def test_a_request_says_what_is_wanted() -> None:
    assert asked(json.dumps({"places": ["x"], "clear": True}).encode()) == (["x"], [], True)
