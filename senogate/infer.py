"""`senogate infer`: readings made due again."""

from collections.abc import Sequence

from archive.audit import Detail, Event, write
from archive.errors import BadRequest
from archive.findings import Task
from archive.pool import autocommitting
from archive.readings import want
from archive.settings import Settings
from inference import installed
from senogate.user import user


def infer(settings: Settings, studies: Sequence[str] | None, tasks: Sequence[Task]) -> int:
    """Make the readings of these studies, of all for None, due again by what is enabled now; their number.

    `tasks` are those to be read for; none stands for all. Raises BadRequest where no model is enabled for any,
    Unavailable.
    """
    enabled = [slot.reading for slot in installed.wanted(settings.home)]
    wanted = [one for one in enabled if not tasks or one.task in tasks]
    if not wanted:
        raise BadRequest("no model is enabled for that; `senogate model list` lists the models")
    tasks_named = " ".join(sorted({str(one.task) for one in wanted}))
    with (
        autocommitting(settings.database_url) as connection,
        connection.transaction(),
    ):
        count = want(connection, wanted, studies, again=True)
        detail: Detail = {"inference": "again", "readings": count, "tasks": tasks_named}
        write(connection, Event.CONFIGURATION_CHANGED, subject=user(), detail=detail)
    return count
