"""How whoever acts is named, over all issuers that a site trusts; and whether they may still act.

`client:ID` is a program registered here, `account:NAME` a person with a password here, `ISSUER#SUB` who an issuer
elsewhere vouches for, `search:NAME` a federation's mediator that asks for counts, `administrator` who holds the site's
own signing key.
"""

import re

from psycopg import AsyncConnection

from archive.errors import BadRequest

_SUBJECT = re.compile(r"[^\x00-\x1f\x7f]{1,400}")

ADMINISTRATOR = "administrator"  # the subject of tokens that no client asked for


def check_subject(subject: str) -> None:
    """Raises BadRequest for what names no principal."""
    if not _SUBJECT.fullmatch(subject):
        raise BadRequest("a principal is client:ID, account:NAME or ISSUER#SUB")


def client_subject(client_id: str) -> str:
    return f"client:{client_id}"


def account_subject(name: str) -> str:
    return f"account:{name}"


def external_subject(issuer: str, sub: str) -> str:
    """An issuer's address has no fragment (OpenID Connect Discovery section 2), so two never make the same."""
    return f"{issuer}#{sub}"


def search_subject(name: str) -> str:
    return f"search:{name}"


async def is_active(connection: AsyncConnection, subject: str) -> bool:
    """False once a client or a search token is revoked, an account disabled, or an issuer removed."""
    cursor = await connection.execute("select subject_is_active(%s)", [subject])
    row = await cursor.fetchone()
    return bool(row and row[0])
