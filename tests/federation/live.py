"""A federation of real nodes: a hub and sites, each `senogate up` with a home, a database and processes of its own.

All are on 127.0.0.1, or each is in a network namespace of its own (network_namespaces(7)) from which a site has a way
to the hub alone, on which every packet is written down.
"""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests import certificates
from tests.federation.wire import HUB_ADDRESS, Wire, laid
from tests.live import LiveSite, eventually, find_free_ports, temporary_home

HUB = "hub"
PORTS = [8443, 4242, 8042]
"""Of every node that has a network to itself."""


class Federation:
    """A hub and its sites, by the names that these have in it."""

    def __init__(self, hub: LiveSite, sites: Mapping[str, LiveSite]) -> None:
        self.hub = hub
        self.sites = dict(sites)

    def node(self, name: str) -> LiveSite:
        return self.hub if name == HUB else self.sites[name]

    def join(self, name: str) -> None:
        """Let a site be invited, ask, and be approved by its fingerprint."""
        line = self.tell(HUB, "invite", name)[0]["invitation"]
        told = self.tell(name, "join", stdin=line)[0]
        self.tell(HUB, "approve", name, told["fingerprint"])

    def join_all(self) -> None:
        """Found the federation, and let every site join."""
        self.tell(HUB, "init", HUB)
        for name in self.sites:
            self.join(name)

    def tell(self, node: str, *arguments: str, stdin: str = "") -> list[dict[str, Any]]:
        """What a command of `senogate federation` prints for programs."""
        done = self.node(node).run("federation", *arguments, "--json", stdin=stdin)
        return json.loads(done.stdout)

    def kill(self, part: str, node: str) -> int:
        """End one process of a node at once (SIGKILL), and return when it runs again; its new number."""
        before = self.node(node).child(part)
        os.kill(before, signal.SIGKILL)
        return int(eventually(lambda: self._again(part, node, before)))

    def _again(self, part: str, node: str, before: int) -> int:
        try:
            pid = self.node(node).child(part)
        except (AssertionError, OSError):
            return 0
        return 0 if pid == before else pid

    def log(self, part: str, node: str) -> str:
        return (self.node(node).home / "logs" / f"{part}.log").read_text("utf-8", "replace")


@contextmanager
def federation(count: int, extra: Mapping[str, str] | None = None) -> Iterator[Federation]:
    """A hub and so many sites, `site-1` and on, on 127.0.0.1, joined; the hub's gateway speaks TLS."""
    with ExitStack() as stack:
        trusted = _trust(stack, "127.0.0.1")
        nodes = {}
        for name in _names(count):
            settings = dict(extra or {}) | (trusted.hub if name == HUB else trusted.site)
            nodes[name] = LiveSite(stack.enter_context(temporary_home()), find_free_ports(3), settings)
        yield _joined(stack, nodes)


@contextmanager
def apart(count: int, extra: Mapping[str, str] | None = None) -> Iterator[tuple[Federation, Wire]]:
    """The same, each node in a network namespace of its own; skips where none can be made."""
    with ExitStack() as stack:
        wire = stack.enter_context(laid(_names(count), PORTS[0]))
        trusted = _trust(stack, HUB_ADDRESS)
        nodes = {}
        for name in wire.names:
            settings = dict(extra or {}) | (trusted.hub if name == HUB else trusted.site)
            if name == HUB:
                settings |= {"SENOGATE_HOST": HUB_ADDRESS}
                settings |= {"SENOGATE_PUBLIC_URL": f"https://{HUB_ADDRESS}:{wire.port}"}
            home = stack.enter_context(temporary_home())
            nodes[name] = LiveSite(home, PORTS, settings, wire.inside(name))
        yield _joined(stack, nodes), wire


def _names(count: int) -> list[str]:
    return [HUB, *(f"site-{number}" for number in range(1, count + 1))]


def _joined(stack: ExitStack, nodes: dict[str, LiveSite]) -> Federation:
    _start(stack, list(nodes.values()))
    made = Federation(nodes.pop(HUB), nodes)
    made.join_all()
    return made


def _trust(stack: ExitStack, address: str) -> "_Trust":
    folder = stack.enter_context(temporary_home())
    folder.mkdir()
    return _Trust(folder, address)


class _Trust:
    """The settings by which a hub has a certificate, and its sites trust it."""

    def __init__(self, folder: Path, address: str) -> None:
        authority = certificates.make(folder, "authority")
        own = certificates.make(folder, HUB, authority, address)
        self.hub = {"SENOGATE_TLS_CERTIFICATE": str(own.path), "SENOGATE_TLS_KEY": str(own.key_path)}
        self.site = {"SENOGATE_FEDERATION_AUTHORITIES": str(authority.path)}


def _start(stack: ExitStack, nodes: list[LiveSite]) -> None:
    """Start the nodes, two at a time, from threads that live as long as they: a node ends with who started it."""
    starters = stack.enter_context(ThreadPoolExecutor(2))
    for each in nodes:
        stack.callback(each.stop)
    list(starters.map(LiveSite.start, nodes))
