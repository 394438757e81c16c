"""Another key for the crosswalk: all that is sealed to the one it has is opened in memory and sealed to the new one.

The new key lies beside the old one until everything is sealed to it; then it takes its place. Who is killed anywhere
loses nothing: the same call goes on, and the site does not start before.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from archive import secrets
from archive.audit import Event, write
from archive.errors import ConfigurationError
from archive.instances import sync_folder
from archive.pool import autocommitting, queries
from archive.settings import Settings
from deidentification.seal import SealBroken, generate_keypair, open_sealed, seal
from senogate.backup import database
from senogate.home import only_one
from senogate.site_secrets import crosswalk_key_to_come
from senogate.user import user

_BATCH = 500  # rows a transaction

Advance = Callable[[], object]


def rotate(settings: Settings, advance: Advance = lambda: None) -> tuple[int, int]:
    """Seal everything to a new key; how many identities and spooled instances that were.

    The site is not running. Raises ConfigurationError where it is, or where something opens with neither key; then
    the key in use stays. Raises Unavailable.
    """
    with only_one(settings.home), database.answering(settings) as connected:
        keys = _Keys.of(settings)
        with autocommitting(connected.database_url) as connection:
            identities = _reseal_identities(connection, keys, advance)
            spooled = _reseal_spool(settings.spool, keys, advance)
            secrets.write(Path(settings.crosswalk_key), keys.new)
            secrets.write(Path(settings.secrets, secrets.CROSSWALK_PUBLIC_KEY), keys.public)
            for folder in {Path(settings.crosswalk_key).parent, Path(settings.secrets)}:
                sync_folder(folder)
            detail: dict[str, str | int] = {"change": "rotated", "use": "crosswalk", "identities": identities}
            write(connection, Event.KEY_ROTATED, subject=user(), detail=detail | {"spooled": spooled})
            connection.execute("vacuum crosswalk")
            crosswalk_key_to_come(settings).unlink()
    return identities, spooled


class _Keys:
    """The private key in use, and the one to come with its public half."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old, self.new = old, new
        self.public = X25519PrivateKey.from_private_bytes(new).public_key().public_bytes_raw()

    @classmethod
    def of(cls, settings: Settings) -> "_Keys":
        """The key to come is made where there is none. Raises ConfigurationError."""
        old, coming = Path(settings.crosswalk_key), crosswalk_key_to_come(settings)
        in_use = secrets.read_key(str(old.parent), old.name)
        if not coming.exists():
            secrets.write(coming, generate_keypair()[0])
            sync_folder(coming.parent)  # before anything is sealed to it
        return cls(in_use, secrets.read_key(str(coming.parent), coming.name))

    def reseal(self, sealed: bytes, context: bytes) -> bytes:
        """The same for the new key; as it is where it was sealed to that before. Raises ConfigurationError."""
        try:
            return seal(self.public, open_sealed(self._old, sealed, context), context)
        except SealBroken:
            pass
        try:
            open_sealed(self.new, sealed, context)
        except SealBroken:
            raise ConfigurationError(
                "something is sealed to neither key: restore crosswalk.key as it was, and try again"
            ) from None
        return sealed


def _reseal_identities(connection: psycopg.Connection, keys: _Keys, advance: Advance) -> int:
    sql, count, last = queries("crosswalk.sql"), 0, ""
    while rows := connection.execute(sql["sealed"], {"after": last, "limit": _BATCH}).fetchall():
        with connection.transaction():
            for pseudonym, sealed in rows:
                resealed = keys.reseal(bytes(sealed), pseudonym.encode())
                connection.execute(sql["reseal"], {"pseudonym": pseudonym, "sealed": resealed})
                advance()
        count, last = count + len(rows), rows[-1][0]
    return count


def _reseal_spool(folder: Path, keys: _Keys, advance: Advance) -> int:
    count = 0
    for path in _spooled(folder):
        part = path.with_name(f".{path.name}.part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(keys.reseal(path.read_bytes(), path.name.encode()))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        advance()
        count += 1
    if count:
        sync_folder(folder)  # before the key goes to which they were sealed
    return count


def _spooled(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if not path.name.startswith("."))
