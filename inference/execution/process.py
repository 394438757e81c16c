"""The model process: takes orders on a socket, reads studies, and answers, until the other end is closed.

It holds no key of the site, no way to its database and none to Orthanc: it reads files and says what it found.
"""

import argparse
import logging
import os
import resource
import signal
import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from archive.loading import loading

with loading():
    from inference.devices import Device, Kind
    from inference.execution.engine import Engine
    from inference.execution.messages import Order


def main() -> None:
    """Serve the socket that is the first argument."""
    arguments = _arguments()
    _bound(arguments.memory)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    warnings.filterwarnings("ignore", module="pydicom")  # their texts can quote values
    connection = Connection(arguments.socket)
    home = Path(arguments.home)
    device = Device(Kind(arguments.device), arguments.gpu, home / "models" / ".engines")
    engine = Engine(home, device, arguments.threads)
    serve(connection, engine, arguments.readings)


def serve(connection: Connection, engine: Engine, readings: int) -> None:
    """Answer each order, `readings` at once; when there is nobody to answer any more the process ends."""
    sending = threading.Lock()

    def answer(order: bytes) -> None:
        reply = engine.read(Order.from_bytes(order)).to_bytes()
        with sending:
            connection.send_bytes(reply)

    with ThreadPoolExecutor(readings, "read") as pool:
        while True:
            try:
                order = connection.recv_bytes()
            except (EOFError, OSError):
                os._exit(0)
            pool.submit(answer, order).add_done_callback(_end_if_it_failed)


def _end_if_it_failed(reading: "Future[None]") -> None:
    """What nothing foresaw ends the process, as a crash does: whoever waits for an answer is told at once."""
    if error := reading.exception():
        logging.critical("a reading has ended the model process: %s", type(error).__name__)
        os._exit(os.EX_SOFTWARE)


def _bound(memory: int) -> None:
    """No core files, which would hold images; at most so many bytes of data, where that is not 0."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # of a terminal: the worker ends this process when it ends itself
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=int)
    parser.add_argument("--device", default=Kind.AUTO)
    parser.add_argument("--gpu", type=int, default=0)
    parser.add_argument("--home", default=".")
    parser.add_argument("--readings", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
