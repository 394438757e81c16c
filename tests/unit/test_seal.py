"""Sealing to a public key, and the proof that a stored instance carries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deidentification import seal
from deidentification.seal import Kind, Proof, SealBroken, generate_keypair, open_sealed

PRIVATE, PUBLIC = generate_keypair()
SEALED = seal.seal(PUBLIC, b"who it was", b"crosswalk")


class TestSeal:
    def test_key_pair_is_raw(self) -> None:
        assert (len(PRIVATE), len(PUBLIC)) == (32, 32)

    @given(st.binary(max_size=300), st.binary(max_size=20))
    def test_opens_what_was_sealed(self, plaintext: bytes, context: bytes) -> None:
        assert open_sealed(PRIVATE, seal.seal(PUBLIC, plaintext, context), context) == plaintext

    def test_twice_the_same_is_not_seen(self) -> None:
        assert seal.seal(PUBLIC, b"who it was", b"crosswalk") != SEALED

    def test_plaintext_does_not_show(self) -> None:
        assert b"who" not in SEALED

    def test_another_context_does_not_open(self) -> None:
        with pytest.raises(SealBroken):
            open_sealed(PRIVATE, SEALED, b"spool")

    def test_another_key_does_not_open(self) -> None:
        with pytest.raises(SealBroken):
            open_sealed(generate_keypair()[0], SEALED, b"crosswalk")

    @pytest.mark.parametrize("position", range(len(SEALED)))
    def test_no_altered_byte_opens(self, position: int) -> None:
        altered = bytearray(SEALED)
        altered[position] ^= 1
        with pytest.raises(SealBroken):
            open_sealed(PRIVATE, bytes(altered), b"crosswalk")

    @pytest.mark.parametrize("length", [0, 1, 33, len(SEALED) - 1])
    def test_no_part_opens(self, length: int) -> None:
        with pytest.raises(SealBroken):
            open_sealed(PRIVATE, SEALED[:length], b"crosswalk")

    def test_a_point_of_low_order_does_not_open(self) -> None:
        with pytest.raises(SealBroken):
            open_sealed(PRIVATE, b"\x01" + bytes(60), b"crosswalk")


class TestProof:
    @given(st.text(alphabet=st.characters(codec="ascii", exclude_characters=" \0"), max_size=40))
    def test_is_read_as_written_and_of_even_length(self, profile: str) -> None:
        proof = Proof(Kind.HEADER, profile, 4711, 815)
        value = proof.encode() + bytes(32)
        assert Proof.decode(value) == proof
        assert len(value) == seal.proof_length(profile)
        assert len(value) % 2 == 0

    @given(st.binary(max_size=100))
    def test_other_bytes_are_no_proof(self, value: bytes) -> None:
        assert Proof.decode(value) is None

    def test_bounds_outside_the_file_prove_nothing(self) -> None:
        assert not seal.verify(b"k" * 32, bytes(100), Proof(Kind.HEADER, "p", 90, 1 << 40), 10)
        assert not seal.verify(b"k" * 32, bytes(100), Proof(Kind.HEADER, "p", 5, 10), 10)
