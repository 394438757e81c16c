"""A site's way out ends when the site leaves."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from archive.federation_roles import SITE, Joined, begin_to_leave, write_role
from archive.settings import Settings
from gateway.fleet import outward

JOINED = Joined("north", "https://hub.test", "hub", "A" * 43 + "=", "2026-03-01T12:00:00+00:00")


@pytest.mark.parametrize(
    "does",
    [
        begin_to_leave,
        lambda settings: write_role(settings, Joined("n", "", "", "", "")),
        lambda settings: (settings.federation / SITE).write_text("{"),
    ],
)
def test_the_way_out_is_shut(tmp_path, monkeypatch, does):
    settings = Settings(home=tmp_path)
    write_role(settings, JOINED)
    server: Any = SimpleNamespace(should_exit=False, force_exit=False)
    monkeypatch.setattr(outward, "_LOOK", 0)

    async def watch() -> None:
        following = asyncio.create_task(outward.end_with(settings, JOINED, server))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not server.should_exit
        does(settings)
        await asyncio.wait_for(following, 60)

    asyncio.run(watch())
    assert server.should_exit and server.force_exit
