"""What a database that is put back must not give back: budgets that were spent since, and what was revoked or closed.

Each step is of a table and of columns: where the schema as it was has not got them, there was nothing to revoke or
spend by them.
"""

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from senogate.backup import schemas


@dataclass(frozen=True, slots=True)
class _Closing:
    """Rows of a `table` that take over `columns` as they are `now`, where a condition holds of `now` and `was`."""

    table: str
    key: str
    columns: tuple[str, ...]
    condition: LiteralString = "true"


_CLOSINGS = (
    _Closing(
        "permit",
        "number",
        ("state", "reason", "decided_at", "decided_by", "revoked_at", "revoked_by"),
        "now.state in ('revoked', 'rejected') and was.state in ('requested', 'granted')",
    ),
    _Closing("client", "client_id", ("secret_sha256", "previous_sha256", "previous_until", "revoked_at")),
    _Closing("client", "client_id", ("certificate_bound",), "now.certificate_bound"),
    _Closing("account", "name", ("password_hash", "disabled_at")),
    _Closing("search_token", "name", ("revoked_at",), "now.revoked_at is not null"),
    _Closing("run_policy", "number", ("withdrawn_at", "withdrawn_by"), "now.withdrawn_at is not null"),
    _Closing(
        "offered_run",
        "run",
        ("decision", "decided_at", "decided_by"),
        "was.decision = 'approved' and now.decision is distinct from 'approved'",
    ),
    _Closing("site_round", "run, round", ("answers",), "now.answers > was.answers"),
    _Closing("member", "number", ("state", "ended_at"), "now.state in ('revoked', 'left')"),
    _Closing("invitation", "number", ("used_at", "withdrawn_at")),
    _Closing(
        "job",
        "number",
        ("state", "reason", "ended_at"),
        "now.state in ('refused', 'cancelled', 'stopped', 'withheld')",
    ),
    _Closing("dataset", "number", ("deleted_at",), "now.deleted_at is not null"),
    _Closing("catalogue_record", "dataset", ("withdrawn_at",), "now.withdrawn_at is not null"),
)
_REMOVALS = {
    "role_grant": "subject, role",
    "issuer": "name, url",
    "webhook": "number",
    "session": "id_sha256",
}
"""Tables of which rows that are gone now stay gone, by their keys."""
_ASKED = ("search_asked", "evaluated_cohort")
"""Tables of what was asked or told, as they are now: of these a row is removed only once it tells nothing any more."""
_SPENT = ("offered_run", "site_round", "privacy_spent", "job", "training_use", "linked_identity")
"""Tables of which rows that are new now are added; those that others name come first."""
_NUMBERED = ("privacy_spent", "job")


def take_over(connection: psycopg.Connection) -> None:
    """Close and spend in `public` what is closed and spent aside; within the caller's transaction."""
    for table in _ASKED:
        schemas.empty(connection, table)
    for table in (*_ASKED, *_SPENT):
        schemas.insert_missing(connection, table)
    for closing in _CLOSINGS:
        _close(connection, closing)
    for table, key in _REMOVALS.items():
        _remove(connection, table, key)
    for table in _NUMBERED:
        schemas.count_on(connection, table, "number")


def _close(connection: psycopg.Connection, closing: _Closing) -> None:
    shared = schemas.shared_columns(connection, closing.table)
    if not {*closing.key.split(", "), *closing.columns} <= set(shared):
        return
    connection.execute(
        sql.SQL("update {was} was set {taken} from {now} now where {same} and {condition}").format(
            was=sql.Identifier("public", closing.table),
            now=sql.Identifier(schemas.ASIDE, closing.table),
            taken=sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("now", name))
                for name in closing.columns
            ),
            same=_same(closing.key),
            condition=sql.SQL(closing.condition),
        )
    )


def _remove(connection: psycopg.Connection, table: str, key: str) -> None:
    if not set(key.split(", ")) <= set(schemas.shared_columns(connection, table)):
        return
    connection.execute(
        sql.SQL("delete from {} was where not exists (select from {} now where {})").format(
            sql.Identifier("public", table), sql.Identifier(schemas.ASIDE, table), _same(key)
        )
    )


def _same(key: str) -> sql.Composed:
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier("was", name), sql.Identifier("now", name))
        for name in key.split(", ")
    )
