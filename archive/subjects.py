"""How whoever acts is named, over all issuers that a site trusts; and whether they may still act.

`client:ID` is a program registered here, `account:NAME` a person with a password here, `ISSUER#SUB` who an issuer
elsewhere vouches for, `administrator` who holds the site's own signing key.
"""

from psycopg import AsyncConnection

ADMINISTRATOR = "administrator"  # the subject of tokens that no client asked for


def client_subject(client_id: str) -> str:
    return f"client:{client_id}"


def account_subject(name: str) -> str:
    return f"account:{name}"


def external_subject(issuer: str, sub: str) -> str:
    """An issuer's address has no fragment (OpenID Connect Discovery section 2), so two never make the same."""
    return f"{issuer}#{sub}"


async def is_active(connection: AsyncConnection, subject: str) -> bool:
    """False once a client is revoked, an account disabled, or an issuer removed."""
    cursor = await connection.execute("select subject_is_active(%s)", [subject])
    row = await cursor.fetchone()
    return bool(row and row[0])
