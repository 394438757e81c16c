"""The parts of a backup that are its own: sealed as they are written, and opened again."""

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from archive.errors import BadRequest
from deidentification.seal import SealBroken
from senogate.backup.manifest import Part
from senogate.backup.sealed import CHUNK, Opened, Sealer, key_of, opened


class Parts:
    """The sealed parts of a backup in `folder`; `written` is what its manifest says of them."""

    def __init__(self, folder: Path, data_key: bytes) -> None:
        self._folder, self._data_key = folder, data_key
        self.written: dict[str, Part] = {}

    @contextmanager
    def stream(self, name: str) -> Iterator[BinaryIO]:
        """A file whose content is sealed on its way to the disk; whole when the block ends without an error."""
        digest = hashlib.sha256()
        with open(self._folder / name, "xb") as file:

            def write(block: bytes) -> None:
                digest.update(block)
                file.write(block)

            sealer = Sealer(write, key_of(self._data_key, name))
            yield cast(BinaryIO, sealer)
            sealer.finish()
            self.written[name] = Part(file.tell(), digest.hexdigest())

    @contextmanager
    def sealer(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """As `stream`: what takes its content."""
        with self.stream(name) as target:
            yield target.write

    def seal_file(self, name: str, source: Path) -> None:
        with open(source, "rb") as content, self.stream(name) as target:
            shutil.copyfileobj(content, target, CHUNK)

    def seal_bytes(self, name: str, content: bytes) -> None:
        with self.stream(name) as target:
            target.write(content)

    def add(self, name: str, file: Path) -> None:
        """A part that lies open."""
        with open(file, "rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        self.written[name] = Part(file.stat().st_size, digest)


@contextmanager
def opening(folder: Path, data_key: bytes, name: str) -> Iterator[BinaryIO]:
    """The content of a sealed part as a file. Raises BadRequest where it was altered."""
    with _translated(name), open(folder / name, "rb") as file:
        yield io.BufferedReader(Opened(file, key_of(data_key, name)), CHUNK)


def unseal(folder: Path, data_key: bytes, name: str, target: Path) -> Path:
    """Write the content of a sealed part to a file that its owner alone can read. Raises BadRequest, OSError."""
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)
    with _translated(name), open(folder / name, "rb") as file, open(target, "wb") as written:
        for chunk in opened(file, key_of(data_key, name)):
            written.write(chunk)
    return target


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except SealBroken:
        raise BadRequest(f"the backup's part {name} was altered") from None
    except FileNotFoundError:
        raise BadRequest(f"the backup's part {name} is missing") from None
