"""Finds a text in bytes however it may lie there: raw, in UTF-16, in Base64, or in a compressed stream."""

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_STREAMS = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")  # gzip (RFC 1952), zlib (RFC 1950)
_GLANCE, _MOST = 64, 1024 * 1024  # bytes of a stream that are tried, and inflated


class Traces:
    """What to look for; letter case is that of the texts, or all lower or upper."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        cased = {form for text in texts for form in (text, text.lower(), text.upper())}
        self._forms = {form for text in cased for form in _forms(text)}

    def found_in(self, data: bytes) -> bool:
        """Whether any text is in the bytes, or in a compressed stream that begins in them."""
        return self._has(data) or any(self._has(stream) for stream in _inflated(data))

    def found_below(self, folder: Path) -> list[str]:
        """The files below a folder whose name or content holds a text."""
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return [str(path) for path in files if self._has(str(path).encode()) or self.found_in(_read(path))]

    def _has(self, data: bytes) -> bool:
        return any(form in data for form in self._forms)


def _forms(text: bytes) -> Iterator[bytes]:
    wide = text.decode("ascii")
    yield from (text, wide.encode("utf-16-le"), wide.encode("utf-16-be"))
    for shift in range(3):  # where in a group of three bytes the text begins
        coded = base64.b64encode(bytes(shift) + text)
        yield coded[(shift * 8 + 5) // 6 : (shift + len(text)) * 8 // 6]


def _inflated(data: bytes) -> Iterator[bytes]:
    """What the gzip and zlib streams in the bytes hold, and a DICOM file's deflated data set (PS3.5 A.5)."""
    view = memoryview(data)
    for match in _STREAMS.finditer(data):
        if _inflate(view[match.start() :][:_GLANCE], 47):  # else the two bytes were there by chance
            yield _inflate(view[match.start() :][:_MOST], 47)
    if data[128:132] == b"DICM":
        yield _inflate(view[144 + int.from_bytes(data[140:144], "little") :], -15)


def _inflate(data: memoryview, window: int) -> bytes:
    try:
        return zlib.decompressobj(window).decompress(data)
    except zlib.error:
        return b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""  # gone since it was listed
