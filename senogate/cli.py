"""The command line. Exit status 2 for wrong usage, 1 for a failure, 0 otherwise."""

import os
import sys

import typer

from archive import logs
from archive.errors import SenogateError
from senogate import exams, operation, recovery, services
from senogate.groups import Commands
from senogate.operator import err

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False
)
for command in (
    *(operation.up, operation.down, operation.status, operation.doctor),
    *(exams.send, exams.deidentify, exams.phantom, operation.token, exams.infer),
    *(recovery.reindex, recovery.restore, recovery.rollback),
):
    app.command()(command)
app.add_typer(services.app)


def main() -> None:
    """Run the command line; our own errors become one line and exit status 1."""
    try:
        logs.configure(*(os.environ.get(f"SENOGATE_LOG_{name}", "") for name in ("LEVEL", "FORMAT")))
        app()
    except SenogateError as error:
        err.print(f"senogate: {error}", markup=False)
        sys.exit(1)
    except PermissionError as error:
        err.print(f"senogate: this user may not use {error.filename or 'it'}", markup=False)
        sys.exit(1)
