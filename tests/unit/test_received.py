"""The fail-closed door, with a crosswalk that can be made to fail. tests/integration/test_door.py has the real one."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from archive import secrets
from archive.crosswalk import Crosswalk, SealedIdentity
from archive.errors import Unavailable
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms
from deidentification.seal import generate_keypair, open_sealed
from inference.demo import demo_exam
from orthanc_plugin.received import REFUSE, Door

SITE_KEY = bytes(range(32))


class Memory(Crosswalk):
    """A crosswalk in memory, which fails when told to."""

    def __init__(self) -> None:
        super().__init__("")
        self.rows: dict[str, SealedIdentity] = {}
        self.commits = 0
        self.failure: BaseException | None = None

    def commit(self, rows: Sequence[SealedIdentity]) -> None:
        if self.failure:
            raise self.failure
        self.commits += 1
        self.rows |= {row.pseudonym: row for row in rows}


@pytest.fixture(scope="module")
def exam() -> list[bytes]:
    return demo_exam()


@pytest.fixture
def crosswalk() -> Memory:
    return Memory()


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
def door(tmp_path: Path, crosswalk: Memory, warnings: list[str], private_key: bytes) -> Door:
    return Door(Settings(home=tmp_path), crosswalk, warnings.append)


def test_lets_in_the_de_identified_instance_and_commits_who_it_was(
    door: Door, crosswalk: Memory, private_key: bytes, exam: list[bytes]
) -> None:
    action, stored = door.receive(exam[0])
    assert (action, door.may_be_stored(stored)) == ("modify", True)
    kinds = {row.kind: row for row in crosswalk.rows.values()}
    opened = open_sealed(private_key, kinds["study"].sealed, kinds["study"].pseudonym.encode())
    assert json.loads(opened)["patient_id"] == "DEMO-4711-0815"
    assert set(kinds) == {"study", "series", "instance"}


@pytest.mark.parametrize(
    "failure", [Unavailable("x"), KeyError("x"), MemoryError(), SystemExit(), KeyboardInterrupt()]
)
def test_refuses_whatever_goes_wrong(
    door: Door, crosswalk: Memory, exam: list[bytes], failure: BaseException
) -> None:
    crosswalk.failure = failure
    assert door.receive(exam[0]) == REFUSE
    crosswalk.failure = None
    assert door.receive(exam[0])[1]


def test_refuses_when_even_the_log_fails(tmp_path: Path, crosswalk: Memory, exam: list[bytes]) -> None:
    def fail(message: str) -> None:
        raise OSError(message)

    assert Door(Settings(home=tmp_path), crosswalk, fail).receive(exam[0]) == REFUSE


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


def test_asks_the_crosswalk_once_for_an_instance_and_not_again_for_its_study(
    door: Door, crosswalk: Memory, exam: list[bytes]
) -> None:
    for instance in exam:
        door.receive(instance)
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
    door.receive(exam[0])
    pseudonyms = Pseudonyms(Keys.derive(SITE_KEY))
    assert all(pseudonyms.is_own_uid(row.pseudonym) for row in crosswalk.rows.values())
