"""The rules of participation: a text that who asks for data agrees to. Each version stays as it was published."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection

from archive.audit import Event, write_async
from archive.errors import BadRequest, Conflict, NotFound
from archive.pool import queries

LONGEST = 200_000  # characters
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


@dataclass(frozen=True, slots=True)
class Rules:
    """A version of the rules; `sha256` is that of the text in UTF-8, in hexadecimal."""

    number: int
    version: str
    text: str
    sha256: str
    published_at: datetime
    published_by: str


async def publish(connection: AsyncConnection, version: str, text: str, *, by: str) -> str:
    """Make a version the one that applications agree to from now on; its SHA-256.

    Agreements to earlier versions stay as they are. Raises BadRequest, Conflict where the version exists.
    """
    if not _VERSION.fullmatch(version):
        raise BadRequest("a version takes 1 to 32 letters, digits and ._-")
    text = text.replace("\r\n", "\n").strip()
    if not text or len(text) > LONGEST or any(ord(each) < 0x20 and each not in "\n\t" for each in text):
        raise BadRequest(
            "rules are a text of %(most)s characters at most, without control characters", most=LONGEST
        )
    sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
    row = {"version": version, "text": text, "sha256": sha256, "by": by}
    async with connection.transaction():
        if not (await connection.execute(queries("applications.sql")["publish_rules"], row)).rowcount:
            raise Conflict("this version of the rules was published already")
        detail = {"version": version, "sha256": sha256}
        await write_async(connection, Event.RULES_PUBLISHED, subject=by, detail=detail)
    return sha256


async def list_rules(connection: AsyncConnection) -> list[Rules]:
    """All versions, the newest first."""
    rows = await connection.execute(queries("applications.sql")["list_rules"], {"version": None})
    return [Rules(*row) for row in await rows.fetchall()]


async def newest(connection: AsyncConnection) -> Rules | None:
    """The version to agree to; None where the site has no rules."""
    rows = await connection.execute(queries("applications.sql")["newest_rules"])
    row = await rows.fetchone()
    return Rules(*row) if row else None


async def show(connection: AsyncConnection, version: str) -> Rules:
    """Raises NotFound."""
    rows = await connection.execute(queries("applications.sql")["list_rules"], {"version": version})
    if (row := await rows.fetchone()) is None:
        raise NotFound("no such version of the rules")
    return Rules(*row)
