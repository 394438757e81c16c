"""The studies of a cohort as salted hashes (`federation.provenance.cohort`): the site can show that one was in it."""

from collections.abc import Sequence

import psycopg

from archive.errors import NotFound
from archive.pool import queries

SIZE = 32  # bytes of a hash


def keep(connection: psycopg.Connection, root: str, leaves: Sequence[bytes]) -> None:
    """Keep the leaves of the tree of this root; once is enough."""
    connection.execute(queries("labels.sql")["keep_cohort"], {"root": root, "leaves": b"".join(leaves)})


def leaves(connection: psycopg.Connection, root: str) -> list[bytes]:
    """Raises NotFound for a cohort that this site has not learnt from."""
    row = connection.execute(queries("labels.sql")["cohort"], {"root": root}).fetchone()
    if row is None:
        raise NotFound("no such cohort")
    return [row[0][start : start + SIZE] for start in range(0, len(row[0]), SIZE)]
