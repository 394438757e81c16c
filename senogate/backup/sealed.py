"""Streams of any length, sealed in chunks: none can be changed, moved, left out or cut off without being noticed.

Each chunk is ChaCha20-Poly1305 under a key of the stream's own; its nonce is its number, and whether it is the last.
"""

import io
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deidentification.seal import SealBroken

CHUNK = 1024 * 1024  # bytes of plain text
_TAG = 16
_NONCE = struct.Struct(">3xQB")


def key_of(data_key: bytes, name: str) -> bytes:
    """The key of one stream of a backup, 32 bytes."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"senogate backup 1\0" + name.encode()).derive(
        data_key
    )


class Sealer(io.RawIOBase):
    """Seals what is written to it, and gives it on to `write`; `close` ends the stream."""

    def __init__(self, write: Callable[[bytes], object], key: bytes) -> None:
        self._write, self._cipher = write, ChaCha20Poly1305(key)
        self._number, self._waiting = 0, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK:  # the last chunk has to be known as such
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def finish(self) -> None:
        """Write the end of the stream; without it nobody takes what is there for whole."""
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._write(self._cipher.encrypt(_NONCE.pack(self._number, last), chunk, None))
        self._number += 1


def opened(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """The plain text of a sealed stream, chunk after chunk. Raises SealBroken for another key, or what was altered."""
    cipher, number = ChaCha20Poly1305(key), 0
    chunk = file.read(CHUNK + _TAG)
    while True:
        following = file.read(CHUNK + _TAG)
        try:
            yield cipher.decrypt(_NONCE.pack(number, not following), chunk, None)
        except InvalidTag:
            raise SealBroken("sealed for another key, altered or cut off") from None
        if not following:
            return
        chunk, number = following, number + 1


class Opened(io.RawIOBase):
    """The plain text of a sealed stream as a file that is read from its beginning to its end."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._chunks = opened(file, key)
        self._waiting = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._waiting:
            try:
                self._waiting = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._waiting))
        buffer[:size], self._waiting = self._waiting[:size], self._waiting[size:]
        return size
