"""What a backup says of itself: how it is opened, of which release it is, and what belongs to it.

It names nobody and lies open, so that anybody can see whether a backup is whole; whoever can open the backup also
sees whether the manifest is the one that was written.
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from archive.audit import canonical
from archive.errors import BadRequest
from deidentification.seal import SealBroken, open_sealed, seal
from senogate.backup.keys import Opener, Sealing
from senogate.backup.sealed import key_of

FORMAT = 1
_CONTEXT = b"senogate backup "
_PART = re.compile(r"[a-z-]+(\.gz)?")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a backup's own: its size in bytes and SHA-256, in hexadecimal digits."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`schema` is the last migration of the database; `files` how many files it shares, and `size` the bytes of all."""

    site: str
    made_at: str
    release: str
    schema: str
    sealing: Mapping[str, Any]
    data_key: str
    parts: Mapping[str, Part]
    instances: int
    files: int
    size: int
    format: int = FORMAT
    mac: str = ""

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.made_at)

    def signed(self, data_key: bytes) -> "Manifest":
        """The same with its keyed hash."""
        return replace(self, mac=self._mac(data_key))

    def open(self, opener: Opener) -> bytes:
        """The key of the backup's data. Raises ConfigurationError for another opener, BadRequest where altered."""
        try:
            private = opener.private(self.sealing)
            data_key = open_sealed(private, base64.b64decode(self.data_key), _CONTEXT + self.site.encode())
        except (SealBroken, ValueError, KeyError, TypeError, AttributeError):
            raise BadRequest("the backup's manifest was altered") from None
        if not hmac.compare_digest(self._mac(data_key), self.mac):
            raise BadRequest("the backup's manifest was altered")
        return data_key

    def _mac(self, data_key: bytes) -> str:
        told = {name: value for name, value in asdict(self).items() if name != "mac"}
        return hmac.new(key_of(data_key, "manifest"), canonical(told).encode(), "sha256").hexdigest()

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def read(cls, file: Path) -> "Manifest":
        """Raises BadRequest for what is none, or is of a newer release."""
        try:
            found = json.loads(file.read_bytes())
            if found["format"] != FORMAT:
                raise BadRequest("the backup was made by a newer release of Senogate")
            found["parts"] = {name: Part(**part) for name, part in found["parts"].items()}
            if any(not _PART.fullmatch(name) for name in found["parts"]):
                raise BadRequest(f"{file} names a part that no backup has")
            return cls(**found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRequest(f"{file} can't be read ({type(error).__name__})") from None


def sealed_data_key(sealing: Sealing, data_key: bytes, site: str) -> str:
    """The key of a backup's data as its manifest holds it."""
    return base64.b64encode(seal(sealing.public, data_key, _CONTEXT + site.encode())).decode()
