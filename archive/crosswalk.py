"""The way back from a pseudonym to an identity: rows that only the holder of the private key can open."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from archive.durable import DurableConnection
from archive.errors import Unavailable
from archive.pool import queries

Kind = Literal["study", "series", "instance", "frame-of-reference"]


@dataclass(frozen=True, slots=True)
class SealedIdentity:
    """One row: a pseudonymous UID and, sealed, what it stands for; by which study and patient it is erased."""

    pseudonym: str
    kind: Kind
    sealed: bytes
    study_instance_uid: str
    patient_id: str


class Crosswalk:
    """Commits sealed identities. Not safe for use from several threads at once; the caller serialises."""

    def __init__(self, connection: DurableConnection) -> None:
        self._connection = connection

    def commit(
        self,
        rows: Sequence[SealedIdentity],
        known: Sequence[str] = (),
        aliases: Sequence[tuple[str, str]] = (),
    ) -> bool:
        """Make `rows` durable; those already there stay as they are. Raises Unavailable.

        `aliases` are pseudonyms that patients would have without an issuer, each with the patient's own.
        Whether those `known` to be there still are: an erasure may have taken them.
        """
        ((found,),) = self._connection.execute(
            queries("crosswalk.sql")["commit_identity"],
            {
                "pseudonyms": [row.pseudonym for row in rows],
                "kinds": [row.kind for row in rows],
                "sealed": [row.sealed for row in rows],
                "studies": [row.study_instance_uid for row in rows],
                "patients": [row.patient_id for row in rows],
                "known": list(known),
                "aliases": [alias for alias, _ in aliases],
                "aliased": [patient_id for _, patient_id in aliases],
            },
        )
        return found == len(known)

    def holds(self, pseudonym: str) -> bool:
        """Whether it is durable what the pseudonym stands for. Raises Unavailable."""
        return bool(
            self._connection.execute(queries("crosswalk.sql")["find_identity"], {"pseudonym": pseudonym})
        )

    def answers(self) -> bool:
        """Whether PostgreSQL answers and has the table now."""
        try:
            self._connection.execute("select 1 from crosswalk limit 1")
        except (Unavailable, psycopg.Error):
            self._connection.close()
            return False
        return True
