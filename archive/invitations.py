"""What a hub hands to a site that it invites, and what the site asks for with it: two texts, each signed.

An invitation goes from person to person, for whoever has it may ask to join under its name. It also tells the site the
hub's key, so that nobody else can pass for the hub later.
"""

import base64
import binascii
import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from archive.addresses import is_allowed
from archive.errors import BadRequest
from archive.federation_keys import load_node_public, load_public, node_public_bytes, public_bytes
from archive.federation_roles import check_name
from archive.members import Asked

INVITATION, REQUEST = b"senogate federation invitation 1\0", b"senogate federation join 1\0"
PREFIX = "senogate-invitation-1"
LONGEST = 4000  # characters; a terminal's line takes 4095
SKEW = timedelta(minutes=5)  # by which the clocks of a site and of a hub may differ when it joins
_T = TypeVar("_T", "Invitation", "JoinRequest")


@dataclass(frozen=True, slots=True)
class Invitation:
    """To take part as `name` in the federation of `hub` at `url`, whose public key is `hub_key` (base64).

    `expires_at` as ISO 8601 has it; `code` is 256 random bits, of which the hub keeps the hash alone.
    """

    hub: str
    url: str
    hub_key: str
    name: str
    expires_at: str
    code: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raises BadRequest for what is malformed."""
        check_name(self.hub)
        check_name(self.name)
        load_public(decode(self.hub_key))
        if not is_allowed(self.url) or self.url.endswith("/") or "?" in self.url:
            raise BadRequest("the invitation names an address that is not asked: only https is")
        _moment(self.expires_at)

    @property
    def is_timely(self) -> bool:
        return datetime.now(UTC) < _moment(self.expires_at)

    def to_text(self, key: Ed25519PrivateKey) -> str:
        """As it is handed over: one line, signed by the hub."""
        text = _to_bytes(self)
        return ".".join([PREFIX, _web64(text), _web64(key.sign(INVITATION + text))])


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A site asks to join with its keys: `site_key` (base64 of 32 bytes) and `node_key` (PEM); `at` is its clock."""

    code: str = field(repr=False)
    name: str
    hub_key: str
    site_key: str
    node_key: str
    at: str

    def __post_init__(self) -> None:
        """Raises BadRequest for what is malformed."""
        check_name(self.name)
        load_public(decode(self.site_key))
        load_node_public(self.node_key.encode("utf-8", "replace"))
        _moment(self.at)


def make_invitation(hub: str, url: str, key: Ed25519PrivateKey, name: str, lifetime: timedelta) -> Invitation:
    """Raises BadRequest."""
    expires_at = (datetime.now(UTC) + lifetime).replace(microsecond=0).isoformat()
    hub_key = encode(public_bytes(key))
    return Invitation(hub, url, hub_key, name, expires_at, secrets.token_urlsafe(32))


def parse_invitation(line: str) -> Invitation:
    """Raises BadRequest for anything but the very line that a hub made."""
    prefix, *parts = line.strip().split(".")
    if prefix != PREFIX or len(parts) != 2 or len(line) > LONGEST:
        raise BadRequest(f"this is no invitation: it is one line that begins with {PREFIX}")
    text, signature = map(_from_web64, parts)
    found = _parse(Invitation, text, "the invitation is damaged: copy the whole line")
    try:
        load_public(decode(found.hub_key)).verify(signature, INVITATION + text)
    except InvalidSignature:
        raise BadRequest("the invitation is damaged: copy the whole line") from None
    return found


def sign_request(
    invitation: Invitation, key: Ed25519PrivateKey, node_key: EllipticCurvePrivateKey
) -> dict[str, str]:
    """What a site sends: the request, signed by both of its keys, which proves that it holds them."""
    request = JoinRequest(
        invitation.code,
        invitation.name,
        invitation.hub_key,
        encode(public_bytes(key)),
        node_public_bytes(node_key).decode("ascii"),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    text = _to_bytes(request)
    return {
        "request": encode(text),
        "signature": encode(key.sign(REQUEST + text)),
        "node_signature": encode(node_key.sign(REQUEST + text, ECDSA(SHA256()))),
    }


def verify_request(sent: dict[str, str], hub_key: bytes) -> Asked:
    """What a site asks for, of the hub with this key. Raises BadRequest."""
    text = decode(sent["request"])
    request = _parse(JoinRequest, text, "the request to join is malformed")
    asked = Asked(request.code, request.name, decode(request.site_key), request.node_key.encode())
    try:
        load_public(asked.site_key).verify(decode(sent["signature"]), REQUEST + text)
        node_signature = decode(sent["node_signature"])
        load_node_public(asked.node_key).verify(node_signature, REQUEST + text, ECDSA(SHA256()))
    except InvalidSignature:
        raise BadRequest("the request to join is not signed by the keys that it names") from None
    if decode(request.hub_key) != hub_key:
        raise BadRequest("the request to join is for another hub")
    if abs(datetime.now(UTC) - _moment(request.at)) > SKEW:
        raise BadRequest("the clocks of the site and of the hub differ by more than five minutes")
    return asked


def encode(content: bytes) -> str:
    """As base64 (RFC 4648 section 4)."""
    return base64.b64encode(content).decode("ascii")


def decode(text: str) -> bytes:
    """Base64 in its one form. Raises BadRequest."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        content = None
    if content is None or encode(content) != text:
        raise BadRequest("what should be base64 is not")
    return content


def _to_bytes(value: Invitation | JoinRequest) -> bytes:
    return json.dumps(asdict(value), sort_keys=True, separators=(",", ":")).encode()


def _parse(kind: type[_T], text: bytes, complaint: str) -> _T:
    """A value from its one form. Raises BadRequest."""
    try:
        content: Any = json.loads(text)
        if content.keys() != {each.name for each in fields(kind)} or not _are_texts(content):
            raise ValueError
        found = kind(**content)
        same = _to_bytes(found) == text
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadRequest(complaint) from None
    if not same:
        raise BadRequest(complaint)
    return found


def _are_texts(content: dict[str, Any]) -> bool:
    return all(isinstance(value, str) for value in content.values())


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadRequest("a moment is written as in ISO 8601, with its offset")
    return found


def _web64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _from_web64(text: str) -> bytes:
    """Base64url without padding (RFC 7515 section 2), in its one form. Raises BadRequest."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content or _web64(content) != text:
        raise BadRequest("the invitation is damaged: copy the whole line")
    return content
