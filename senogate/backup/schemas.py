"""Tables of two schemas of one database: how it was, which is `public`, and how it is left, which lies aside."""

import psycopg
from psycopg import sql

ASIDE = "senogate_aside"


def columns(connection: psycopg.Connection, schema: str, table: str) -> list[str]:
    """The columns of a table that are written; none where there is no such table."""
    rows = connection.execute(
        "select column_name from information_schema.columns where table_schema = %s and table_name = %s"
        " and is_generated = 'NEVER' order by ordinal_position",
        [schema, table],
    )
    return [name for (name,) in rows]


def shared_columns(connection: psycopg.Connection, table: str) -> list[str]:
    """The columns that a table has in both schemas."""
    aside = columns(connection, ASIDE, table)
    return [name for name in columns(connection, "public", table) if name in aside]


def insert_missing(connection: psycopg.Connection, table: str) -> None:
    """Add the rows that are aside and in conflict with none that is there, in their order."""
    names = shared_columns(connection, table)
    if not names:
        return
    connection.execute(
        sql.SQL(
            "insert into {} ({columns}) overriding system value select {columns} from {} order by 1"
            " on conflict do nothing"
        ).format(
            sql.Identifier("public", table),
            sql.Identifier(ASIDE, table),
            columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        )
    )


def empty(connection: psycopg.Connection, table: str) -> None:
    """Delete the rows of a table, where it is in both schemas."""
    if shared_columns(connection, table):
        connection.execute(sql.SQL("delete from {}").format(sql.Identifier("public", table)))


def count_on(connection: psycopg.Connection, table: str, number: str) -> None:
    """Have the numbers of new rows come after those that there are."""
    if columns(connection, "public", table):
        connection.execute(
            sql.SQL("select setval(pg_get_serial_sequence({}, {}), max({})) from {}").format(
                sql.Literal(table), sql.Literal(number), sql.Identifier(number), sql.Identifier(table)
            )
        )
