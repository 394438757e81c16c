"""A load that costs little: clients in processes of their own that send bytes made beforehand and count what comes.

Python's own HTTP clients take as long for a small answer as the fastest server does, and threads of one process
wait for one another: what would be measured is the client.
"""

import multiprocessing
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

_BUFFER = 1 << 20  # bytes
_HEAD = 64 * 1024  # bytes
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a client got: the seconds that each answer took, and the bytes of all bodies."""

    waits: list[float]
    received: int


def request_bytes(host: str, path: str, headers: Mapping[str, str]) -> bytes:
    """A GET request as it goes over the wire."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode("ascii")


def put_load(
    address: tuple[str, int], request: Callable[[int], bytes], clients: int, seconds: float
) -> tuple[list[Answers], float]:
    """Ask for `seconds` with `clients` at once, the n-th of them for requests n, n + clients and so on.

    Returns what each got, and the seconds that it took.
    """
    context = multiprocessing.get_context("fork")
    together = context.Barrier(clients + 1, timeout=60)
    pipes = [context.Pipe(duplex=False) for _ in range(clients)]
    processes = [
        context.Process(
            target=_work, args=(Client(address, request, number, clients), seconds, together, pipe)
        )
        for number, (_, pipe) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, pipe in pipes:
        pipe.close()  # so that the other end tells when a client ends before it is done
    together.wait()
    began = time.perf_counter()
    answers = [reader.recv() for reader, _ in pipes]
    wall = time.perf_counter() - began
    for process in processes:
        process.join()
    return answers, wall


@dataclass(frozen=True, slots=True)
class Client:
    """Where a client asks, for what, and which of the requests are its own."""

    address: tuple[str, int]
    request: Callable[[int], bytes]
    first: int
    step: int


def _work(client: Client, seconds: float, together: Barrier, result: Connection) -> None:
    waits: list[float] = []
    received, number = 0, client.first
    reader = Reader(client.address)
    together.wait()
    deadline = time.perf_counter() + seconds
    while (began := time.perf_counter()) < deadline:
        received += reader.ask(client.request(number))
        waits.append(time.perf_counter() - began)
        number += client.step
    reader.close()
    result.send(Answers(waits, received))


class Reader:
    """Takes answers off a connection, one after another, and keeps nothing of their bodies."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._buffer = memoryview(bytearray(_BUFFER))
        self._connect()

    def _connect(self) -> None:
        self._connection = socket.create_connection(self._address, timeout=120)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ahead = b""  # what came after the part last looked at

    def close(self) -> None:
        self._connection.close()

    def ask(self, request: bytes) -> int:
        """The bytes of the answer's body. Raises ConnectionError unless it is a whole one with status 200."""
        self._connection.sendall(request)
        head = self._until(_END)
        status, *lines = head.lower().split(b"\r\n")
        if status[9:12] != b"200":
            raise ConnectionError(f"answered with {status[9:12].decode('latin-1')}")
        fields = dict(line.split(b":", 1) for line in lines if b":" in line)
        if b"content-length" in fields:
            return self._skip(int(fields[b"content-length"]))
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            return self._skip_chunks()
        return self._skip_all()

    def _skip_all(self) -> int:
        """An answer that ends with its connection (RFC 9112 section 6.3)."""
        total = len(self._ahead)
        while count := self._connection.recv_into(self._buffer, _BUFFER):
            total += count
        self.close()
        self._connect()
        return total

    def _skip_chunks(self) -> int:
        total = 0
        while length := int(self._until(b"\r\n"), 16):
            total += self._skip(length)
            self._skip(2)
        self._until(b"\r\n")
        return total

    def _until(self, mark: bytes) -> bytes:
        while (end := self._ahead.find(mark)) < 0:
            count = self._connection.recv_into(self._buffer, _HEAD)
            if not count:
                raise ConnectionError("the connection was closed")
            self._ahead += bytes(self._buffer[:count])
        found, self._ahead = self._ahead[:end], self._ahead[end + len(mark) :]
        return found

    def _skip(self, length: int) -> int:
        missing = length - len(self._ahead)
        self._ahead = self._ahead[length:]
        while missing > 0:
            count = self._connection.recv_into(self._buffer, min(missing, _BUFFER))
            if not count:
                raise ConnectionError("the connection was closed")
            missing -= count
        return length
