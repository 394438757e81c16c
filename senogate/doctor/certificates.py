"""Certificates: that of the gateway fits its key and its name, and those for PACS and hub are there and still valid."""

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from archive.destinations import Destination
from archive.settings import Settings
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place

_SOON = timedelta(days=30)
_NOBODY = ""  # whom a key that asks for a passphrase would wait for: the site has nobody to type one either


def look(place: Place) -> Iterator[Finding]:
    """What the state of the node does not tell of them: it tells until when the gateway's is valid."""
    settings = place.settings
    if settings.tls_certificate:
        yield from _own(settings)
    elif urlsplit(settings.public_url).scheme == "http" and not _is_loopback(settings.public_url):
        todo = "Set tls_certificate and tls_key, or a proxy's https address as public_url."
        yield consider(
            "certificate", "public_url is http: tokens and images go over the network in clear", todo
        )
    for destination in settings.destinations:
        yield from _of_destination(destination)
    for name in (
        "tls_client_authorities",
        "issuer_authorities",
        "webhook_authorities",
        "federation_authorities",
    ):
        if path := getattr(settings, name):
            yield from _authorities(name, Path(path))


def _own(settings: Settings) -> Iterator[Finding]:
    name = "certificate-key"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_NOBODY)
        certificate = x509.load_pem_x509_certificate(Path(settings.tls_certificate).read_bytes())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        todo = "Put the certificate with its chain, and the key that it was made for, in their places as PEM."
        yield act(name, f"tls_certificate and tls_key can't be used together ({type(error).__name__})", todo)
        return
    yield fine(name, "the gateway's key is that of its certificate")
    host = urlsplit(settings.public_url).hostname or ""
    if not _names(certificate, host):
        said = f"the gateway's certificate is not for {host}, the host of public_url"
        todo = "Have one made for that name, or set public_url to a name that is in it."
        if settings.trusted_proxies:
            yield consider("certificate-name", said, f"Unless it is the proxy that is called so: {todo}")
        else:
            yield act("certificate-name", said, todo)
    if certificate.not_valid_before_utc > datetime.now(UTC):
        yield act(
            "certificate", "the gateway's certificate is not valid yet", "See whether the clock is right."
        )


def _names(certificate: x509.Certificate, host: str) -> bool:
    """Whether a certificate is for a host: by its subject alternative names alone (RFC 9525 section 6)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    wildcard = f"*.{host.partition('.')[2]}"
    return any(
        name.lower() in (host.lower(), wildcard.lower()) for name in names.get_values_for_type(x509.DNSName)
    )


def _of_destination(destination: Destination) -> Iterator[Finding]:
    name = f"certificate-{destination.name}"
    try:
        if destination.tls:
            context = ssl.create_default_context(cafile=destination.tls_authorities or None)
            if destination.tls_certificate:
                context.load_cert_chain(destination.tls_certificate, destination.tls_key, password=_NOBODY)
        if destination.tls_certificate:
            yield _until(name, Path(destination.tls_certificate))
    except (OSError, ValueError) as error:
        said = f"the TLS files of destinations.{destination.name} can't be used ({type(error).__name__})"
        yield act(name, said, "Put them in their places as PEM.")


def _until(name: str, path: Path) -> Finding:
    until = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    if until < datetime.now(UTC):
        return act(name, f"{path} expired on {until:%Y-%m-%d}", "Put a new one in its place.")
    if until < datetime.now(UTC) + _SOON:
        return consider(name, f"{path} expires on {until:%Y-%m-%d}", "Have a new one made.")
    return fine(name, f"{path} is valid until {until:%Y-%m-%d}")


def _authorities(name: str, path: Path) -> Iterator[Finding]:
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:
        said = f"{name} {path} can't be used ({type(error).__name__})"
        yield act("certificate-authorities", said, "Put the authorities' certificates there as PEM.")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
