"""Signed checkpoints of the audit trail, in its table and in a file beside the site; and the end of old records.

The key that signs is the worker's alone; whoever verifies needs its public half only.
"""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import secrets
from archive.audit import Event, instant, write
from archive.chain import Checkpoint, Fault, Link, Signers, read_records, sign, verify
from archive.errors import BadRequest, ConfigurationError
from archive.instances import sync_folder
from archive.pool import autocommitting, queries
from archive.settings import Settings

INTERVAL = timedelta(hours=1)  # between two signatures
_HEAD = "head.json"
_AT_ONCE = 5000  # records that are held in memory


def private_key(settings: Settings) -> Ed25519PrivateKey:
    """What signs checkpoints. Raises ConfigurationError."""
    folder = str(secrets.audit_key(settings).parent)
    return Ed25519PrivateKey.from_private_bytes(secrets.read_key(folder, secrets.AUDIT_KEY))


def signers(settings: Settings) -> Signers:
    """What verifies them. Raises ConfigurationError."""
    found = secrets.read(settings.secrets, secrets.AUDIT_PUBLIC_KEY)
    try:
        return Signers.from_bytes(found)
    except ValueError:
        path = Path(settings.secrets, secrets.AUDIT_PUBLIC_KEY)
        raise ConfigurationError(f"{path} is no list of keys: restore it from the backup") from None


def rotate(connection: psycopg.Connection, settings: Settings, *, by: str) -> Checkpoint | None:
    """Sign with a new key from now on; its first checkpoint. What the one before signed so far still verifies.

    None where the chain has no record yet. Nobody signs meanwhile. Whoever is killed here leaves a trail that verifies:
    for a moment both keys do.
    """
    known, new = signers(settings), Ed25519PrivateKey.generate()
    public = Path(settings.secrets, secrets.AUDIT_PUBLIC_KEY)
    with connection.transaction():
        connection.execute(queries("audit.sql")["sign_alone"])
        write(connection, Event.KEY_ROTATED, subject=by, detail={"change": "rotated", "use": "audit"})
    with connection.transaction():
        connection.execute(queries("audit.sql")["sign_alone"])
        secrets.write(public, known.followed_by(new.public_key(), 2**63 - 1).to_bytes())
        secrets.write(secrets.audit_key(settings), new.private_bytes_raw())
        first = sign_head(connection, new, settings.audit)
        secrets.write(public, known.followed_by(new.public_key(), first.number if first else 0).to_bytes())
    return first


def sign_head(connection: psycopg.Connection, private: Ed25519PrivateKey, folder: Path) -> Checkpoint | None:
    """Sign the chain as it ends now; None where it has no record yet.

    `connection` is in no transaction. The checkpoint is also written to `folder`.
    """
    with connection.transaction():
        end = connection.execute(queries("audit.sql")["end_of_chain"]).fetchone()
        if end is None:
            return None
        checkpoint = sign(private, end[0], bytes(end[1]))
        _add(connection, checkpoint)
    _keep(folder, checkpoint)
    return checkpoint


def sign_when_due(
    connection: psycopg.Connection, private: Ed25519PrivateKey, folder: Path
) -> Checkpoint | None:
    """Sign where the last signature is an hour old, and no other process is at it."""
    with connection.transaction():
        ((mine,),) = connection.execute(queries("audit.sql")["try_to_sign"]).fetchall()
        (last,) = connection.execute(queries("audit.sql")["last_signed"]).fetchone() or ("",)
        now = datetime.now(UTC)
        if not mine or instant(now - INTERVAL) < last <= instant(now):  # later ones: the clock was ahead
            return None
        return sign_head(connection, private, folder)


def retire(
    connection: psycopg.Connection, private: Ed25519PrivateKey, folder: Path, before: datetime
) -> Path | None:
    """Move the records older than `before` from the table to a file in `folder`; None where there are none.

    The file is durable, and a signed checkpoint closes the records off, before they go; the last one always stays.
    `connection` is in no transaction.
    """
    with connection.transaction():
        moment = {"moment": instant(before)}
        last = connection.execute(queries("audit.sql")["last_before"], moment).fetchone()
        if last is None:
            return None
        closing = sign(private, last[0], bytes(last[1]), closes=True)
        file = folder / f"records-to-{last[0]:012}.ndjson"
        before_them = [each for each in checkpoints(connection) if each.closes][-1:]
        records = map(link_line, links(connection, last=last[0]))
        ends = map(checkpoint_line, [*before_them, closing])
        _write_lines(file, itertools.chain(ends, records))
        _add(connection, closing)
        connection.execute(queries("audit.sql")["retire"], {"number": last[0]})
    return file


def attend(settings: Settings) -> None:
    """What is due every hour: a signature, and the end of records that are older than the site keeps in its table.

    Raises Unavailable, OSError, ConfigurationError without the key.
    """
    private = private_key(settings)
    with autocommitting(settings.database_url) as connection:
        signed = sign_when_due(connection, private, settings.audit)
        if signed and settings.audit_retention_days:
            today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            before = today - timedelta(days=settings.audit_retention_days)
            retire(connection, private, settings.audit, before)


def find_faults(connection: psycopg.Connection, known: Signers, kept: list[Checkpoint]) -> list[Fault]:
    """What is wrong with the trail, by its own checkpoints and those `kept` elsewhere."""
    with _one_moment(connection):
        return list(verify(links(connection), [*checkpoints(connection), *kept], known))


def find_faults_of_file(path: Path, known: Signers) -> list[Fault]:
    """What is wrong with records that were moved to a file, by the checkpoints in it. Raises BadRequest."""
    with path.open(encoding="utf-8") as lines:
        found, signed = read_records(lines)
    if not found or not signed:
        raise BadRequest("the file holds no records with a checkpoint")
    return list(verify(found, signed, known))


def links(connection: psycopg.Connection, *, after: int = 0, last: int | None = None) -> Iterator[Link]:
    """The records in order, few at a time; the connection is in a transaction."""
    with connection.cursor("audit_links") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(queries("audit.sql")["links"], {"after": after, "last": last or 2**63 - 1})
        for number, hashed, content in cursor:
            yield Link(number, bytes(hashed), content)


def checkpoints(connection: psycopg.Connection) -> list[Checkpoint]:
    """All that were signed, the first first."""
    rows = connection.execute(queries("audit.sql")["checkpoints"])
    return [
        Checkpoint(row[0], bytes(row[1]), row[2], row[3], row[4], bytes(row[5])) for row in rows.fetchall()
    ]


def kept_head(folder: Path) -> Checkpoint | None:
    """The checkpoint that was last written beside the site. Raises BadRequest where the file is none."""
    try:
        text = (folder / _HEAD).read_text("utf-8")
    except FileNotFoundError:
        return None
    return read_checkpoint(text)


def read_checkpoint(text: str) -> Checkpoint:
    """A signed head, as `senogate audit head` prints it. Raises BadRequest."""
    try:
        return Checkpoint.from_json(json.loads(text))
    except (ValueError, RecursionError):
        raise BadRequest("it is no signed head of an audit trail") from None


def all_lines(connection: psycopg.Connection) -> Iterator[str]:
    """The whole trail with all its checkpoints, as lines that verify by themselves."""
    with _one_moment(connection):
        yield from map(checkpoint_line, checkpoints(connection))
        yield from map(link_line, links(connection))


def link_line(link: Link) -> str:
    """A record as a line of a file."""
    return _line({"number": link.number, "hash": link.hash.hex(), "content": link.content})


def checkpoint_line(checkpoint: Checkpoint) -> str:
    """A checkpoint as a line of a file of records."""
    return _line({"checkpoint": checkpoint.to_json()})


def _line(members: Mapping[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False) + "\n"


def _add(connection: psycopg.Connection, checkpoint: Checkpoint) -> None:
    values = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    connection.execute(queries("audit.sql")["add_checkpoint"], values)


def _write_lines(target: Path, lines: Iterable[str]) -> None:
    """Write a file, readable by its owner alone, whole or not at all, and durably."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    sync_folder(target.parent)


def _keep(folder: Path, checkpoint: Checkpoint) -> None:
    secrets.write(folder / _HEAD, (json.dumps(checkpoint.to_json()) + "\n").encode())


@contextmanager
def _one_moment(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction that sees the table as it is when it begins."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        yield
