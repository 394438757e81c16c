"""A trail that was tampered with is told from one that was not, whatever the database that holds it lets through."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from archive.chain import GENESIS, Checkpoint, Fault, Link, Signers, chain, read_records, sign, verify
from archive.checkpoints import checkpoint_line, link_line
from archive.errors import BadRequest

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TEN = [f'{{"event":"access.read","n":{number}}}' for number in range(1, 11)]


def trail(contents: list[str], previous: bytes = GENESIS, after: int = 0) -> list[Link]:
    """The contents, chained."""
    links = []
    for number, content in enumerate(contents, after + 1):
        previous = chain(previous, number, content)
        links.append(Link(number, previous, content))
    return links


def signed(links: list[Link], number: int, *, closes: bool = False) -> Checkpoint:
    return sign(KEY, number, links[number - 1].hash, closes=closes)


def faults(links: list[Link], *checkpoints: Checkpoint) -> list[Fault]:
    return list(verify(links, checkpoints, Signers(KEY.public_key())))


def places(found: list[Fault]) -> list[tuple[int, int]]:
    return [(fault.first, fault.last) for fault in found]


def test_what_was_written_has_no_fault() -> None:
    links = trail(TEN)
    assert faults(links, signed(links, 4), signed(links, 10)) == faults([]) == []


def test_an_edited_record_is_found_where_it_is() -> None:
    links = trail(TEN)
    links[4] = links[4]._replace(content=links[4].content.replace("read", "search"))
    assert places(faults(links)) == [(5, 5)]


def test_an_edited_record_with_a_hash_made_to_fit_shows_at_the_next() -> None:
    links = trail(TEN)
    links[4] = Link(5, chain(links[3].hash, 5, "{}"), "{}")
    assert places(faults(links)) == [(6, 6)]


def test_removed_records_are_named() -> None:
    links = trail(TEN)
    assert places(faults(links[:3] + links[5:])) == [(4, 5)]
    assert places(faults(links[2:])) == [(1, 2)]


def test_a_removed_record_whose_place_the_others_took() -> None:
    links = trail(TEN)
    moved = [Link(number, link.hash, link.content) for number, link in enumerate(links[:3] + links[4:], 1)]
    assert places(faults(moved))[0] == (4, 4)


def test_swapped_records_are_both_found() -> None:
    links = trail(TEN)
    links[2], links[6] = (
        links[2]._replace(content=links[6].content),
        links[6]._replace(content=links[2].content),
    )
    assert places(faults(links)) == [(3, 3), (7, 7)]


def test_a_chain_written_anew_is_not_the_one_that_was_signed() -> None:
    links = trail(TEN)
    anew = trail([*TEN[:5], "{}", *TEN[6:]])
    assert places(faults(anew, signed(links, 4), signed(links, 10))) == [(5, 10)]


def test_a_tail_that_was_signed_is_missed() -> None:
    links = trail(TEN)
    assert places(faults(links[:7], signed(links, 10))) == places(
        faults(links[:7], signed(links, 9), signed(links, 10))
    )
    assert places(faults([], signed(links, 10))) == [(1, 10)]


@pytest.mark.parametrize(
    "forge",
    [
        lambda each: replace(each, closes=True),
        lambda each: replace(each, number=3),
        lambda each: replace(each, signed_at="2020-01-01T00:00:00.000000Z"),
        lambda each: sign(Ed25519PrivateKey.generate(), each.number, each.hash, closes=True),
    ],
)
def test_a_checkpoint_that_the_site_did_not_sign_closes_nothing_off(
    forge: Callable[[Checkpoint], Checkpoint],
) -> None:
    links = trail(TEN)
    found = faults(links[4:], forge(signed(links, 4)))
    assert any("signature" in fault.problem for fault in found)
    assert (1, 4) in places(found)


OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
ROTATED = Signers(OTHER.public_key(), ((KEY.public_key(), 6),))


def test_what_each_key_signed_in_its_time_verifies() -> None:
    links = trail(TEN)
    by_both = [
        signed(links, 4),
        signed(links, 6),
        sign(OTHER, 6, links[5].hash),
        sign(OTHER, 10, links[9].hash),
    ]
    assert list(verify(links, by_both, ROTATED)) == []


def test_a_key_signs_nothing_after_its_time() -> None:
    """Who stole it before the rotation."""
    links = trail(TEN)
    found = list(verify(links, [signed(links, 7)], ROTATED))
    assert places(found) == [(7, 7)] and "signature" in found[0].problem


def test_a_key_signs_nothing_in_anothers_name() -> None:
    links = trail(TEN)
    forged = replace(signed(links, 4), key_id=sign(OTHER, 4, links[3].hash).key_id)
    assert list(verify(links, [forged], ROTATED))


def test_a_list_of_keys_is_read_as_it_was_written() -> None:
    third = ROTATED.followed_by(Ed25519PrivateKey.generate().public_key(), 2**40)
    assert Signers.from_bytes(third.to_bytes()).to_bytes() == third.to_bytes()
    assert Signers.from_bytes(KEY.public_key().public_bytes_raw()) == Signers(KEY.public_key())


@pytest.mark.parametrize("length", [0, 31, 33, 40, 71, 80])
def test_what_is_no_list_of_keys_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="keys"):
        Signers.from_bytes(bytes(length))


def test_what_a_checkpoint_closed_off_may_go_and_no_more() -> None:
    links = trail(TEN)
    assert faults(links[4:], signed(links, 4, closes=True)) == []
    assert places(faults(links[5:], signed(links, 4, closes=True))) == [(5, 5)]


def test_an_older_end_does_not_pass_for_the_last() -> None:
    """Two signatures of one place that differ: somebody went back and wrote on."""
    links, other = trail(TEN), trail([*TEN[:5], *TEN[:5]])
    assert places(faults(other, signed(links, 10), signed(other, 10))) == [(1, 10)]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=12, unique=True), st.data())
def test_no_change_of_a_signed_trail_passes(contents: list[str], data: st.DataObject) -> None:
    links = trail(contents)
    end = signed(links, len(links))
    shape = st.lists(st.sampled_from(contents), max_size=12).filter(
        lambda other: other[: len(contents)] != contents
    )
    anew = data.draw(shape)
    assert faults(trail(anew), end)
    cut = data.draw(st.sets(st.integers(0, len(links) - 1), min_size=1))
    assert faults([link for place, link in enumerate(links) if place not in cut], end)


def test_records_in_a_file_verify_by_themselves() -> None:
    links = trail(TEN)
    lines = [
        checkpoint_line(signed(links, 4, closes=True)),
        *map(link_line, links[4:]),
        checkpoint_line(signed(links, 10)),
    ]
    assert faults(*(lambda found, marks: (found, *marks))(*read_records(lines))) == []


@given(
    st.one_of(
        st.text(), st.sampled_from(['{"checkpoint": {}}', '{"number": 1, "hash": "x", "content": ""}', "[]"])
    )
)
def test_a_file_of_something_else_is_refused(line: str) -> None:
    with pytest.raises(BadRequest):
        read_records([line])
