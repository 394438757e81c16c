"""Network namespaces that are joined by one wire alone, which lets through what sites may say to their hub's gateway.

Each namespace has one way out (tun(4)), by which everything goes that is for no address of its own. Whatever comes
there and is no TCP to or from the hub's one port goes no further, and is written down: questions for names, too.
"""

import ctypes
import fcntl
import ipaddress
import os
import select
import shutil
import struct
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI, _CLONE_NEWNET = 0x400454CA, 0x1, 0x1000, 0x40000000
_MTU, _TCP = 65000, 6
NETWORK = "10.77.0"
HUB_ADDRESS = f"{NETWORK}.1"


class Packet(NamedTuple):
    """What came by the wire: from which namespace, and the addresses and ports in it; port 0 where it has none."""

    came_from: str
    protocol: int
    source: str
    source_port: int
    target: str
    target_port: int


@dataclass
class Wire:
    """`refused` are the packets that were kept from going on, `carried` bytes by sender and receiver."""

    names: Sequence[str]  # the hub's first
    port: int
    prefix: str = field(default_factory=lambda: f"senogate-{uuid.uuid4().hex[:8]}")
    refused: list[Packet] = field(default_factory=list)
    carried: Counter[tuple[str, str]] = field(default_factory=Counter)
    _ends: dict[str, int] = field(default_factory=dict)

    def address(self, name: str) -> str:
        return f"{NETWORK}.{1 + list(self.names).index(name)}"

    def namespace(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def inside(self, name: str) -> list[str]:
        """What a command begins with that runs in a namespace."""
        return ["ip", "netns", "exec", self.namespace(name)]

    def lay(self, name: str) -> int:
        """Make a namespace and the end of the wire in it."""
        namespace = self.namespace(name)
        _ip("netns", "add", namespace)
        made: list[int] = []
        maker = threading.Thread(target=lambda: made.append(_open_tun(namespace)))
        maker.start()
        maker.join()
        quiet = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
        subprocess.run([*self.inside(name), "sh", "-c", quiet], check=False)
        for command in (
            "link set lo up",
            f"link set up0 mtu {_MTU} up",
            f"addr add {self.address(name)}/24 dev up0",
            "route add default dev up0",
        ):
            _ip("-n", namespace, *command.split())
        self._ends[name] = made[0]
        return made[0]

    def carry(self, stop: int) -> None:
        """Carry packets until `stop` can be read."""
        names = {end: name for name, end in self._ends.items()}
        ends = {self.address(name): end for name, end in self._ends.items()}
        while True:
            ready, _, _ = select.select([*names, stop], [], [])
            if stop in ready:
                return
            for end in ready:
                data = os.read(end, _MTU + 100)
                packet = _packet(names[end], data)
                if packet and self._may_pass(packet):
                    self.carried[names[end], names[ends[packet.target]]] += len(data)
                    os.write(ends[packet.target], data)
                elif packet:
                    self.refused.append(packet)

    def _may_pass(self, packet: Packet) -> bool:
        sites = {self.address(name) for name in self.names[1:]}
        if packet.protocol != _TCP or packet.source != self.address(packet.came_from):
            return False
        if packet.came_from == self.names[0]:
            return packet.source_port == self.port and packet.target in sites
        return (packet.target, packet.target_port) == (HUB_ADDRESS, self.port)


@contextmanager
def laid(names: Sequence[str], port: int) -> Iterator[Wire]:
    """Namespaces of these names, the hub's first, whose gateway has this port; skips where none can be made."""
    require_namespaces()
    wire = Wire(names, port)
    reading, writing = os.pipe()
    with ExitStack() as stack:
        for name in names:
            stack.callback(_ip, "netns", "del", wire.namespace(name), check=False)
            stack.callback(os.close, wire.lay(name))
        carrier = threading.Thread(target=wire.carry, args=(reading,), daemon=True)
        carrier.start()
        try:
            yield wire
        finally:
            os.write(writing, b"x")
            carrier.join(10)


def require_namespaces() -> None:
    """Skip the test where this machine does not let it make network namespaces."""
    if os.geteuid() != 0 or not shutil.which("ip") or not os.path.exists("/dev/net/tun"):
        pytest.skip("network namespaces need root, iproute2 and /dev/net/tun")
    name = f"senogate-{uuid.uuid4().hex[:8]}"
    if _ip("netns", "add", name, check=False):
        pytest.skip("this machine does not let root make network namespaces")
    _ip("netns", "del", name)


def _ip(*arguments: str, check: bool = True) -> int:
    return subprocess.run(["ip", *arguments], check=check, capture_output=True).returncode


def _open_tun(namespace: str) -> int:
    """The wire's end in a namespace, opened by a thread that goes there for good."""
    with open(f"/run/netns/{namespace}") as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH14x", b"up0", _IFF_TUN | _IFF_NO_PI))
    return end


def _packet(came_from: str, data: bytes) -> Packet | None:
    """None for what is no IPv4, which the namespaces do not speak."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    head = (data[0] & 15) * 4
    ports = (
        struct.unpack_from("!HH", data, head) if len(data) >= head + 4 and data[9] in (_TCP, 17) else (0, 0)
    )
    source, target = (str(ipaddress.IPv4Address(data[start : start + 4])) for start in (12, 16))
    return Packet(came_from, data[9], source, ports[0], target, ports[1])
