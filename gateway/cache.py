"""What was made lately and may be asked for again, up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Hashable


class Cache:
    """Bytes by key; the one asked for longest ago makes way."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._size = 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable) -> bytes | None:
        """None where it is not, or no longer, there."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Hashable, data: bytes) -> None:
        """Keep it, unless it alone would take a quarter of all."""
        if len(data) > self._maximum // 4:
            return
        self._size += len(data) - len(self._kept.pop(key, b""))
        self._kept[key] = data
        while self._size > self._maximum:
            self._size -= len(self._kept.popitem(last=False)[1])
