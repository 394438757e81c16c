"""The keys that a site derives from its secret."""

from archive import secrets
from archive.settings import Settings
from deidentification.pseudonym import Keys


def keys_of(settings: Settings) -> Keys:
    """The keys of this site. Raises ConfigurationError."""
    return Keys.derive(secrets.read_key(settings.secrets, secrets.SITE_KEY))
