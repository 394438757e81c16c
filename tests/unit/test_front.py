"""The portal's front (gateway.portal.front)."""

import asyncio
from typing import Any, cast

import pytest

from gateway.portal import front


def test_what_is_not_counted_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One deadline for all that a front counts."""

    async def never(connection: object) -> object:
        return await asyncio.Event().wait()

    async def at_once(connection: object) -> object:
        return 7

    monkeypatch.setattr(front, "PATIENCE", 0.1)
    wanted = {"newest": at_once, "room": never, "stewardship": at_once, "waiting": at_once}
    found = asyncio.run(front._count(cast(Any, None), wanted))
    assert found == {"newest": 7, "uncounted": ["Worklist", "Waiting for a steward"]}
