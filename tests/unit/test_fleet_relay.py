"""The hub's side of a fleet call, where a membership ends while the call begins."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from archive.errors import Forbidden
from archive.members import Member, State
from gateway.fleet import relay
from gateway.superlink import SuperLink

MEMBER = Member(1, "north", State.ACTIVE, bytes(32), b"", datetime.now(UTC))


@pytest.mark.parametrize("now", [replace(MEMBER, state=State.REVOKED), replace(MEMBER, number=2), None])
def test_who_is_revoked_between_the_check_and_the_watch_is_not_carried(
    monkeypatch: pytest.MonkeyPatch, now: Member | None
) -> None:
    """PostgreSQL told of it before anything of the call was under way that could be cut."""
    carried: list[str] = []

    async def carry(request: Any, services: Any, member: Member, call: str) -> Any:
        carried.append(call)
        return lambda *_: asyncio.sleep(0)

    async def find(name: str) -> Member | None:
        return now

    memberships = SimpleNamespace(watching=lambda member: nullcontext(), find=find)
    services = SimpleNamespace(superlink=SuperLink(), memberships=memberships)
    monkeypatch.setattr(relay, "services_of", lambda request: services)
    monkeypatch.setattr(relay, "_carry", carry)
    call: Any = relay.Relaying(SimpleNamespace(), MEMBER, "pull-messages")
    with pytest.raises(Forbidden):
        asyncio.run(call({}, None, None))
    assert not carried
