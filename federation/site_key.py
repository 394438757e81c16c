"""Keys of the federation that hang on the site's one secret, so that they last as long as its pseudonyms do."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from archive import secrets
from archive.settings import Settings


def derive(settings: Settings, label: str) -> bytes:
    """32 bytes for one use, by HKDF-SHA256 (RFC 5869). Raises ConfigurationError where the site's secret is missing."""
    secret = secrets.read_key(settings.secrets, secrets.SITE_KEY)
    info = f"senogate federation 1 {label}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
