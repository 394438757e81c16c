"""Model processes that misbehave, for the tests of what hosts them: `python -m tests.unit.model_processes SOCKET`.

An order's folder says what becomes of it.
"""

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

from inference.execution.messages import Order, Reply


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    while True:
        order = Order.from_bytes(connection.recv_bytes())
        if order.folder == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif order.folder == "hang":
            continue
        elif order.folder == "late":
            threading.Timer(0.2, send, [connection, order]).start()
        else:
            send(connection, order)


def send(connection: Connection, order: Order) -> None:
    connection.send_bytes(Reply(order.number, answer=order.folder, device=str(os.getpid())).to_bytes())


if __name__ == "__main__":
    main()
