"""Connections on which nothing is said: the kernel keeps them from Orthanc.

Orthanc takes associations one after the other, and waits 30 s for what each asks for (PS3.8 9.2): a few connections
that say nothing would hold up all senders for minutes.
"""

import os
import socket
from contextlib import suppress

_MOST = 600  # seconds after which the kernel hands a silent connection over all the same


def hold_back_silent_ones() -> int:
    """Have every TCP port that this process listens on give out connections only once something was said on them.

    The number of these ports (TCP_DEFER_ACCEPT of tcp(7)).
    """
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), _socket(int(name)) as opened:
            if opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _MOST)
                found += 1
    return found


def _socket(descriptor: int) -> socket.socket:
    """A second handle of a socket. Raises OSError for what is none."""
    duplicate = os.dup(descriptor)
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise
