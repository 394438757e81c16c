"""Statements sent by libpq itself: the values, rows and errors that a cursor of psycopg gives."""

import anyio
import psycopg
import pytest
from psycopg import AsyncConnection, errors

from archive import statements
from archive.statements import fetch


def asking(site, work):
    """What `work` gives on a connection of its own."""

    async def main():
        url = site.settings.database_url
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            return await work(connection)

    return anyio.run(main)


VALUES = {"text": "\u00e4%", "number": 70_000, "none": None, "list": ["a", "b,"], "bytes": b"\0\xff"}
STATEMENT = """select %(text)s::text, %(number)s::bigint, %(none)s::text, %(list)s::text[], %(bytes)s::bytea,
    %(number)s::bigint % 7, 'a%%'"""


@pytest.mark.parametrize("prepare", [True, False])
def test_rows_are_those_of_a_cursor(site, prepare):
    async def work(connection):
        statement = STATEMENT.replace("% 7", "%% 7")
        cursor = await connection.execute(statement, VALUES)
        return await fetch(connection, statement, VALUES, prepare=prepare), await cursor.fetchall()

    found, expected = asking(site, work)
    assert found == expected


def test_a_value_larger_than_the_socket_takes_at_once(site):
    async def work(connection):
        return await fetch(connection, "select length(%(text)s::text)", {"text": "x" * 20_000_000})

    assert asking(site, work) == [(20_000_000,)]


@pytest.mark.parametrize(
    ("statement", "error"),
    [("select 1 / %(zero)s", errors.DivisionByZero), ("select %(zero)s from nowhere", errors.UndefinedTable)],
)
def test_errors_are_psycopgs_and_leave_the_connection_usable(site, statement, error):
    async def work(connection):
        with pytest.raises(error):
            await fetch(connection, statement, {"zero": 0})
        return await fetch(connection, "select 1", {})

    assert asking(site, work) == [(1,)]


def test_a_connection_that_is_lost(site):
    async def work(connection):
        with pytest.raises(psycopg.OperationalError):
            await fetch(connection, "select pg_terminate_backend(pg_backend_pid())", {})

    asking(site, work)


def test_plans_that_were_let_go_of_are_made_again(site):
    async def work(connection):
        await fetch(connection, "select 1", {})
        await connection.execute("deallocate all")
        return await fetch(connection, "select 1", {})

    assert asking(site, work) == [(1,)]


def test_the_plans_that_are_kept_are_bounded(site, monkeypatch):
    monkeypatch.setattr(statements, "PREPARED", 3)

    async def work(connection):
        for number in range(10):
            await fetch(connection, f"select {number}", {})
        return await fetch(connection, "select count(*) from pg_prepared_statements", {})

    assert asking(site, work) == [(3,)]


def test_a_connection_is_forgotten_with_its_plans(site):
    before = len(statements._prepared)

    async def work(connection):
        await fetch(connection, "select 1", {})
        assert len(statements._prepared) == before + 1

    asking(site, work)
    assert len(statements._prepared) == before
