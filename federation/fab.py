"""What Flower runs at the hub for a run: a bundle whose only code is an import of the installed program.

Sites take it and do not unpack it: what they run is their own program, whose hash the manifest names.
"""

from flwr.cli.build import build_fab_from_files

from federation.manifest import RUN

_PROJECT = """\
[project]
name = "run"
version = "1.0.0"
description = "A run of a federation"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "senogate"

[tool.flwr.app.components]
serverapp = "bundle:app"
clientapp = "bundle:app"

[tool.flwr.app.config]
run = ""
"""
_CODE = '''"""The program that is installed at the hub."""

from federation.hub.server import app

__all__ = ["app"]
'''


def build() -> bytes:
    """The bundle, byte for byte the same each time; which run it is for is told beside it (`configuration`)."""
    made, _ = build_fab_from_files(
        {"pyproject.toml": _PROJECT.encode(), "bundle.py": _CODE.encode()},
    )
    return bytes(made)


def configuration(run: str) -> dict[str, str]:
    """What is told beside the bundle. Raises ValueError for what is no run's identifier."""
    if not RUN.fullmatch(run):
        raise ValueError("this is no run's identifier")
    return {"run": run}
