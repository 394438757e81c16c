"""Which URLs the site itself asks, and which addresses of the network it may be sent to by one."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
_NAT64 = ip_network("64:ff9b::/96")


def is_allowed(url: str) -> bool:
    """Whether a URL may be asked: https, or http on this machine; without a user, a fragment or white space."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not plain or not parts.hostname or parts.username is not None or "#" in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reached(text: str) -> Address:
    """The address where packets to this one arrive: the IPv4 address that one of IPv6 only wraps. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def is_public(address: Address) -> bool:
    """Whether it is anybody's on the Internet: no private, loopback, link-local (where clouds keep their metadata),
    shared or reserved address, and no group of hosts (the IANA registries of special-purpose addresses).
    """
    is_site_local = isinstance(address, IPv6Address) and address in IPv6Network("fec0::/10")
    return address.is_global and not (address.is_multicast or address.is_reserved or is_site_local)


def is_within(address: Address, networks: Iterable[str]) -> bool:
    """Whether one of the networks has the address."""
    return any(
        address in network for network in map(ip_network, networks) if network.version == address.version
    )
