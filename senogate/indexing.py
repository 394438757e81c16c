"""`senogate reindex`: the index, built anew from Orthanc."""

from collections.abc import Callable, Iterator
from contextlib import closing

from archive.follow import Follower
from archive.orthanc import Orthanc
from archive.pool import connect, translated_errors
from archive.settings import Settings


def rebuild(settings: Settings, advance: Callable[[], object]) -> int:
    """Index every instance that Orthanc holds and forget all others; `advance` is called for each.

    The worker may run meanwhile. Raises Unavailable.
    """

    def identifiers(orthanc: Orthanc) -> Iterator[str]:
        for identifier in orthanc.instances():
            yield identifier
            advance()

    with (
        closing(Orthanc(settings)) as orthanc,
        connect(settings.database_url, autocommit=True) as connection,
        translated_errors(),
    ):
        return Follower(connection, orthanc, settings.storage).rebuild(identifiers(orthanc))
