"""`senogate federation`: who takes part, what is run, what a site has agreed to, and how models do across sites."""

import typer

app = typer.Typer(no_args_is_help=True, help="Models across sites.")

from senogate.federation import approvals as approvals  # noqa: E402 - it adds its commands to the group
from senogate.federation import evaluation as evaluation  # noqa: E402
from senogate.federation import members as members  # noqa: E402
from senogate.federation import models as models  # noqa: E402
from senogate.federation import runs as runs  # noqa: E402
from senogate.federation import traces as traces  # noqa: E402
