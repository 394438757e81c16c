"""Which studies a site learnt from, as one hash: a Merkle tree (RFC 9162 section 2.1) over salted hashes of their UIDs.

The root goes out and tells nothing of any study. The site, which alone has the salts, can show of a study that it is in
it: by its salt and the hashes along its path. Of no other study is anything told by that.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archive.errors import NotFound

LEAF, NODE = b"\0", b"\1"
EMPTY = hashlib.sha256().digest()


@dataclass(frozen=True, slots=True)
class Proof:
    """That a study is the leaf `index` of a tree of `size`: its salt and its path, from the leaf up, in hexadecimal."""

    study_instance_uid: str
    salt: str
    index: int
    size: int
    path: tuple[str, ...]


def leaves(key: bytes, studies: Iterable[str]) -> list[bytes]:
    """The leaves of a tree, in order of their hashes, so that a place tells nothing. `key`: 32 bytes of the site's."""
    return sorted({_leaf(_salt(key, study), study) for study in studies})


def root(ordered: Sequence[bytes]) -> str:
    """The root of a tree of these leaves: SHA-256 in hexadecimal digits."""
    return _root(ordered).hex()


def prove(key: bytes, ordered: Sequence[bytes], study: str) -> Proof:
    """That a study is one of those that the leaves stand for. Raises NotFound where it is none."""
    salt = _salt(key, study)
    try:
        index = ordered.index(_leaf(salt, study))
    except ValueError:
        raise NotFound("the study is not of this cohort") from None
    path = tuple(each.hex() for each in _path(index, ordered))
    return Proof(study, salt.hex(), index, len(ordered), path)


def verify(cohort: str, proof: Proof) -> bool:
    """Whether the proof shows that the study is one of the cohort's (RFC 9162 section 2.1.3.2)."""
    try:
        found = _leaf(bytes.fromhex(proof.salt), proof.study_instance_uid)
        path = [bytes.fromhex(each) for each in proof.path]
    except ValueError:
        return False
    place, last = proof.index, proof.size - 1
    if not 0 <= place <= last:
        return False
    for each in path:
        if last == 0:
            return False
        if place % 2 or place == last:
            found = _node(each, found)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            found = _node(found, each)
        place, last = place >> 1, last >> 1
    return last == 0 and hmac.compare_digest(found.hex(), cohort)


def _salt(key: bytes, study: str) -> bytes:
    return hmac.digest(key, b"cohort\0" + study.encode(), "sha256")


def _leaf(salt: bytes, study: str) -> bytes:
    return hashlib.sha256(LEAF + salt + study.encode()).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(NODE + left + right).digest()


def _root(ordered: Sequence[bytes]) -> bytes:
    if len(ordered) < 2:
        return ordered[0] if ordered else EMPTY
    middle = _middle(len(ordered))
    return _node(_root(ordered[:middle]), _root(ordered[middle:]))


def _path(index: int, ordered: Sequence[bytes]) -> list[bytes]:
    if len(ordered) == 1:
        return []
    middle = _middle(len(ordered))
    if index < middle:
        return [*_path(index, ordered[:middle]), _root(ordered[middle:])]
    return [*_path(index - middle, ordered[middle:]), _root(ordered[:middle])]


def _middle(size: int) -> int:
    """The greatest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1
