"""A job's own process: opens images, runs a package or measures, and answers of each exam. It is started for one job.

It has no key of the site, no way to its database, no environment of the worker's, no file but those of its images and
package, and, before it opens the first image, no way to connect anywhere. What it answers stays in the worker, which
makes aggregates of it.
"""

import argparse
import logging
import os
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import walk_tb
from types import TracebackType

from archive.errors import SenogateError
from archive.loading import loading
from federation.jobs.confinement import limit
from federation.jobs.files import allow_only


def main() -> None:
    """Do the job that the socket which is the first argument brings."""
    arguments = _arguments()
    limit(arguments.seconds, arguments.memory)
    allow_only([arguments.folder, *arguments.images])
    sys.excepthook = _tell
    logging.basicConfig(level="ERROR", format="%(levelname)s %(name)s: %(message)s")
    warnings.filterwarnings("ignore", module="pydicom")  # their texts can quote values
    connection = Connection(arguments.socket)
    try:
        serve(connection, arguments.folder, arguments.threads)
    except SenogateError as error:
        from federation.jobs.messages import Failure, send

        send(connection, Failure(type(error).__name__, str(error)))
    except (EOFError, OSError):
        os._exit(0)


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """What ended the process, and where; not its text, which can quote an image's values in the worker's log."""
    where = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in walk_tb(traceback)]
    print(f"a job's process ends: {kind.__name__} at {' '.join(where)}", file=sys.stderr)


def serve(connection: Connection, folder: str, threads: int) -> None:
    """Answer each exam of the order in turn. Its libraries begin threads, which are held to the rules that are made."""
    with loading():
        from federation.jobs.serving import answer

    answer(connection, folder, threads)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=int)
    parser.add_argument("--folder", default="")
    parser.add_argument("--images", nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=14_400)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
