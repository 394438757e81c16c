"""The secrets of a site: files in one folder, made once, when the site is.

Their mode is 0600. Where the parts of a site run as users of their own (deploy/systemd), the folder hands its group on,
and that group reads them, too.
"""

import os
import stat
from pathlib import Path

from archive.errors import ConfigurationError
from archive.settings import Settings

SITE_KEY = "site.key"  # 32 random bytes; every pseudonym of the site hangs on it
CROSSWALK_PUBLIC_KEY = "crosswalk.pub"  # X25519, 32 bytes
SIGNING_KEY = "signing.pem"  # signs the site's tokens
ORTHANC_PASSWORD = "orthanc.password"  # noqa: S105 - a file name
AUDIT_KEY = "audit.key"  # Ed25519, 32 bytes; signs checkpoints of the audit trail
AUDIT_PUBLIC_KEY = "audit.pub"  # verifies them: the current key and those before it (archive.chain.Signers)
MODEL_KEY = "models.key"  # Ed25519, 32 bytes; signs the model packages that the site makes itself
MODEL_PUBLIC_KEY = "models.pub"  # Ed25519, 32 bytes; verifies them
COMPLETE = "complete"  # written last: the site has all its secrets


def read(folder: str, name: str) -> bytes:
    """One secret. Raises ConfigurationError, which names the file, when it can't be read."""
    path = Path(folder, name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the secret {path} can't be read ({type(error).__name__}): restore it from the backup"
        ) from None


def read_key(folder: str, name: str) -> bytes:
    """A secret of exactly 32 bytes. Raises ConfigurationError."""
    key = read(folder, name)
    if len(key) != 32:
        raise ConfigurationError(
            f"the secret {Path(folder, name)} must be 32 bytes long: restore it from the backup"
        )
    return key


def issuer_secret(folder: str, name: str) -> str:
    """What the site proves itself with to a registered issuer; empty where it has none. Raises ConfigurationError."""
    path = Path(folder, issuer_file(name))
    return read(folder, path.name).decode() if path.exists() else ""


def issuer_file(name: str) -> str:
    """The name of the file with a registered issuer's secret."""
    return f"issuer-{name}.secret"


def orthanc_password(settings: Settings) -> str:
    """What the site's parts sign in to Orthanc with: as configured, else the secret. Raises ConfigurationError."""
    return settings.orthanc_password or read(settings.secrets, ORTHANC_PASSWORD).decode()


def audit_key(settings: Settings) -> Path:
    """Where the key lies that signs checkpoints: beside the crosswalk's private key."""
    return Path(settings.crosswalk_key).with_name(AUDIT_KEY)


def model_key(settings: Settings) -> Path:
    """Where the key lies that signs the site's own model packages: beside the crosswalk's private key."""
    return Path(settings.crosswalk_key).with_name(MODEL_KEY)


def mode(folder: Path) -> int:
    """What a secret in this folder may be read by: its owner, and the group of a folder that hands it on (setgid)."""
    shared = stat.S_ISGID | stat.S_IRGRP | stat.S_IXGRP
    return 0o640 if folder.stat().st_mode & shared == shared else 0o600


def is_open(path: Path) -> bool:
    """Whether others may read or change a secret than those whom `mode` names. Raises OSError."""
    return bool(path.stat().st_mode & 0o777 & ~(mode(path.parent) | 0o700))


def write(target: Path, value: bytes) -> None:
    """Write one secret, whole or absent, readable by whom `mode` names and nobody else."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode(target.parent))
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
