"""The secrets of a site: made once, and the key of the audit trail also for a site that was there before it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import checkpoints, secrets
from archive.errors import ConfigurationError
from archive.settings import Settings
from gateway.signing import SigningKeys
from senogate.site_secrets import prepare


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


def test_a_folder_that_hands_its_group_on_lets_that_group_read(tmp_path: Path) -> None:
    """As deploy/systemd has it, where each part is a user of its own."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    folder.chmod(0o2750)
    settings = Settings(home=tmp_path)
    prepare(settings)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert SigningKeys.load(folder / secrets.SIGNING_KEY).keys


@pytest.mark.parametrize(
    ("folder_mode", "mode", "is_open"),
    [
        (0o700, 0o600, False),
        (0o700, 0o640, True),
        (0o2750, 0o640, False),
        (0o2750, 0o660, True),
        (0o2750, 0o644, True),
    ],
)
def test_a_secret_is_open_to_whom_its_folder_does_not_name(
    tmp_path: Path, folder_mode: int, mode: int, is_open: bool
) -> None:
    path = tmp_path / "keys" / "site.key"
    path.parent.mkdir()
    path.parent.chmod(folder_mode)
    path.touch()
    path.chmod(mode)
    assert secrets.is_open(path) is is_open
