"""Which site asks: short-lived tokens that a site signs with its own key, made and verified (RFC 7519, RFC 8037).

`iss` is the site's name in the federation, `sub` names its SuperNode's key, `aud` the hub, `kid` its own key.
"""

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import HTTPConnection

from archive import federation_keys
from archive.errors import Forbidden, NotFound, SenogateError, Unavailable
from archive.federation_roles import Hub, Joined, read_hub
from archive.members import Member, State
from archive.policy import Principal
from archive.settings import Settings
from gateway.authentication import bearer_token
from gateway.rate_limit import Rate
from gateway.services import services_of
from gateway.transport import certificate_of
from gateway.web_token import InvalidToken, Unverified, VerificationKey, read, verify

LIFETIME = 60  # seconds that a token is good for
SKEW = 30  # seconds that the clocks of a site and of its hub may differ
ALGORITHM = "EdDSA"
TYPE = "senogate-member+jwt"
_RENEWED = 20.0  # seconds for which a token is used again
_REQUIRED = ("iss", "sub", "aud", "iat", "exp", "jti")


def audience_of(hub_url: str) -> str:
    """The `aud` of a site's tokens for the hub at this address."""
    return f"{hub_url}/federation"


def issue(
    key: Ed25519PrivateKey, *, name: str, node_key: bytes, hub_url: str, lifetime: int = LIFETIME
) -> str:
    """A token by which the hub knows a site; `node_key` is the public one, as Flower sends it."""
    now = int(time.time())
    claims = {
        "iss": name,
        "sub": federation_keys.node_subject(node_key),
        "aud": audience_of(hub_url),
        "iat": now,
        "exp": now + lifetime,
        "jti": secrets.token_urlsafe(16),
    }
    headers = {"kid": federation_keys.key_id(federation_keys.public_bytes(key)), "typ": TYPE}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers=headers)


@dataclass(slots=True)
class Identity:
    """What a site proves itself with to its hub. `load` reads it once."""

    joined: Joined
    key: Ed25519PrivateKey = field(repr=False)
    node_key: bytes
    _token: str = field(default="", repr=False)
    _renew_at: float = 0.0

    @classmethod
    def load(cls, settings: Settings, joined: Joined) -> "Identity":
        """Raises ConfigurationError where a key is missing."""
        node_key = federation_keys.node_public_bytes(federation_keys.node_key(settings))
        return cls(joined, federation_keys.federation_key(settings), node_key)

    def token(self) -> str:
        """One that is good for half a minute at least."""
        if time.monotonic() >= self._renew_at:
            self._token = issue(
                self.key, name=self.joined.name, node_key=self.node_key, hub_url=self.joined.hub_url
            )
            self._renew_at = time.monotonic() + _RENEWED
        return self._token


async def member_of(request: HTTPConnection, states: Collection[State] = frozenset({State.ACTIVE})) -> Member:
    """The site whose token the request carries; it is whom the trail names.

    Raises NotFound where this node is no hub, Unauthenticated for a token that proves nothing, Forbidden for a
    membership in none of the states or a connection without the certificate that this hub asks for, TooManyRequests,
    Unavailable. What takes longer than a moment is done in `services.memberships.watching(member)`.
    """
    settings = services_of(request).settings
    async with counted(request):
        require_hub(settings)
        check_certificate(request)
        member = await _known_member(request)
        request.scope["principal"] = Principal(subject_of(member.name), frozenset())
        if member.state not in states:
            raise Forbidden(_REFUSALS[member.state])
    if settings.rate_limit:
        rate = Rate(settings.rate_limit, settings.rate_burst)
        await services_of(request).buckets.take(subject_of(member.name), rate)
    return member


@asynccontextmanager
async def counted(request: HTTPConnection) -> AsyncIterator[None]:
    """What is refused in the block counts for the address of who asks. Raises TooManyRequests for too much of it."""
    try:
        yield
    except Unavailable:
        raise
    except SenogateError:
        await services_of(request).floods.count(request.scope)
        raise


def require_hub(settings: Settings) -> Hub:
    """What this node is hub of. Raises NotFound where it is none."""
    hub = read_hub(settings)
    if hub is None:
        raise NotFound("this node is the hub of no federation")
    return hub


def check_certificate(request: HTTPConnection) -> None:
    """Raises Forbidden where this hub asks for a client's certificate and the connection shows none."""
    is_required = services_of(request).settings.federation_client_certificates == "required"
    if is_required and certificate_of(request.scope) is None:
        raise Forbidden("this hub asks sites for a certificate: set federation_certificate")


_REFUSALS = {
    State.REQUESTED: "the hub has not approved this site yet",
    State.ACTIVE: "the hub has approved this site already",
    State.REVOKED: "the hub has revoked this site's membership",
    State.LEFT: "this site has left the federation",
}


def subject_of(name: str) -> str:
    """What the trail calls a member."""
    return f"member:{name}"


async def _known_member(request: HTTPConnection) -> Member:
    token = read(bearer_token(request))
    member = await services_of(request).memberships.find(token.issuer)
    verify_token(token, member, services_of(request).settings.public_url)
    assert member
    return member


def verify_token(token: Unverified, member: Member | None, hub_url: str) -> None:
    """Raises InvalidToken where a token is not the member's, or not for this hub and this moment."""
    claims = token.claims
    if member is None or token.header.get("kid") != federation_keys.key_id(member.site_key):
        raise InvalidToken("the token is signed by no key of a member")
    if token.header.get("typ") != TYPE or not isinstance(claims.get("jti"), str):
        raise InvalidToken("the token was made for another use")
    if not isinstance(claims.get("aud"), str):
        raise InvalidToken("the token is not valid here")
    if claims.get("iat", 0) > time.time() + SKEW:
        raise InvalidToken("the clocks of the site and of its hub differ: the token is of a later time")
    key = VerificationKey(member.public_key, (ALGORITHM,))
    verify(token, key, issuer=member.name, audience=audience_of(hub_url), require=_REQUIRED, leeway=SKEW)
    if claims["exp"] - claims["iat"] > LIFETIME:
        raise InvalidToken(f"the token is good for longer than {LIFETIME} seconds")
    if not hmac.compare_digest(claims["sub"].encode(), member.node_subject.encode()):
        raise InvalidToken("the token is for another node key")


def check_node_key(member: Member, header: str | None) -> None:
    """Raises Forbidden where Flower's header with a node's public key names another than the member's."""
    try:
        given = base64.b64decode((header or "").encode("latin-1", "replace"), validate=True)
    except binascii.Error:
        given = b""
    if not hmac.compare_digest(given, member.node_key):
        raise Forbidden("the node key is not the one that this site joined with")
