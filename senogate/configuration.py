"""What a site is configured to be, for the audit trail."""

from importlib.metadata import version
from pathlib import Path

from archive import deliveries
from archive.configuration import record_configuration
from archive.pool import autocommitting
from archive.settings import Settings
from senogate.user import user


def note_configuration(settings: Settings) -> None:
    """Put into the audit trail what is configured otherwise than at the last start."""
    profile = Path(settings.profile)
    others = {"the version of Senogate": version("senogate").encode()}
    if profile.suffix == ".toml":
        others["the file of the profile"] = profile.read_bytes()
    with autocommitting(settings.database_url) as connection:
        record_configuration(connection, settings, others, subject=user())
        deliveries.note_acknowledgement(connection, settings, by=user())
