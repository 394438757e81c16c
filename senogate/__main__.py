"""A process of the command line: it begins without searches for garbage, and ends without one."""

import atexit
import gc

from archive.loading import loading


def main() -> None:
    """Load the command line and run it."""
    atexit.register(gc.freeze)  # else the interpreter looks through all that was loaded once more as it ends
    with loading():
        from senogate import cli
    cli.main()


if __name__ == "__main__":  # processes that decode load it by another name
    main()
