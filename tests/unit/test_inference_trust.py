"""Keys that sign packages, and whose packages run."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from inference import signature, trust
from inference.errors import KeyFileError
from tests.unit.test_inference_package import KEY

PUBLIC = KEY.public_key()


class TestFiles:
    def test_a_key_that_was_made_is_read(self, tmp_path: Path) -> None:
        made = signature.make_private_key(tmp_path / "key")
        assert signature.read_private_key(tmp_path / "key").private_bytes_raw() == made.private_bytes_raw()

    def test_it_is_readable_by_its_owner_alone(self, tmp_path: Path) -> None:
        signature.make_private_key(tmp_path / "key")
        assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600

    def test_a_file_that_is_there_is_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("precious")
        with pytest.raises(KeyFileError, match="can't be made"):
            signature.make_private_key(tmp_path / "key")
        assert (tmp_path / "key").read_text() == "precious"

    @pytest.mark.parametrize("content", [b"", b"x", b"-----BEGIN PUBLIC KEY-----\n", b"\xff" * 99])
    def test_what_is_no_key_is_refused(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "key").write_bytes(content)
        for read in (signature.read_public_key, signature.read_private_key):
            with pytest.raises(KeyFileError, match="Ed25519"):
                read(tmp_path / "key")

    def test_a_key_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        (tmp_path / "key").write_bytes(X25519PrivateKey.generate().public_key().public_bytes(*form))
        with pytest.raises(KeyFileError, match="Ed25519"):
            signature.read_public_key(tmp_path / "key")


class TestTrust:
    def test_a_new_site_trusts_the_key_that_is_shipped(self, tmp_path: Path) -> None:
        assert trust.trusted_keys(tmp_path).keys() == trust.shipped_keys().keys() != set()

    def test_a_key_is_trusted_from_then_on(self, tmp_path: Path) -> None:
        assert trust.trust(tmp_path, PUBLIC) in trust.trusted_keys(tmp_path)

    def test_a_distrusted_key_is_trusted_no_more(self, tmp_path: Path) -> None:
        identifier = trust.trust(tmp_path, PUBLIC)
        trust.distrust(tmp_path, identifier)
        assert identifier not in trust.trusted_keys(tmp_path)

    def test_the_shipped_key_stays(self, tmp_path: Path) -> None:
        with pytest.raises(KeyFileError, match="comes with the program"):
            trust.distrust(tmp_path, next(iter(trust.shipped_keys())))

    @pytest.mark.parametrize("identifier", ["", "../../secrets/site", "0" * 64])
    def test_a_key_that_is_not_trusted_is_not_found(self, tmp_path: Path, identifier: str) -> None:
        with pytest.raises(KeyFileError, match="no such key"):
            trust.distrust(tmp_path, identifier)
