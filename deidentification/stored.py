"""The proof of a file that lies in storage, checked without reading more of the file than the proof covers."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from deidentification import part10, seal
from deidentification.seal import Kind, Proof

_BEGINNING = 4096  # bytes in which a proof lies: ours ends within the first 700
_CHUNK = 1024 * 1024


class Proven(NamedTuple):
    """What a proof that holds says of its file. A header proof leaves the pixels open, a whole one nothing."""

    kind: Kind
    sop_instance_uid: str


def check(key: bytes, descriptor: int) -> Proven | None:
    """The proof of an open file; None where it has none that was made with this key, or was altered since.

    Raises OSError.
    """
    beginning = os.pread(descriptor, _BEGINNING, 0)
    proof = _find_authentic(key, descriptor, beginning)
    return None if proof is None else Proven(proof.kind, part10.read_sop_instance_uid(beginning))


def is_proven(key: bytes, descriptor: int) -> bool:
    """Whether an open file carries a proof that holds. Raises OSError."""
    return _find_authentic(key, descriptor, os.pread(descriptor, _BEGINNING, 0)) is not None


def _find_authentic(key: bytes, descriptor: int, beginning: bytes) -> Proof | None:
    found = part10.read_proof(beginning)
    if found is None:
        return None
    proof, mac_at = found
    ranges = seal.covered(proof, mac_at, os.fstat(descriptor).st_size)
    if ranges is None:
        return None
    expected = beginning[mac_at : mac_at + seal.MAC_LENGTH]
    covered = (part for each in ranges for part in _read(descriptor, *each, beginning))
    return proof if seal.is_authentic(key, covered, expected) else None


def _read(descriptor: int, start: int, stop: int, beginning: bytes) -> Iterator[bytes]:
    if stop <= len(beginning):
        yield beginning[start:stop]
        return
    while start < stop:
        chunk = os.pread(descriptor, min(_CHUNK, stop - start), start)
        if not chunk:
            return  # cut short meanwhile: what is missing makes the hash another one
        start += len(chunk)
        yield chunk
