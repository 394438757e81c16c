"""`senogate reindex`: the index, built anew from Orthanc."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from archive import secrets
from archive.audit import Detail, Event, write
from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import connect, translated_errors
from archive.settings import Settings
from deidentification.pseudonym import Keys
from deidentification.stored import is_proven
from senogate.user import user


def rebuild(settings: Settings, advance: Callable[[], object]) -> int:
    """Index every instance that Orthanc holds and forget all others; `advance` is called for each.

    The worker may run meanwhile. Raises Unavailable.
    """

    def identifiers(orthanc: Orthanc) -> Iterator[str]:
        for identifier in orthanc.instances():
            yield identifier
            advance()

    key = Keys.derive(secrets.read_key(settings.secrets, secrets.SITE_KEY)).proof
    with (
        closing(Orthanc(settings)) as orthanc,
        connect(settings.database_url, autocommit=True) as connection,
        translated_errors(),
    ):
        follower = Follower(connection, orthanc, settings.storage, partial(is_proven, key))
        count = follower.rebuild(identifiers(orthanc))
        detail: Detail = {"index": "rebuilt", "instances": count}
        write(connection, Event.CONFIGURATION_CHANGED, subject=user(), detail=detail)
        return count
