"""The way back from a pseudonym to an identity: rows that only the holder of the private key can open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from archive.errors import Unavailable
from archive.pool import connect, queries, translated_errors

Kind = Literal["study", "series", "instance"]


@dataclass(frozen=True, slots=True)
class SealedIdentity:
    """One row: a pseudonymous UID and, sealed, what it stands for."""

    pseudonym: str
    kind: Kind
    sealed: bytes


class Crosswalk:
    """Commits sealed identities over one connection of its own, which is opened anew after it broke.

    Not safe for use from several threads at once; the caller serialises.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.Connection | None = None

    def commit(self, rows: Sequence[SealedIdentity]) -> None:
        """Make `rows` durable; those already there stay as they are. Raises Unavailable."""
        try:
            self._insert(rows)
        except psycopg.OperationalError:
            self.close()  # a connection that died while idle is no reason to refuse: try once on a fresh one
            with translated_errors():
                self._insert(rows)

    def answers(self) -> bool:
        """Whether PostgreSQL answers and has the table now."""
        try:
            self._open().execute("select 1 from crosswalk limit 1")
        except (Unavailable, psycopg.Error):
            self.close()
            return False
        return True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._database_url, autocommit=True)
            self._connection.execute("set synchronous_commit = on")
            self._connection.execute("set statement_timeout = '5s'")
        return self._connection

    def _insert(self, rows: Sequence[SealedIdentity]) -> None:
        self._open().execute(
            queries("crosswalk.sql")["commit_identity"],
            {
                "pseudonyms": [row.pseudonym for row in rows],
                "kinds": [row.kind for row in rows],
                "sealed": [row.sealed for row in rows],
            },
        )
