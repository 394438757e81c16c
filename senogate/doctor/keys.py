"""The site's keys: there, whole, fitting each other, and their owner's alone."""

import os
import pwd
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from archive import federation_keys, secrets
from archive.checkpoints import signers
from archive.errors import ConfigurationError
from archive.federation_roles import read_hub, read_site
from archive.settings import Settings
from gateway.signing import SigningKeys
from senogate.doctor.finding import Finding, act, fine
from senogate.doctor.place import Place

_RESTORE = "Keys are never made anew: restore the site's secrets from its backup (docs/backup.md)."
_PUBLIC = (secrets.CROSSWALK_PUBLIC_KEY, secrets.AUDIT_PUBLIC_KEY, secrets.MODEL_PUBLIC_KEY)
_THIRTY_TWO = (secrets.SITE_KEY, secrets.CROSSWALK_PUBLIC_KEY, secrets.MODEL_PUBLIC_KEY)


def look(place: Place) -> Iterator[Finding]:
    """Every key that has to be where this process can look for it."""
    folder = Path(place.settings.secrets)
    if not (folder / secrets.COMPLETE).exists():
        if finding := _unfinished(place, folder):
            yield finding
        return
    found = [*_lacking(place.settings), *_damaged(place.settings), *_open(place.settings)]
    yield from found or [fine("secrets", f"they are whole, and their owner's alone, in {folder}")]


def _unfinished(place: Place, folder: Path) -> Finding | None:
    """A site that has none yet is none that lacks any; where something is there already, its start was cut short."""
    if place.is_new:
        return None
    if not folder.is_dir() and not place.settings.home.joinpath("orthanc", "index").exists():
        todo = "Start the site, which makes them once; or restore them, where it had any."
        return act("secrets", f"there are none in {folder}", todo, "senogate up")
    if (folder / secrets.SITE_KEY).exists():
        todo = "If the site has stored nothing yet, empty the folder and start it; else restore it from the backup."
        return act("secrets", f"{folder} was not finished when they were made, or restored", todo)
    return act("secrets", f"{folder} holds none, and the site has been in use", _RESTORE)


def _lacking(settings: Settings) -> Iterator[Finding]:
    wanted = [
        Path(settings.secrets, name) for name in (*_THIRTY_TWO, secrets.AUDIT_PUBLIC_KEY, secrets.SIGNING_KEY)
    ]
    if not settings.orthanc_password:
        wanted.append(Path(settings.secrets, secrets.ORTHANC_PASSWORD))
    private = [Path(settings.crosswalk_key), secrets.audit_key(settings), secrets.model_key(settings)]
    wanted += private if _has_private(settings) else []
    if read_site(settings):
        wanted += [
            Path(settings.secrets, federation_keys.FEDERATION_KEY),
            federation_keys.node_key_path(settings),
        ]
    elif read_hub(settings):
        wanted.append(Path(settings.secrets, federation_keys.FEDERATION_KEY))
    if absent := [str(path) for path in wanted if not path.exists()]:
        yield act("keys-missing", f"absent: {', '.join(absent)}", _RESTORE)


def _has_private(settings: Settings) -> bool:
    """Whether private keys belong where this looks: containers but the worker's have no folder for them."""
    folder = Path(settings.crosswalk_key).parent
    return folder == Path(settings.secrets) or (folder.is_dir() and any(folder.iterdir()))


def _damaged(settings: Settings) -> Iterator[Finding]:
    """Keys that can't be used; those that are absent are told apart."""
    for name in _THIRTY_TWO:
        if Path(settings.secrets, name).exists():
            yield from _tried(partial(secrets.read_key, settings.secrets, name))
    if Path(settings.secrets, secrets.AUDIT_PUBLIC_KEY).exists():
        yield from _tried(lambda: signers(settings))
    signing = Path(settings.secrets, secrets.SIGNING_KEY)
    if signing.exists() and not secrets.is_open(signing):
        yield from _tried(lambda: SigningKeys.load(signing))
    yield from _strangers(settings)


def _tried(read: Callable[[], object]) -> Iterator[Finding]:
    try:
        read()
    except ConfigurationError as error:
        yield act("keys-damaged", str(error), _RESTORE)


def _strangers(settings: Settings) -> Iterator[Finding]:
    """Private keys that are not those of the public ones: of another site, or of an older backup."""
    pairs = (
        (Path(settings.crosswalk_key), secrets.CROSSWALK_PUBLIC_KEY, X25519PrivateKey.from_private_bytes),
        (secrets.audit_key(settings), secrets.AUDIT_PUBLIC_KEY, Ed25519PrivateKey.from_private_bytes),
        (secrets.model_key(settings), secrets.MODEL_PUBLIC_KEY, Ed25519PrivateKey.from_private_bytes),
    )
    for private, public, load in pairs:
        told = Path(settings.secrets, public)
        if not private.exists() or not told.exists():
            continue
        key = private.read_bytes()
        current = told.read_bytes()[:32]  # of the trail's keys, the first
        if len(key) != 32 or load(key).public_key().public_bytes_raw() != current:
            yield act("keys-damaged", f"{private} is not the private key of {told}", _RESTORE)


def _open(settings: Settings) -> Iterator[Finding]:
    """Secrets that others than their owner may read or replace."""
    private = (Path(settings.crosswalk_key), secrets.audit_key(settings), secrets.model_key(settings))
    elsewhere = [Path(path) for path in (settings.tls_key, settings.federation_key) if path]
    files = {path for path in Path(settings.secrets).iterdir() if path.is_file() and path.name not in _PUBLIC}
    for path in sorted({*files, *private, *elsewhere}):
        if path.name != secrets.COMPLETE and path.exists() and secrets.is_open(path):
            yield act(
                "keys-open", f"{path} may be read by others than its owner", "Close it.", f"chmod 600 {path}"
            )
    for folder in sorted({Path(settings.secrets), Path(settings.crosswalk_key).parent}):
        if folder.is_dir() and folder.stat().st_mode & 0o022:
            yield act(
                "keys-open", f"others may replace what is in {folder}", "Close it.", f"chmod 700 {folder}"
            )
    yield from _owned(settings)


def _owned(settings: Settings) -> Iterator[Finding]:
    """Keys of another user than the folder's: a site that runs as that one can't read them."""
    folder = Path(settings.secrets)
    owner = folder.stat().st_uid
    others = [path.name for path in folder.iterdir() if path.stat().st_uid != owner]
    if others and stat.S_ISDIR(folder.stat().st_mode) and owner != 0:
        said = f"{', '.join(sorted(others))} in {folder} are not {_name(owner)}'s, whose the folder is"
        command = f"chown --recursive {_name(owner)} {folder}"
        yield act("keys-owner", said, "Give them to the user that the site runs as.", command)
    elif os.geteuid() not in (0, owner):
        said = f"{folder} is {_name(owner)}'s, and this runs as {_name(os.geteuid())}"
        yield act("keys-owner", said, "Run the site, and this, as the user whose it is.")


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
