"""The Orthanc that a site runs: where it is, its release, its configuration, and what a site lays over that."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from archive import secrets
from archive.errors import ConfigurationError
from archive.settings import Settings
from orthanc_plugin import fitness
from senogate.process import Program

CHECKOUT = Path(__file__).resolve().parent.parent
_PATIENCE = 30  # seconds for it to say its version
_VERSION = re.compile(r"\A\S*Orthanc ([\w.]+)")


def configuration_of(settings: Settings) -> dict[str, object]:
    """The repository's orthanc.json with this site's paths, ports and password in it."""
    configuration = json.loads((CHECKOUT / "orthanc.json").read_text("utf-8")) | options(settings)
    password = secrets.orthanc_password(settings)
    library = prefix_of(settings) / "usr/share/orthanc/plugins/libOrthancPython.so"
    return configuration | {
        "StorageDirectory": settings.storage,
        "IndexDirectory": str(settings.home / "orthanc" / "index"),
        "Plugins": [str(library), *plugins(settings)],
        "PythonScript": str(CHECKOUT / "orthanc_plugin" / "plugin.py"),
        "DicomAet": settings.dicom_aet,
        "DicomPort": settings.dicom_port,
        "HttpPort": settings.orthanc_port,
        "RegisteredUsers": {settings.orthanc_user: password},
    }


def write_configuration(settings: Settings) -> Path:
    """Write what `configuration_of` says where Orthanc's user alone reads it. Raises ConfigurationError."""
    path = _configuration_file(settings)
    path.touch(mode=0o600)
    path.write_text(json.dumps(configuration_of(settings), indent=2))
    return path


def become(settings: Settings) -> NoReturn:
    """Become the site's Orthanc, with the plugin in it. Raises ConfigurationError."""
    write_configuration(settings)
    command = _command(settings)
    environment = os.environ | settings.environment | _environment(settings)
    os.execve(command[0], command, environment)  # noqa: S606 - made here


def program_of(settings: Settings) -> Program:
    """Orthanc with the configuration in the site's home."""
    return Program("orthanc", _command(settings), _environment(settings), patience=30)


def prefix_of(settings: Settings) -> Path:
    """Where Orthanc is unpacked, or the root of the file system where the distribution installed it."""
    if settings.orthanc_prefix:
        return Path(settings.orthanc_prefix)
    own = CHECKOUT / ".orthanc"
    return own if own.exists() else Path("/")


def _configuration_file(settings: Settings) -> Path:
    return settings.home / "orthanc" / "orthanc.json"


def _command(settings: Settings) -> list[str]:
    prefix = prefix_of(settings)
    program, configuration = prefix / "usr/sbin/Orthanc", _configuration_file(settings)
    if not program.exists():
        raise ConfigurationError(
            "Orthanc is not installed: `make run` sets it up, or set SENOGATE_ORTHANC_PREFIX"
        )
    if prefix == Path("/"):
        return [str(program), str(configuration)]
    libraries = [*prefix.glob("usr/lib/*-linux-gnu*"), *prefix.glob("lib/*-linux-gnu*")]
    loaders = [loader for library in libraries for loader in library.glob("ld-linux-*")]
    if not loaders:
        raise ConfigurationError(
            f"{prefix} is no root that Orthanc is installed under: set SENOGATE_ORTHANC_PREFIX"
        )
    path = ":".join(map(str, [*libraries, prefix / "usr/lib/orthanc"]))
    return [str(loaders[0]), "--library-path", path, str(program), str(configuration)]


def _environment(settings: Settings) -> dict[str, str]:
    """What the embedded Python and an Orthanc outside of its own root need to find their files."""
    prefix = prefix_of(settings)
    wheels = settings.orthanc_python or str(CHECKOUT / ".orthanc-python")
    # What it compiles it keeps: its library comes as source, which takes two seconds of each start.
    environment = {"PYTHONPATH": f"{wheels}:{CHECKOUT}", "PYTHONDONTWRITEBYTECODE": ""}
    if prefix == Path("/"):
        return environment
    dictionaries = [prefix / "usr/share/dcmtk" / name for name in ("dicom.dic", "private.dic")]
    return environment | {
        "PYTHONHOME": str(prefix / "usr"),
        "DCMDICTPATH": ":".join(map(str, dictionaries)),
    }


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
