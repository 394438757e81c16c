"""People with a password at this site: the table `account`, passwords kept as Argon2id hashes only (RFC 9106)."""

import asyncio
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from archive.errors import BadRequest, Conflict, NotFound, TooManyRequests
from archive.pool import queries
from archive.subjects import account_subject

MINIMUM_PASSWORD = 12  # characters
MAXIMUM_PASSWORD = 1024
AT_ONCE = 2  # passwords that a process checks at a time: each takes 64 MiB for a tenth of a second
MOST_WAITING = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class Account:
    """A person of the site's own."""

    name: str
    created_at: datetime
    disabled_at: datetime | None


class Passwords:
    """Checks passwords, a few at a time, and as long for a name that is unknown as for one that is not."""

    def __init__(self) -> None:
        self._checking = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def is_right(self, password: str, stored: str | None) -> bool:
        """Whether it is the password of that hash; never, where there is none. Raises TooManyRequests."""
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests(5)
        self._waiting += 1
        try:
            async with self._checking:
                return await asyncio.to_thread(_check, password, stored)
        finally:
            self._waiting -= 1


async def create_account(connection: AsyncConnection, name: str, password: str) -> None:
    """Let a person sign in. Raises BadRequest for a malformed name or short password, Conflict for a name taken."""
    if not _NAME.fullmatch(name):
        raise BadRequest("an account's name takes 1 to 64 letters, digits and ._@-")
    row = {"name": name, "password_hash": hash_password(password)}
    try:
        await connection.execute(queries("account.sql")["add_account"], row)
    except UniqueViolation:
        raise Conflict("an account of this name exists already") from None


async def list_accounts(connection: AsyncConnection) -> list[Account]:
    """All accounts, disabled ones included, by name."""
    cursor = await connection.execute(queries("account.sql")["list_accounts"])
    return [Account(*row) for row in await cursor.fetchall()]


async def set_password(connection: AsyncConnection, name: str, password: str) -> None:
    """Give an account another password and sign it out everywhere. Raises BadRequest, NotFound."""
    row = {"name": name, "password_hash": hash_password(password)}
    await _change(connection, "set_password", row)


async def disable_account(connection: AsyncConnection, name: str) -> None:
    """Let a person in no more, and sign them out everywhere. Raises NotFound."""
    await _change(connection, "disable_account", {"name": name})


async def enable_account(connection: AsyncConnection, name: str) -> None:
    """Let a person in again. Raises NotFound."""
    await _change(connection, "enable_account", {"name": name})


async def find_hash(connection: AsyncConnection, name: str) -> str | None:
    """What is kept of the password of an account that may sign in."""
    cursor = await connection.execute(queries("account.sql")["find_account"], {"name": name})
    row = await cursor.fetchone()
    return row[0] if row else None


def hash_password(password: str) -> str:
    """The Argon2id hash as a PHC string. Raises BadRequest for a password that is too short or too long."""
    if not MINIMUM_PASSWORD <= len(password) <= MAXIMUM_PASSWORD:
        raise BadRequest(
            "a password has %(least)s to %(most)s characters", least=MINIMUM_PASSWORD, most=MAXIMUM_PASSWORD
        )
    return _hasher().hash(_normalized(password))


async def _change(connection: AsyncConnection, statement: str, row: dict[str, str]) -> None:
    cursor = await connection.execute(queries("account.sql")[statement], row)
    if cursor.rowcount == 0:
        raise NotFound("no such account, or it is so already: `senogate account list` shows them")
    ended = {"subject": account_subject(row["name"])}
    await connection.execute(queries("session.sql")["end_sessions_of"], ended)


def _check(password: str, stored: str | None) -> bool:
    nobodys = _nobodys_hash()
    try:
        _hasher().verify(stored or nobodys, _normalized(password[: MAXIMUM_PASSWORD + 1]))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def _normalized(password: str) -> str:
    """One text for what is typed the same on different keyboards (RFC 8265 section 4.2.2)."""
    return unicodedata.normalize("NFC", password)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("")
