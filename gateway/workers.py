"""Decoding in processes of their own: a slow frame stalls nobody, and one that ends its process harms one request.

What no codec has to read is drawn in threads, which spares the way to a process and back.
"""

import asyncio
import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, TypeVarTuple

from anyio import (
    BrokenWorkerProcess,
    CapacityLimiter,
    ClosedResourceError,
    create_task_group,
    fail_after,
    to_process,
)
from starlette.requests import ClientDisconnect, Request

from archive.errors import SenogateError, Unavailable
from archive.pixels.layout import DAMAGED, Undecodable
from gateway.body import Scratch, Segment

FRAME_SECONDS = 60.0
"""How long one frame may take."""
MEMORY = 6 * 1024**3
"""Bytes of address space that one process may take: a codestream that wants more is refused, not the machine."""
WAITING = 64
"""Requests that may wait for a process; more are sent away to come again."""
_NICENESS = 5

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Workers:
    """As many processes, and as many threads, as there are processors, started when they are first needed."""

    def __init__(self, processes: int | None = None) -> None:
        number = processes or os.cpu_count() or 2
        self._running = CapacityLimiter(number)
        self._unlimited = CapacityLimiter(float("inf"))
        self._threads = ThreadPoolExecutor(number, "draw")
        self._drawing = 0

    async def run(
        self,
        request: Request,
        seconds: float,
        function: Callable[[*Arguments], Result],
        *arguments: *Arguments,
    ) -> Result:
        """Call a module's function in a process, until it is done, its time is over or the client has gone.

        Raises what the function raises, Undecodable where the process ended, Unavailable where it took too long
        or too many wait, ClientDisconnect.
        """
        if self._running.statistics().tasks_waiting >= WAITING:
            raise Unavailable("too many frames wait to be decoded")
        result: list[Result] = []
        refusal: list[SenogateError] = []
        async with create_task_group() as group:

            async def watch() -> None:
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            try:
                async with self._running:
                    result.append(await self._call(seconds, function, arguments))
            except SenogateError as error:  # a task group would wrap it
                refusal.append(error)
            group.cancel_scope.cancel()
        if refusal:
            raise refusal[0]
        if not result:
            raise ClientDisconnect
        return result[0]

    async def _call(
        self, seconds: float, function: Callable[..., Result], arguments: tuple[object, ...]
    ) -> Result:
        try:
            with fail_after(seconds):
                return await to_process.run_sync(
                    _limited, function, arguments, cancellable=True, limiter=self._unlimited
                )
        except TimeoutError:
            raise Unavailable("a frame took longer to decode than it may") from None
        except (BrokenWorkerProcess, ClosedResourceError):
            raise Undecodable("the process that decoded a frame ended before it was done") from None
        except MemoryError:
            raise Undecodable("a frame takes more memory to decode than it may") from None

    async def draw(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call a function in a thread: one that takes little time, whatever the bytes are that it is given.

        Raises what the function raises, and Unavailable where too many wait.
        """
        if self._drawing >= WAITING:
            raise Unavailable("too many frames wait to be drawn")
        self._drawing += 1
        try:
            work = partial(draw_now, function, *arguments)
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._drawing -= 1

    async def make(
        self, request: Request, seconds: float, function: Callable[..., bytes | None], *arguments: object
    ) -> list[Segment]:
        """What a function gives, or writes to the path that is its last argument where it gives None."""
        scratch = Scratch()
        data = await self.run(request, seconds, partial(function, *arguments), scratch.path)
        return list(scratch.ranges()) if data is None else [data]


def _limited(function: Callable[..., Result], arguments: tuple[object, ...]) -> Result:
    """Call in a process that is bounded from its first call on."""
    limit, most = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit > MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(_NICENESS)
    return draw_now(function, *arguments)


def draw_now(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Call; what a damaged file makes it raise is Undecodable."""
    try:
        return function(*arguments)
    except (RuntimeError, *DAMAGED):
        raise Undecodable("the stored instance can't be decoded") from None
