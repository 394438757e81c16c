"""Which studies may be added to by a principal who does not see them all: those it may write, and those it brought."""

from psycopg import AsyncConnection

from archive.conditions import Parameters
from archive.listing import restrict
from archive.policy import Scope
from archive.pool import queries


async def may_add(connection: AsyncConnection, scope: Scope, subject: str, study_instance_uid: str) -> bool:
    """Whether an instance of the study may be stored; a study that is not here yet is from then on the subject's.

    One that is here and hidden can't be added to.
    """
    parameters = Parameters()
    statement = queries("origin.sql")["may_add"].format(scope=restrict(scope, parameters))
    row = parameters.values | {"study": study_instance_uid, "subject": subject}
    found = await (await connection.execute(statement.encode(), row)).fetchone()
    is_allowed, is_here = found or (False, True)
    if not is_allowed and not is_here:
        await connection.execute(queries("origin.sql")["bring"], row)
    return is_allowed or not is_here
