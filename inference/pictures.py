"""From chosen instances to prepared pictures, decoded in threads, never many more than are taken.

The codecs and numpy let go of Python's lock while they work, so threads use every core and nothing is copied between
processes. The process itself is one that may die (`inference.execution`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import TypeVar

from inference.errors import ReadingFailed
from inference.exam import Chosen
from inference.instance import Instance
from inference.picture import Picture, View
from inference.pixels import read_pictures
from inference.preprocess import Parameters, prepare
from inference.trace import Trace

AHEAD = 4
"""Pictures that are decoded or prepared before they are taken, at most."""
MOST_BYTES = 6 * 1024**3
"""What the prepared pictures of one reading may take; a study that needs more is not read."""

Steps = Sequence[tuple[str, Parameters]]
T = TypeVar("T")


def prepared(chosen: Chosen, steps: Steps, trace: Trace, pool: Executor | None) -> Iterator[Picture]:
    """The pictures, ready for the assembler, in the order of `chosen` and their frames. Raises ReadingFailed."""
    held = 0
    for picture in _ordered(pool, _works(chosen, steps, trace)):
        held += picture.pixels.nbytes + (0 if picture.mask is None else picture.mask.nbytes)
        if held > MOST_BYTES:
            raise ReadingFailed("the study's images take more memory than a reading may")
        yield picture


def _works(chosen: Chosen, steps: Steps, trace: Trace) -> Iterator[Callable[[], Picture]]:
    """What is to be done for each picture; frames of one instance are decoded in turn, as these are asked for."""

    def prepare_one(picture: Picture) -> Picture:
        with trace.part("preprocess"):
            return prepare(picture, steps)

    def read_one(one: Instance, view: View) -> Picture:
        trace.read(one.sop_instance_uid, one.part)
        return prepare_one(next(_decoded(one, view, trace)))

    for one, view in chosen:
        if one.number_of_frames == 1:
            yield partial(read_one, one, view)
        else:
            trace.read(one.sop_instance_uid, one.part)
            yield from (partial(prepare_one, picture) for picture in _decoded(one, view, trace))


def _decoded(one: Instance, view: View, trace: Trace) -> Iterator[Picture]:
    frames = read_pictures(one, view)
    while True:
        with trace.part("decode"):
            picture = next(frames, None)
        if picture is None:
            return
        yield picture


def _ordered(pool: Executor | None, works: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the works give, in their order, done by the pool a few ahead; without a pool one by one."""
    if pool is None:
        yield from (work() for work in works)
        return
    under_way: deque[Future[T]] = deque()
    try:
        for work in works:
            under_way.append(pool.submit(work))
            if len(under_way) >= AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for left in under_way:
            left.cancel()
