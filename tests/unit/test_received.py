"""The fail-closed door, with a database that can be made to fail. At the real Orthanc: integration/test_door.py."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from archive import secrets
from archive.crosswalk import Crosswalk, SealedIdentity
from archive.durable import DurableConnection
from archive.errors import Unavailable
from archive.settings import Settings
from archive.spool import Arrival, Spool, State
from deidentification.deidentify import Deidentifier, Pixels
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms
from deidentification.seal import generate_keypair, open_sealed
from inference.demo import demo_exam
from orthanc_plugin.received import HELD, REFUSE, Door
from tests.drawn_text import document, ultrasound, video
from tests.integration.conftest import edit

SITE_KEY = bytes(range(32))


class Memory(Crosswalk):
    """A crosswalk in memory, which fails when told to."""

    def __init__(self) -> None:
        super().__init__(DurableConnection(""))
        self.rows: dict[str, SealedIdentity] = {}
        self.commits = 0
        self.aliases: list[tuple[str, str]] = []
        self.failure: BaseException | None = None

    def commit(
        self,
        rows: Sequence[SealedIdentity],
        known: Sequence[str] = (),
        aliases: Sequence[tuple[str, str]] = (),
    ) -> bool:
        if self.failure:
            raise self.failure
        self.commits += 1
        self.rows |= {row.pseudonym: row for row in rows}
        self.aliases += aliases
        return all(pseudonym in self.rows for pseudonym in known)

    def holds(self, pseudonym: str) -> bool:
        if self.failure:
            raise self.failure
        return pseudonym in self.rows


class Shelf(Spool):
    """A spool in memory, which fails when told to."""

    def __init__(self) -> None:
        super().__init__(Path(), DurableConnection(""))
        self.held: dict[bytes, tuple[Arrival, str, bytes]] = {}
        self.failure: BaseException | None = None

    def hold(self, arrival: Arrival, seal: Callable[[str], bytes]) -> None:
        if self.failure:
            raise self.failure
        self.held[arrival.digest] = (arrival, "name", seal("name"))


@pytest.fixture(scope="module")
def exam() -> list[bytes]:
    return demo_exam()


@pytest.fixture
def crosswalk() -> Memory:
    return Memory()


@pytest.fixture
def spool() -> Shelf:
    return Shelf()


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def private_key(tmp_path: Path) -> bytes:
    private, public = generate_keypair()
    secrets.write(tmp_path / "secrets" / secrets.SITE_KEY, SITE_KEY)
    secrets.write(tmp_path / "secrets" / secrets.CROSSWALK_PUBLIC_KEY, public)
    return private


@pytest.fixture
def door(tmp_path: Path, crosswalk: Memory, spool: Shelf, warnings: list[str], private_key: bytes) -> Door:
    return Door(Settings(home=tmp_path), crosswalk, spool, warnings.append)


def test_lets_in_the_de_identified_instance_and_commits_who_it_was(
    door: Door, crosswalk: Memory, private_key: bytes, exam: list[bytes]
) -> None:
    action, stored = door.receive(exam[0])
    assert (action, door.may_be_stored(stored)) == ("modify", True)  # it waits for the commit
    kinds = {row.kind: row for row in crosswalk.rows.values()}
    opened = open_sealed(private_key, kinds["study"].sealed, kinds["study"].pseudonym.encode())
    assert json.loads(opened)["patient_id"] == "DEMO-4711-0815"
    assert set(kinds) == {"study", "series", "instance"}


@pytest.mark.parametrize(
    "failure", [Unavailable("x"), KeyError("x"), MemoryError(), SystemExit(), KeyboardInterrupt()]
)
def test_stores_nothing_while_it_is_not_durable_whom_it_is_about(
    door: Door, crosswalk: Memory, exam: list[bytes], warnings: list[str], failure: BaseException
) -> None:
    crosswalk.failure = failure
    _, stored = door.receive(exam[0])
    assert not door.may_be_stored(stored)
    assert not door.may_be_stored(stored)
    assert "not durable" in warnings[-1]
    crosswalk.failure = None
    assert door.may_be_stored(door.receive(exam[0])[1])


@pytest.mark.parametrize("failure", [KeyError("x"), MemoryError(), SystemExit(), KeyboardInterrupt()])
def test_refuses_whatever_goes_wrong(
    door: Door, exam: list[bytes], monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(Deidentifier, "deidentify", fail)
    assert door.receive(exam[0]) == REFUSE
    monkeypatch.undo()
    assert door.receive(exam[0])[1]


def test_the_fence_asks_the_crosswalk_about_what_did_not_come_by_this_door(
    door: Door, crosswalk: Memory, exam: list[bytes]
) -> None:
    made = Deidentifier(Keys.derive(SITE_KEY), Profile.load("breast-screening")).deidentify(exam[0])
    assert not door.may_be_stored(made.instance)
    crosswalk.commit([SealedIdentity(made.sop_instance_uid, "instance", b"", "", "")])
    assert door.may_be_stored(made.instance)


def test_refuses_when_even_the_log_fails(
    tmp_path: Path, crosswalk: Memory, spool: Shelf, exam: list[bytes]
) -> None:
    def fail(message: str) -> None:
        raise OSError(message)

    assert Door(Settings(home=tmp_path), crosswalk, spool, fail).receive(exam[0]) == REFUSE


def test_refuses_without_a_key_and_finds_it_when_it_is_back(
    door: Door, tmp_path: Path, exam: list[bytes], warnings: list[str]
) -> None:
    key = tmp_path / "secrets" / secrets.SITE_KEY
    hidden = key.rename(tmp_path / "hidden")
    assert door.receive(exam[0]) == REFUSE
    assert "site.key" in warnings[-1]
    hidden.rename(key)
    assert door.receive(exam[0])[1]


@pytest.mark.parametrize("damaged", [b"", b"x" * 1000, None])
def test_a_refusal_says_why_and_shows_no_value(
    door: Door, exam: list[bytes], warnings: list[str], damaged: bytes | None
) -> None:
    instance = exam[0][: len(exam[0]) // 2] if damaged is None else damaged
    assert door.receive(instance) == REFUSE
    assert warnings
    assert "DEMO-4711" not in warnings[-1]


def test_the_frame_of_reference_is_sealed_too(
    door: Door, crosswalk: Memory, exam: list[bytes], private_key: bytes
) -> None:
    """Results lie in it, and go back to where it came from."""
    frame = "1.2.826.0.1.3680043.8.498.7"
    instance = edit(exam[0], lambda each: setattr(each, "FrameOfReferenceUID", frame))
    assert door.may_be_stored(door.receive(instance)[1])
    (row,) = [each for each in crosswalk.rows.values() if each.kind == "frame-of-reference"]
    assert row.pseudonym == Pseudonyms(Keys.derive(SITE_KEY)).uid(frame)
    assert json.loads(open_sealed(private_key, row.sealed, row.pseudonym.encode())) == frame


def test_asks_the_crosswalk_once_for_an_instance_and_not_again_for_its_study(
    door: Door, crosswalk: Memory, exam: list[bytes]
) -> None:
    for instance in exam:
        assert door.may_be_stored(door.receive(instance)[1])
    kinds = [row.kind for row in crosswalk.rows.values()]
    assert (crosswalk.commits, kinds.count("study"), kinds.count("instance")) == (4, 1, 4)


def test_keeps_as_it_is_what_this_site_made(door: Door, exam: list[bytes]) -> None:
    _, stored = door.receive(exam[0])
    deidentifier = Deidentifier(Keys.derive(SITE_KEY), Profile.load("breast-screening"))
    result = deidentifier.prove(stored)
    assert door.receive(result)[0] == "keep"


def test_does_not_keep_what_another_site_made(door: Door, exam: list[bytes]) -> None:
    foreign = Deidentifier(Keys.derive(bytes(32)), Profile.load("breast-screening"))
    result = foreign.prove(foreign.deidentify(exam[0]).instance)
    assert door.receive(result)[0] == "modify"


def test_the_fence_lets_nothing_pass_that_did_not_come_by_the_door(door: Door, exam: list[bytes]) -> None:
    _, stored = door.receive(exam[0])
    assert door.may_be_stored(stored)
    assert not door.may_be_stored(exam[0])
    assert not door.may_be_stored(stored[:600] + bytes([stored[600] ^ 1]) + stored[601:])


def test_the_status_proves_that_this_door_holds_the_sites_key(door: Door) -> None:
    one, other = door.status(b"1" * 16)["proof"], door.status(b"2" * 16)["proof"]
    assert one != other
    assert door.status(b"1" * 16)["proof"] == one


def test_pseudonyms_are_those_that_the_site_tells_its_senders(
    door: Door, exam: list[bytes], crosswalk: Memory
) -> None:
    assert door.may_be_stored(door.receive(exam[0])[1])
    pseudonyms = Pseudonyms(Keys.derive(SITE_KEY))
    assert all(pseudonyms.is_own_uid(row.pseudonym) for row in crosswalk.rows.values())


class TestAGroupThatIsHandedOver:
    """Past Orthanc's own way in: each instance comes back to the door from Orthanc, in the thread that stores it."""

    def test_has_a_status_for_each_instance(self, door: Door, exam: list[bytes]) -> None:
        scan = ultrasound(np.zeros((64, 64), np.uint8))
        assert door.take([exam[0], scan, b"junk", exam[1]], lambda _: True) == [200, 202, 500, 200]
        assert door.take(exam[:2], lambda _: False) == [500, 500]

    @pytest.mark.parametrize("failure", [Unavailable("x"), OSError(28, "full"), MemoryError()], ids=repr)
    def test_says_what_may_be_sent_again(
        self, door: Door, spool: Shelf, exam: list[bytes], failure: Exception
    ) -> None:
        """What is short may be there again; a defect is there the next time as well."""

        def store(_: bytes) -> bool:
            raise Unavailable("x")

        spool.failure = failure
        assert door.take([ultrasound(np.zeros((64, 64), np.uint8))], lambda _: True) == [503]
        assert door.take(exam[:1], store) == [503]
        spool.failure = KeyError("x")
        assert door.take([ultrasound(np.zeros((64, 64), np.uint8))], lambda _: True) == [500]

    def test_is_de_identified_once_and_kept_when_it_comes_back(self, door: Door, exam: list[bytes]) -> None:
        def store(instance: bytes) -> bool:
            return door.receive(bytes(bytearray(instance)))[0] == "keep" and door.may_be_stored(instance)

        assert door.take(exam, store) == [200] * 4

    def test_is_not_kept_when_it_comes_back_as_something_else(self, door: Door, exam: list[bytes]) -> None:
        actions: list[str] = []

        def store(instance: bytes) -> bool:
            actions.append(door.receive(instance[:-1] + bytes([instance[-1] ^ 1]))[0])
            actions.append(door.receive(exam[1])[0])
            return True

        door.take(exam[:1], store)
        assert actions == ["modify", "modify"]

    def test_is_forgotten_when_it_was_stored(self, door: Door, exam: list[bytes]) -> None:
        stored: list[bytes] = []
        door.take(exam[:1], lambda instance: not stored.append(instance))
        assert door.receive(stored[0])[0] == "modify"


class TestWhatMayNameAPersonInItsPixels:
    """PS3.15 E.3.1: sealed into the spool, and told to be accepted only when it is there."""

    @pytest.fixture
    def scan(self) -> bytes:
        return ultrasound(np.zeros((64, 64), np.uint8))

    def test_is_sealed_whole_and_only_the_private_key_opens_it(
        self, door: Door, spool: Shelf, crosswalk: Memory, private_key: bytes, scan: bytes
    ) -> None:
        assert door.receive(scan) == HELD
        ((arrival, name, sealed),) = spool.held.values()
        assert open_sealed(private_key, sealed, name.encode()) == scan
        assert b"PAT-40404" not in sealed
        assert (arrival.state, arrival.reason, arrival.size) == (
            State.WAITING,
            "pixels-may-carry-text",
            len(scan),
        )
        assert {arrival.study_instance_uid, arrival.sop_instance_uid} <= set(crosswalk.rows)

    @pytest.mark.parametrize("failure", [Unavailable("x"), OSError("full"), MemoryError(), SystemExit()])
    def test_is_refused_when_it_can_not_be_held(
        self, door: Door, spool: Shelf, scan: bytes, failure: BaseException
    ) -> None:
        spool.failure = failure
        assert door.receive(scan) == REFUSE

    def test_is_refused_when_who_it_is_about_can_not_be_kept(
        self, door: Door, spool: Shelf, crosswalk: Memory, scan: bytes
    ) -> None:
        crosswalk.failure = Unavailable("x")
        assert door.receive(scan) == REFUSE
        assert not spool.held

    def test_sent_again_has_the_same_digest_whoever_sends_it(
        self, door: Door, spool: Shelf, scan: bytes
    ) -> None:
        other_preamble = b"TEST" + scan[4:]
        assert door.receive(scan) == door.receive(other_preamble) == HELD
        assert len(spool.held) == 1

    @pytest.mark.parametrize("cut", [10, 400, 4000])
    def test_is_refused_when_it_is_malformed_besides(
        self, door: Door, spool: Shelf, scan: bytes, cut: int
    ) -> None:
        assert door.receive(scan[:-cut]) == REFUSE
        assert not spool.held

    def test_captures_and_documents_are_held(self, door: Door) -> None:
        capture = ultrasound(np.zeros((64, 64), np.uint8), SOPClassUID=SecondaryCaptureImageStorage)
        assert door.receive(capture) == door.receive(document()) == HELD

    @pytest.mark.parametrize("make", [document, video], ids=["document", "video"])
    def test_what_can_not_be_cleaned_is_quarantined_at_once(self, door: Door, spool: Shelf, make) -> None:
        assert door.receive(make()) == HELD
        ((arrival, _, _),) = spool.held.values()
        assert (arrival.state, arrival.reason) == (State.QUARANTINED, "not-an-image")

    @pytest.mark.parametrize("make", [document, video], ids=["document", "video"])
    def test_or_refused_where_the_site_says_so(
        self, door: Door, spool: Shelf, warnings: list[str], tmp_path: Path, make
    ) -> None:
        refusing = Door(Settings(home=tmp_path, documents="refuse"), Memory(), spool, warnings.append)
        assert refusing.receive(make()) == REFUSE
        assert not spool.held and "not-an-image" in warnings[-1]

    def test_it_is_refused_where_it_can_not_be_held_durably(self, door: Door, spool: Shelf) -> None:
        spool.failure = OSError("no space left")
        assert door.receive(document()) == REFUSE

    def test_comes_in_when_it_was_cleaned_here(self, door: Door, spool: Shelf, scan: bytes) -> None:
        deidentifier = Deidentifier(Keys.derive(SITE_KEY), Profile.load("breast-screening"))
        cleaned = deidentifier.deidentify(scan, Pixels.CLEANED).instance
        assert door.receive(cleaned)[0] == "keep"
        assert door.may_be_stored(cleaned)
        assert not spool.held

    @pytest.mark.parametrize("site_key", [bytes(32), bytes(range(1, 33))])
    def test_is_held_with_the_proof_of_another_site(self, door: Door, site_key: bytes) -> None:
        capture = ultrasound(np.zeros((64, 64), np.uint8), SOPClassUID=SecondaryCaptureImageStorage)
        foreign = Deidentifier(Keys.derive(site_key), Profile.load("breast-screening"))
        assert door.receive(foreign.deidentify(capture, Pixels.CLEANED).instance) == HELD

    @pytest.mark.parametrize("place", [-1, -2000, 700, 400])
    def test_is_not_kept_when_a_byte_of_it_was_changed_after_it_was_cleaned(
        self, door: Door, place: int
    ) -> None:
        deidentifier = Deidentifier(Keys.derive(SITE_KEY), Profile.load("breast-screening"))
        capture = ultrasound(np.zeros((64, 64), np.uint8), SOPClassUID=SecondaryCaptureImageStorage)
        forged = bytearray(deidentifier.deidentify(capture, Pixels.CLEANED).instance)
        forged[place] ^= 1
        assert door.receive(bytes(forged)) in (HELD, REFUSE)


def test_what_an_erasure_took_from_the_crosswalk_is_committed_again(
    door: Door, crosswalk: Memory, exam: list[bytes]
) -> None:
    assert door.may_be_stored(door.receive(exam[0])[1])
    erased = set(crosswalk.rows)
    crosswalk.rows.clear()
    assert door.may_be_stored(door.receive(exam[0])[1])
    assert set(crosswalk.rows) == erased
    (about,) = {(row.study_instance_uid, row.patient_id) for row in crosswalk.rows.values()}
    assert crosswalk.rows[about[0]].kind == "study"


def test_a_patient_id_with_an_issuer_is_known_without_it_too(
    door: Door, crosswalk: Memory, exam: list[bytes]
) -> None:
    assert door.may_be_stored(door.receive(exam[0])[1])
    ((alias, patient_id),) = crosswalk.aliases
    assert alias == Pseudonyms(Keys.derive(SITE_KEY)).patient_id("DEMO-4711-0815")
    assert {row.patient_id for row in crosswalk.rows.values()} == {patient_id}


def test_an_instance_is_counted_once_whatever_becomes_of_it(
    door: Door, crosswalk: Memory, exam: list[bytes]
) -> None:
    """Also where the fence stops what was de-identified, or it is stored by another thread than decided on it."""

    def store(instance: bytes) -> bool:
        return door.receive(instance)[0] == "keep" and door.may_be_stored(instance)

    assert door.may_be_stored(door.receive(exam[0])[1])
    crosswalk.failure = Unavailable("x")
    assert not door.may_be_stored(door.receive(exam[1])[1])
    crosswalk.failure = None
    assert door.take([exam[2]], store) == [200]
    assert door.receive(b"no DICOM") == REFUSE
    told = door.status(b"1" * 16)["counted"]["instances"]
    assert told == {"modify": 2, "keep": 0, "discard": 0, "refuse": 1, "fence": 1}
