"""Whether a site starts with another configuration than the last time; what changed is in the audit trail, by name."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields

import psycopg

from archive.audit import Event, write
from archive.pool import queries
from archive.settings import Settings


def record_configuration(
    connection: psycopg.Connection, settings: Settings, others: Mapping[str, bytes], *, subject: str
) -> list[str]:
    """Record the names of settings, and of `others` by their content, that differ from the last start's; secrets aside.

    `connection` is in no transaction.
    """
    now = {
        name: hashlib.sha256(content).digest() for name, content in {**_public(settings), **others}.items()
    }
    sql = queries("audit.sql")
    with connection.transaction():
        before = {name: bytes(digest) for name, digest in connection.execute(sql["configured"])}
        changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        if changed:
            connection.execute(sql["configure"], {"names": list(now), "digests": list(now.values())})
            connection.execute(sql["deconfigure"], {"names": list(before.keys() - now.keys())})
            detail = {"changed": " ".join(changed) if before else "all"}
            write(connection, Event.CONFIGURATION_CHANGED, subject=subject, detail=detail)
    return changed


def _public(settings: Settings) -> dict[str, bytes]:
    """The settings that are no secrets, as bytes."""
    return {each.name: str(getattr(settings, each.name)).encode() for each in fields(settings) if each.repr}
