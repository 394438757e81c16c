"""The way back from a pseudonym to an identity. Only the private key opens it, and every opening is noted.

What is noted is committed before the identity is given to anybody. An attempt with another key is noted too.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from archive.audit import Event, Outcome, write
from archive.errors import BadRequest, Forbidden, NotFound
from archive.pool import queries

Unseal = Callable[[bytes, bytes], bytes]  # what is sealed and its context → what it holds, or ValueError
_LONGEST_REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class Opened:
    """What a pseudonym stands for: of a study a whole identity, of a series or an instance its UID."""

    pseudonym: str
    kind: str
    original: Any


@dataclass(frozen=True, slots=True)
class Opening:
    """Who opened what, when and what for; it names no identity."""

    number: int
    opened_at: datetime
    opened_by: str
    pseudonym: str
    kind: str
    reason: str
    was_opened: bool


def reidentify(
    connection: psycopg.Connection, unseal: Unseal, pseudonym: str, *, opened_by: str, reason: str
) -> Opened:
    """Open what a pseudonymous study, series, instance or patient stands for, and note it durably before.

    `connection` is in no transaction. Raises BadRequest without a reason, NotFound for what is no pseudonym of
    this site, Forbidden where `unseal` can't open it.
    """
    reason = _require_reason(reason)
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        sql = queries("reidentification.sql")
        row = connection.execute(sql["find_sealed"], {"pseudonym": pseudonym}).fetchone()
        if row is None:
            raise NotFound("the crosswalk has no such pseudonym")
        opened = _open(unseal, *row)
        noted = {"opened_by": opened_by, "pseudonym": row[0], "kind": row[1], "reason": reason}
        connection.execute(sql["note_opening"], noted | {"was_opened": opened is not None})
        _record(connection, row[0], row[1], opened_by, reason, opened is not None)
    if opened is None:
        raise Forbidden("this key does not open what the pseudonym stands for")
    return opened


def reidentify_all(
    connection: psycopg.Connection,
    unseal: Unseal,
    study: str,
    others: Iterable[str],
    *,
    opened_by: str,
    reason: str,
) -> dict[str, Opened]:
    """As `reidentify`, of a study and of what belongs to it, by pseudonym; what the crosswalk lacks is left out.

    Each has a note of its own; in the audit trail they are one record. Raises NotFound without the study, and Forbidden
    where any can't be opened: then nothing is given.
    """
    reason = _require_reason(reason)
    with connection.transaction():
        connection.execute("set local synchronous_commit = on")
        sql = queries("reidentification.sql")
        rows = connection.execute(sql["find_all_sealed"], {"pseudonyms": [study, *others]}).fetchall()
        if study not in {pseudonym for pseudonym, _, _ in rows}:
            raise NotFound("the crosswalk has no such pseudonym")
        found = {
            pseudonym: (kind, _open(unseal, pseudonym, kind, sealed)) for pseudonym, kind, sealed in rows
        }
        noted = {
            "opened_by": opened_by,
            "reason": reason,
            "pseudonyms": list(found),
            "kinds": [kind for kind, _ in found.values()],
            "were_opened": [opened is not None for _, opened in found.values()],
        }
        connection.execute(sql["note_openings"], noted)
        opened = {pseudonym: each for pseudonym, (_, each) in found.items() if each is not None}
        whole = len(opened) == len(found)
        _record(connection, study, "study", opened_by, reason, whole, number=len(found))
    if not whole:
        raise Forbidden("this key does not open what the pseudonyms stand for")
    return opened


def _record(
    connection: psycopg.Connection,
    pseudonym: str,
    kind: str,
    opened_by: str,
    reason: str,
    was_opened: bool,
    *,
    number: int = 1,
) -> None:
    """The same in the audit trail, which is where others look."""
    write(
        connection,
        Event.CROSSWALK_OPENED,
        subject=opened_by,
        outcome=Outcome.SUCCESS if was_opened else Outcome.REFUSED,
        study_instance_uid=pseudonym if kind == "study" else None,
        detail={"kind": kind, "pseudonym": pseudonym, "reason": reason}
        | ({"opened": number} if number > 1 else {}),
    )


def _open(unseal: Unseal, pseudonym: str, kind: str, sealed: bytes) -> Opened | None:
    try:
        return Opened(pseudonym, kind, json.loads(unseal(sealed, pseudonym.encode())))
    except ValueError:
        return None


def _require_reason(reason: str) -> str:
    text = re.sub(r"\s+", " ", reason).strip()
    if not text or len(text) > _LONGEST_REASON or not text.isprintable():
        raise BadRequest(
            f"give a reason of at most {_LONGEST_REASON} characters; it is kept, so name nobody in it"
        )
    return text


def openings(connection: psycopg.Connection) -> list[Opening]:
    """Every opening there was, the first first."""
    return [Opening(*row) for row in connection.execute(queries("reidentification.sql")["openings"])]


def counts(connection: psycopg.Connection) -> dict[str, int]:
    """How many studies, series and instances the crosswalk can name."""
    return dict(connection.execute(queries("reidentification.sql")["counts"]).fetchall())


def pseudonyms(connection: psycopg.Connection) -> list[tuple[str, datetime]]:
    """The pseudonymous Study Instance UIDs of the crosswalk, and when each came."""
    return connection.execute(queries("reidentification.sql")["pseudonyms"]).fetchall()
