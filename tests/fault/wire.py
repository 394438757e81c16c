"""A network between sender and site that is slow, or breaks off: a relay in front of a port."""

import random
import socket
import threading
from contextlib import closing, suppress

_BLOCK = 8192


class Wire:
    """Relays connections to `port`: `pace` bytes a second each way, broken off after about `length` bytes.

    Neither where it is 0. Use as a context manager; `port` is where it listens then.
    """

    def __init__(self, port: int, chance: random.Random, pace: int = 0, length: int = 0) -> None:
        self._target = port
        self._chance = chance
        self._pace = pace
        self._length = length
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> "Wire":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                most = self._chance.randrange(self._length) + 1 if self._length else 0
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other, most), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, most: int) -> None:
        """Pass on what one says to the other, until either has ended or the wire breaks."""
        passed = 0
        with closing(one), closing(other):
            with suppress(OSError):
                while not (most and passed >= most) and (block := one.recv(_BLOCK)):
                    other.sendall(block)
                    passed += len(block)
                    if self._pace:
                        self._ended.wait(len(block) / self._pace)
            for end in (one, other):  # whoever waits for either learns of it
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
