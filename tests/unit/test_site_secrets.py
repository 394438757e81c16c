"""The secrets of a site: made once, and the key of the audit trail also for a site that was there before it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import checkpoints, secrets
from archive.errors import ConfigurationError
from archive.settings import Settings
from senogate.site import prepare


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, crosswalk_key="private/crosswalk.key")
    prepare(made)
    return made


def test_the_key_that_signs_the_trail_lies_beside_the_crosswalks(settings: Settings) -> None:
    private = settings.home / "private" / "audit.key"
    assert private.stat().st_mode & 0o777 == 0o600
    assert checkpoints.private_key(settings).public_key() == checkpoints.signers(settings).current


def test_a_site_from_before_the_trail_gets_one(settings: Settings) -> None:
    for path in (settings.home / "private" / "audit.key", Path(settings.secrets, "audit.pub")):
        path.unlink()
    prepare(settings)
    assert checkpoints.private_key(settings).public_key() == checkpoints.signers(settings).current


def test_the_key_that_signs_models_lies_there_too(settings: Settings) -> None:
    private = secrets.model_key(settings)
    key = Ed25519PrivateKey.from_private_bytes(private.read_bytes())
    assert (private.parent, private.stat().st_mode & 0o777) == (settings.home / "private", 0o600)
    assert Path(settings.secrets, "models.pub").read_bytes() == key.public_key().public_bytes_raw()


def test_one_that_is_lost_is_missed_and_not_made_anew(settings: Settings) -> None:
    (settings.home / "private" / "audit.key").unlink()
    prepare(settings)
    with pytest.raises(ConfigurationError):
        checkpoints.private_key(settings)
