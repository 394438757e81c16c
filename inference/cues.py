"""What the loops of a worker wait for: that it is to end, and that something is to be looked at at once."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cues:
    """`ended`: the worker is to end. `changed`: something came, was read or was asked for."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        """Wake every loop, for it to end."""
        self.ended.set()
        self.changed.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the worker is to end."""
        await pause(self.ended, seconds)


async def pause(ended: asyncio.Event, seconds: float) -> None:
    """Wait, but no longer than until the event is set."""
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except TimeoutError:
        return
