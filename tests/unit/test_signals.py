"""A signal that ends a site comes at any moment."""

import subprocess
import sys

WHILE_PRINTING = """
import io, os, signal, sys
from senogate import operation

class Screen(io.RawIOBase):
    def writable(self):
        return True
    def fileno(self):
        return 1
    def write(self, data):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
        return len(data)

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Screen()))
with operation._ending_on_signals():
    print("a line", flush=True)
    sys.exit(3)
"""


def test_one_that_comes_while_a_line_is_printed_ends_in_order() -> None:
    """Python's buffers refuse to be entered again by a handler of the same thread."""
    done = subprocess.run([sys.executable, "-c", WHILE_PRINTING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "stopping\n"), done.stderr
