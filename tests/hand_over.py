"""Run as a program by `tests/shell.py`: hands its arguments, folder, environment and files over, and waits for the end.

It imports nothing of ours: Python without its site packages starts in 20 ms.
"""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    socket.send_fds(connection, [b"."], [0, 1, 2])
    connection.sendall(json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode())
    connection.shutdown(socket.SHUT_WR)
    sys.exit(connection.recv(1)[0])
