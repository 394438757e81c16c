"""TLS between the parts of one node: a certificate for 127.0.0.1, whose authority's key nobody keeps."""

import datetime
import fcntl
import ipaddress
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from archive import secrets
from archive.errors import ConfigurationError
from archive.settings import Settings

LIFETIME = datetime.timedelta(days=730)
_OLD = LIFETIME / 2


@dataclass(frozen=True, slots=True)
class Loopback:
    """The files, PEM: `authority` is what a client trusts, the others are what a server shows."""

    authority: Path
    certificate: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """What trusts this node's own parts and nobody else. Raises ConfigurationError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(self.authority)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(f"{self.authority} can't be used ({type(error).__name__})") from None
        return context


def ensure(settings: Settings, *, renew: bool = False) -> Loopback:
    """The node's files, made where there are none; with `renew` also in place of old ones, before any part starts."""
    files = known(settings)
    with alone(settings):
        if not files.certificate.exists() or (renew and _is_old(files.certificate)):
            _make(files)
    return files


def known(settings: Settings) -> Loopback:
    """Where the node's files are, whether they have been made or not."""
    folder = settings.federation / "tls"
    return Loopback(folder / "authority.pem", folder / "loopback.pem", folder / "loopback.key")


def _is_old(certificate: Path) -> bool:
    known = x509.load_pem_x509_certificate(certificate.read_bytes())
    return datetime.datetime.now(datetime.UTC) > known.not_valid_before_utc + _OLD


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Of several parts that start at once, one makes the files that all need."""
    folder = known(settings).authority.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(files: Loopback) -> None:
    """The certificate is written last: where it is, the others are."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Senogate loopback")])
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    authority = _certificate(name, name, authority_key.public_key(), authority_key, is_authority=True)
    certificate = _certificate(own, name, key.public_key(), authority_key, is_authority=False)
    secrets.write(files.authority, authority.public_bytes(Encoding.PEM))
    secrets.write(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secrets.write(files.certificate, certificate.public_bytes(Encoding.PEM))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    """With the extensions of RFC 5280 section 4.2 that Python verifies from 3.13 on."""
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = (
        x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not is_authority:
        names = x509.SubjectAlternativeName([address, x509.DNSName("localhost")])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    others = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
         "encipher_only", "decipher_only"), False
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=not is_authority, key_cert_sign=is_authority, **others)
