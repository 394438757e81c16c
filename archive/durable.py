"""A connection to PostgreSQL for what must be committed before an answer is given."""

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg

from archive.pool import connect, translated_errors


class DurableConnection:
    """One connection whose statements are commits; opened when first needed, and anew after it broke.

    Not safe for use from several threads at once; the caller serialises.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection | None = None

    def execute(
        self, statement: LiteralString, values: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement that may safely be run twice; its rows. Durable on return. Raises Unavailable."""
        try:
            return self._run(statement, values)
        except psycopg.OperationalError:
            self.close()  # a connection that died while idle is no reason to fail: try once on a fresh one
            with translated_errors():
                return self._run(statement, values)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, statement: LiteralString, values: Mapping[str, Any] | None) -> list[tuple[Any, ...]]:
        cursor = self._open().execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._database_url, autocommit=True)
            self._connection.execute("set synchronous_commit = on")
            self._connection.execute("set statement_timeout = '5s'")
        return self._connection
