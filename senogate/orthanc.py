"""The Orthanc that a site runs: its release, and what a site lays over orthanc.json."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archive.errors import ConfigurationError
from archive.settings import Settings
from orthanc_plugin import fitness
from senogate.process import Program

_PATIENCE = 30  # seconds for it to say its version
_VERSION = re.compile(r"\A\S*Orthanc ([\w.]+)")


def installed_version(program: Program) -> str:
    """What the Orthanc that a site would run says that it is, such as 1.12.7; empty where it does not say.

    Raises OSError or subprocess.SubprocessError where it does not run.
    """
    command = [*program.command[:-1], "--version"]  # in the place of its configuration
    told = subprocess.run(
        command, env=dict(program.environment), capture_output=True, text=True, timeout=_PATIENCE, check=True
    )
    found = _VERSION.search(told.stdout)
    return found[1] if found else ""


def check_version(program: Program, settings: Settings) -> None:
    """Raise ConfigurationError, which says what to do, for an Orthanc that the plugin is not known to protect."""
    try:
        found = installed_version(program)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"Orthanc does not run ({type(error).__name__}): set it up again") from None
    if reason := fitness.refusal(found, settings.orthanc_untested):
        raise ConfigurationError(f"Senogate refuses this Orthanc: {reason}")


def options(settings: Settings) -> Mapping[str, Any]:
    """What the site lays over orthanc.json; nothing without `orthanc_options`. Raises ConfigurationError."""
    if not settings.orthanc_options:
        return {}
    path = Path(settings.orthanc_options)
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"orthanc_options {path} can't be read as JSON ({type(error).__name__})"
        ) from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"orthanc_options {path} must be an object of Orthanc's keys")
    return found


def plugins(settings: Settings) -> list[str]:
    """The plugins that the site's options load beside ours, which comes first. Raises ConfigurationError."""
    named = options(settings).get("Plugins", [])
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise ConfigurationError("Plugins of orthanc_options must be a list of paths")
    return named
