"""The worker: follows Orthanc into the index, reads studies, cleans pixels, and has its duties beside.

Orthanc's log is in `following.py`, what is read, cleaned and run in `queues.py`, the rest in `duties.py`.
"""

import asyncio
import signal

from inference.cues import Cues
from inference.duties import Duties
from inference.following import Following
from inference.queues import Queues


class Worker:
    """One worker process. Its parts share the cues."""

    def __init__(self, cues: Cues, following: Following, queues: Queues, duties: Duties) -> None:
        self._cues, self._following, self._queues, self._duties = cues, following, queues, duties

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; a reading that has begun is finished first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        async with self._queues.open():
            taking = [asyncio.create_task(each()) for each in self._queues.taking]
            ended = asyncio.create_task(self._cues.ended.wait())
            loops = self._following.follow, *self._queues.putting, *self._duties.loops
            others = [asyncio.create_task(each()) for each in loops]
            await asyncio.wait([*taking, ended, *others], return_when=asyncio.FIRST_COMPLETED)
            self._end()
            for task in taking:
                task.cancel()
            await asyncio.gather(*taking, *others, return_exceptions=True)
            for task in (*taking, *others):
                if not task.cancelled() and (error := task.exception()):
                    raise error

    def _end(self) -> None:
        self._cues.end()
        self._queues.end()
        self._duties.end()
