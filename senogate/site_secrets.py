"""The keys of a site: made once, and missed where one is lost."""

import secrets as random
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import secrets
from archive.errors import ConfigurationError
from archive.settings import Settings
from deidentification.seal import generate_keypair


def prepare(settings: Settings) -> None:
    """Make the secrets of a new site: once, so that a lost one is missed and not replaced.

    Raises ConfigurationError.
    """
    from gateway.signing import SigningKeys  # which takes a library that most commands do without

    keys = Path(settings.secrets)
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    if crosswalk_key_to_come(settings).exists():
        raise ConfigurationError(
            "another key for the crosswalk was begun: `senogate crosswalk rotate-key` goes on with it"
        )
    if (keys / secrets.COMPLETE).exists():
        names = (
            secrets.SITE_KEY,
            secrets.CROSSWALK_PUBLIC_KEY,
            secrets.ORTHANC_PASSWORD,
            secrets.SIGNING_KEY,
        )
        if absent := [name for name in names if not (keys / name).exists()]:
            raise ConfigurationError(
                f"{keys} lacks {', '.join(absent)}: keys are never made anew, restore the backup"
            )
        _make_signing_keys(settings)
        return
    private, public = generate_keypair()
    secrets.write(Path(settings.crosswalk_key), private)
    secrets.write(keys / secrets.CROSSWALK_PUBLIC_KEY, public)
    secrets.write(keys / secrets.SITE_KEY, random.token_bytes(32))
    secrets.write(keys / secrets.ORTHANC_PASSWORD, random.token_urlsafe(32).encode())
    SigningKeys.load_or_create(keys / secrets.SIGNING_KEY)
    _make_signing_keys(settings)
    secrets.write(
        keys / secrets.COMPLETE, b"The keys of this site were made once; they are never made anew.\n"
    )


def crosswalk_key_to_come(settings: Settings) -> Path:
    """Where the crosswalk's next private key lies while everything is sealed to it (senogate/rekeying.py)."""
    key = Path(settings.crosswalk_key)
    return key.with_name(f"{key.name}.next")


def _make_signing_keys(settings: Settings) -> None:
    """Make the keys that sign audit trail and models, where a site has none yet; what they signed shows their loss."""
    for private, public in (
        (secrets.audit_key(settings), secrets.AUDIT_PUBLIC_KEY),
        (secrets.model_key(settings), secrets.MODEL_PUBLIC_KEY),
    ):
        if not Path(settings.secrets, public).exists():
            key = Ed25519PrivateKey.generate()
            secrets.write(private, key.private_bytes_raw())
            secrets.write(Path(settings.secrets, public), key.public_key().public_bytes_raw())
