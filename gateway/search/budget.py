"""How much each asker may learn in a day (of UTC), put down in PostgreSQL: one budget for all gateways of a node.

A person has one, by whichever of her identities and programs she asks that the site knows of (`archive.persons`).
"""

import psycopg

from archive.errors import TooManyRequests
from archive.pool import queries


def spend(connection: psycopg.Connection, asker: str, digest: bytes, cost: int, most: int) -> None:
    """Put down what is asked; what was asked already today costs nothing.

    Raises TooManyRequests, until the end of the day, where more than `most` would be spent. 0: as much as they like.
    """
    if not most:
        return
    sql, values = queries("search_budget.sql"), {"asker": asker, "digest": digest, "cost": cost}
    with connection.transaction():
        connection.execute(sql["ask_alone"], values)
        ((spent, is_known, rest),) = connection.execute(sql["spent"], values).fetchall()
        if is_known:
            return
        if spent + cost > most:
            raise TooManyRequests(rest)
        connection.execute(sql["spend"], values)


def forget_spent(connection: psycopg.Connection) -> None:
    """Forget what anybody asked on days before."""
    connection.execute(queries("search_budget.sql")["forget_spent"])
