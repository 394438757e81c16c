"""Flower's own processes, the SuperLink of a hub and the SuperNode of a site: where they listen and how they are run.

Both listen on loopback alone. Neither tells anybody that it runs, looks for newer versions or installs anything.
"""

import json
import os
import secrets as random
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from archive import secrets
from archive.errors import ConfigurationError, Unavailable
from archive.federation_keys import node_key_path
from archive.settings import Settings
from gateway.fleet import loopback
from gateway.superlink import HOST

PORTS = "ports.json"
RUNTIME_SECRET = "runtime.secret"  # noqa: S105 - a file name


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts of a node listen on loopback."""

    relay: int
    superlink: int
    supernode: int


def choose_ports(settings: Settings, running: Collection[str] = ()) -> Ports:
    """As configured; what is not is chosen once and kept, or chosen anew where another program has it now.

    Those of parts that are `running` stay, for they are taken by these themselves.
    """
    known = _kept(settings)
    chosen = {
        name: known[name]
        if name in running and name in known
        else getattr(settings, f"federation_{name}_port") or _free(known.get(name, 0))
        for name in Ports.__dataclass_fields__
    }
    if chosen != known:
        secrets.write(settings.federation / PORTS, json.dumps(chosen).encode())
    return Ports(**chosen)


def ensure_ports(settings: Settings) -> Ports:
    """Those that were chosen, or chosen now: of several parts that start at once, one chooses."""
    with loopback.alone(settings):
        known = _kept(settings).keys() == Ports.__dataclass_fields__.keys()
        return read_ports(settings) if known else choose_ports(settings)


def read_ports(settings: Settings) -> Ports:
    """The ports that were chosen. Raises Unavailable where none were, since no part has been started."""
    try:
        return Ports(**_kept(settings))
    except TypeError:
        raise Unavailable("the federation's parts have not been started") from None


def _kept(settings: Settings) -> dict[str, int]:
    try:
        found = json.loads((settings.federation / PORTS).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _free(port: int) -> int:
    """This port where it is free, else another that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def runtime_secret(settings: Settings) -> Path:
    """What the trainer proves to the SuperNode's runtime API that it is the one; made where there is none."""
    path = settings.federation / RUNTIME_SECRET
    if not path.exists():
        secrets.write(path, random.token_bytes(32))
    return path


def superlink_command(settings: Settings) -> list[str]:
    """The hub's SuperLink. Raises ConfigurationError where Flower is not installed."""
    files = loopback.ensure(settings)
    return [
        _program("flower-superlink"),
        *("--host", HOST, "--port", str(read_ports(settings).superlink)),
        *("--ssl-ca-certfile", str(files.authority)),
        *("--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)),
        *("--database", str(settings.federation / "superlink.sqlite")),
        *("--isolation", "subprocess", "--enable-supernode-auth"),
        "--disable-runtime-dependency-installation",
    ]


def supernode_command(settings: Settings) -> list[str]:
    """The site's SuperNode, whose SuperLink is the relay beside it. Raises ConfigurationError."""
    files, ports = loopback.ensure(settings), read_ports(settings)
    key = node_key_path(settings)
    if not key.exists():
        raise ConfigurationError(f"{key} is missing: `senogate federation join` makes it")
    return [
        _program("flower-supernode"),
        *("--superlink", f"{HOST}:{ports.relay}", "--root-certificates", str(files.authority)),
        *("--auth-supernode-private-key", str(key)),
        *("--isolation", "process", "--host", HOST, "--port", str(ports.supernode)),
        *("--ssl-ca-certfile", str(files.authority)),
        *("--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)),
        *("--superexec-auth-secret-file", str(runtime_secret(settings))),
    ]


def home(settings: Settings) -> Path:
    """The folder of Flower's own files."""
    return settings.federation / "flwr"


def environment(settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """What Flower's processes are told: of Flower's own variables nothing but ours, and of proxies nothing."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("FLWR_")}
    own = {
        "FLWR_HOME": str(home(settings)),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    return kept | own


def _program(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise ConfigurationError("Flower is not installed: `make setup-federation` sets it up")
    return str(path)
