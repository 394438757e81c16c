"""Who takes part in a hub's federation: invited once, approved by a person, and out at once when either side says so.

PostgreSQL tells of each change on the channel `senogate_members`, whose payload is the member's name.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg import AsyncConnection

from archive.errors import Conflict, Forbidden, NotFound
from archive.federation_keys import fingerprint, load_public, node_subject
from archive.pool import queries

CHANNEL = "senogate_members"
_NO_MEMBER = (
    "no member of this name, or it has none of the states that this is for: `senogate federation members`"
)


class State(StrEnum):
    """How far a membership is."""

    REQUESTED = "requested"  # it waits for a person's approval
    ACTIVE = "active"
    REVOKED = "revoked"  # by the hub
    LEFT = "left"  # by the site


LIVE = (State.REQUESTED, State.ACTIVE)


@dataclass(frozen=True, slots=True)
class Member:
    """A site's membership. `site_key` is Ed25519, 32 bytes; `node_key` its SuperNode's as Flower sends it (PEM).

    A site that left, or was revoked, and came back has several, of numbers that rise.
    """

    number: int
    name: str
    state: State
    site_key: bytes
    node_key: bytes
    requested_at: datetime
    approved_at: datetime | None = None
    approved_by: str | None = None
    ended_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.site_key, self.node_key)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What the site's tokens and statements are verified with."""
        return load_public(self.site_key)

    @property
    def node_subject(self) -> str:
        """The `sub` of its tokens."""
        return node_subject(self.node_key)


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation that nobody has used yet."""

    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What a site asks for with the code of an invitation; its signatures have been verified."""

    code: str = field(repr=False)
    name: str
    site_key: bytes
    node_key: bytes


def active_members(connection: psycopg.Connection) -> list[Member]:
    """Those who take part now, by name."""
    rows = connection.execute(
        queries("members.sql")["members"], {"name": None, "states": [State.ACTIVE]}
    ).fetchall()
    return [_member(row) for row in rows]


async def list_members(connection: AsyncConnection, name: str | None = None) -> list[Member]:
    """All memberships, or those of a name, by name and the newest first; ended ones included."""
    values = {"name": name, "states": None}
    return [_member(row) for row in await (await _execute(connection, "members", values)).fetchall()]


async def list_invited(connection: AsyncConnection) -> list[Invited]:
    """The invitations that can still be used, by name."""
    return [Invited(*row) for row in await (await _execute(connection, "invitations", {})).fetchall()]


async def invite(connection: AsyncConnection, name: str, code: str, expires_at: datetime, *, by: str) -> None:
    """Keep an invitation's hash, in place of one of this name that nobody has used.

    Raises Conflict where a site of this name is a member, or has asked to be one.
    """
    if any(member.state in LIVE for member in await list_members(connection, name)):
        raise Conflict(
            "%(name)s takes part, or has asked to: `senogate federation revoke %(name)s` comes first",
            name=name,
        )
    await _execute(connection, "withdraw", {"name": name})
    row = {"code": _hash(code), "name": name, "by": by, "expires_at": expires_at}
    await _execute(connection, "invite", row)


async def request(connection: AsyncConnection, asked: Asked) -> Member:
    """Use an invitation, in the caller's transaction: its site has asked, and waits for approval.

    The same site with the same keys may ask again, for it may not have heard the answer. Raises Forbidden for a code
    that is good for nothing or for another name, Conflict for one that another has used, or for keys that are taken.
    """
    found = await (await _execute(connection, "invitation", {"code": _hash(asked.code)})).fetchone()
    if found is None:
        raise Forbidden("the invitation is not known here")
    number, name, is_timely, is_used, is_withdrawn = found
    if name != asked.name:
        raise Forbidden("the invitation is for another name")
    if is_used:
        return await _again(connection, number, asked)
    if is_withdrawn:
        raise Forbidden("the invitation was withdrawn: ask for another")
    if not is_timely:
        raise Forbidden("the invitation has expired: ask for another")
    return await _take_up(connection, number, asked)


async def _again(connection: AsyncConnection, invitation: int, asked: Asked) -> Member:
    row = await (await _execute(connection, "of_invitation", {"invitation": invitation})).fetchone()
    member = _member(row) if row else None
    is_same = member and (member.site_key, member.node_key) == (asked.site_key, asked.node_key)
    if not member or not is_same or member.state not in LIVE:
        raise Conflict("the invitation was used already: ask for another")
    return member


async def _take_up(connection: AsyncConnection, invitation: int, asked: Asked) -> Member:
    row: dict[str, Any] = {"name": asked.name, "site_key": asked.site_key, "node_key": asked.node_key}
    taken = await (await _execute(connection, "of_keys", row)).fetchone()
    if taken and taken[0]:
        raise Conflict(
            "these keys are another site's, or were revoked: make new ones, `senogate federation leave`"
        )
    await _execute(connection, "use", {"invitation": invitation})
    if not (await _execute(connection, "request", row | {"invitation": invitation})).rowcount:
        raise Conflict("a site of this name or of these keys takes part, or has asked to")
    made = await (await _execute(connection, "of_invitation", {"invitation": invitation})).fetchone()
    assert made
    return _member(made)


async def approve(connection: AsyncConnection, name: str, shown: str, *, by: str) -> Member:
    """Let a site take part whose fingerprint a person has compared; white space and case in it count for nothing.

    Raises NotFound where it has not asked, Conflict where its keys have another fingerprint.
    """
    asking = [each for each in await list_members(connection, name) if each.state == State.REQUESTED]
    if not asking:
        raise NotFound(_NO_MEMBER)
    if not hmac.compare_digest(_bare(asking[0].fingerprint), _bare(shown)):
        raise Conflict(
            "its keys have another fingerprint: either it was read wrongly, or somebody else used the invitation"
        )
    if not (await _execute(connection, "approve", {"number": asking[0].number, "by": by})).rowcount:
        raise NotFound(_NO_MEMBER)
    return (await list_members(connection, name))[0]


async def end(connection: AsyncConnection, name: str, state: State) -> None:
    """Let a site take part no more: `revoked` by the hub, or `left` by itself. Raises NotFound.

    A site that was invited and has not asked yet can't any more.
    """
    withdrawn = (await _execute(connection, "withdraw", {"name": name})).rowcount
    ended = (await _execute(connection, "end", {"name": name, "state": state})).rowcount
    if not withdrawn and not ended:
        raise NotFound(_NO_MEMBER)


def _member(row: Sequence[Any]) -> Member:
    number, name, state, site_key, node_key, *times = row
    return Member(number, name, State(state), bytes(site_key), bytes(node_key), *times)


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()


def _bare(text: str) -> bytes:
    return "".join(text.split()).lower().encode("utf-8", "replace")


async def _execute(connection: AsyncConnection, name: str, values: dict[str, Any]) -> psycopg.AsyncCursor:
    return await connection.execute(queries("members.sql")[name], values)
