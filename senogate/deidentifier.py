"""What de-identifies with the keys and the profile of a site."""

from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from senogate.site_keys import keys_of


def deidentifier_of(settings: Settings) -> Deidentifier:
    """What de-identifies with this site's keys. Raises ConfigurationError."""
    return Deidentifier(
        keys_of(settings),
        Profile.load(settings.profile),
        max_instance_bytes=settings.max_instance_bytes,
        max_inflated_bytes=settings.max_inflated_bytes,
    )
