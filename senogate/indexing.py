"""`senogate reindex`: the index, built anew from Orthanc."""

from collections.abc import Callable
from contextlib import closing
from functools import partial

from archive import search_facts
from archive.audit import Detail, Event, write
from archive.errors import Conflict
from archive.orthanc import Orthanc
from archive.pool import autocommitting, queries
from archive.reindexing import Reindexing
from archive.settings import Settings
from archive.tiers import Tiers
from deidentification.stored import is_proven
from senogate.site_keys import keys_of
from senogate.user import user


def rebuild(settings: Settings, advance: Callable[[int], object], processes: int = 1) -> int:
    """Index every instance that Orthanc holds and forget all others, or go on where that was cut short.

    The number of instances that were indexed. `advance` is told how many more are done. The worker may run meanwhile.
    Raises Unavailable, and Conflict where another process does the same or Orthanc does not know what is stored.
    """
    key = keys_of(settings).proof
    with (
        closing(Orthanc(settings)) as orthanc,
        autocommitting(settings.database_url) as connection,
    ):
        if orthanc.index_state().is_own is False:
            raise Conflict(
                "Orthanc's index is not that of the stored files: `senogate orthanc rebuild` mends it"
            )
        proven = partial(is_proven, key)
        reindexing = Reindexing(connection, orthanc, Tiers.of(settings), proven, processes)
        count = reindexing.run(orthanc.instances, advance)
        connection.execute(queries("index.sql")["gather_statistics"])
        search_facts.begin_anew(connection)
        search_facts.bring_up_to_date(connection)
        detail: Detail = {"index": "rebuilt", "instances": count}
        write(connection, Event.CONFIGURATION_CHANGED, subject=user(), detail=detail)
        return count
