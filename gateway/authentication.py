"""Bearer tokens (RFC 6750, RFC 7519, RFC 8725): from a request's Authorization to a Principal."""

import base64
import binascii
import hashlib
import json
import time
from typing import Any

import jwt
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from archive.errors import BadRequest, Unauthenticated
from archive.policy import Principal, Role, parse_actions
from archive.subjects import client_subject
from gateway.signing import SigningKeys

MAXIMUM_TOKEN = 8192  # characters
REMEMBERED = 4096  # tokens that were verified
LEEWAY = 5  # seconds that clocks may differ
REQUIRED = ("iss", "aud", "exp", "iat", "sub")
_TIMES = ("exp", "nbf", "iat")


class InvalidToken(Unauthenticated):
    """A token came and proves nothing: malformed, expired, of another issuer, forged."""


class AmbiguousCredentials(BadRequest):
    """A request that carries a token in a way that is not taken, or more than one."""


class Authentication:
    """Lets requests through that carry a valid token, their Principal in `scope["principal"]`.

    OPTIONS passes, since it tells nothing but methods (RFC 9110 section 9.3.7).
    """

    def __init__(self, app: ASGIApp, keys: SigningKeys, issuer: str, audience: str) -> None:
        self._app = app
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verified: dict[bytes, tuple[Principal, int]] = {}  # by the token's SHA-256, the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] != "OPTIONS"):
            scope["principal"] = self._principal(bearer_token(HTTPConnection(scope)))
        await self._app(scope, receive, send)

    def _principal(self, token: str) -> Principal:
        """Whom the token speaks for; one that was verified is not verified again until it expires."""
        digest = hashlib.sha256(token.encode("latin-1")).digest()
        principal, expires = self._verified.get(digest, (None, 0))
        if principal is None or time.time() >= expires + LEEWAY:
            principal, expires = _verify(token, self._keys, self._issuer, self._audience)
            while len(self._verified) >= REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = principal, expires
        return principal


def bearer_token(request: HTTPConnection) -> str:
    """The token of the request's one Authorization header.

    Raises Unauthenticated without one, AmbiguousCredentials for several or for one in the query.
    """
    if b"access_token" in request.scope["query_string"] and "access_token" in request.query_params:
        raise AmbiguousCredentials("a token goes into the Authorization header and never into the address")
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise AmbiguousCredentials("the request has more than one Authorization header")
    scheme, _, token = (headers[0] if headers else "").partition(" ")
    if not headers or scheme.lower() != "bearer":
        raise Unauthenticated("a bearer token is needed")
    token = token.strip(" ")
    if not token or "," in token or " " in token:
        raise AmbiguousCredentials("the Authorization header must hold one bearer token")
    return token


def verify(token: str, keys: SigningKeys, *, issuer: str, audience: str) -> Principal:
    """Whom the token speaks for. Raises InvalidToken."""
    return _verify(token, keys, issuer, audience)[0]


def _verify(token: str, keys: SigningKeys, issuer: str, audience: str) -> tuple[Principal, int]:
    """Whom the token speaks for, and when it expires, in seconds since 1970.

    The key is one of our own, found by `kid`; the algorithm is the one that key is for, whatever the token
    says. Raises InvalidToken.
    """
    header, claims = _shape(token)
    key = keys.find(header.get("kid"))
    if key is None or header.get("alg") != key.algorithm:
        raise InvalidToken("the token is signed by no key of this site")
    if "crit" in header or "b64" in header:
        raise InvalidToken("the token demands an extension that is not understood")
    _check_types(claims)
    try:
        jwt.decode(
            token,
            key.public,
            algorithms=[key.algorithm],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY,
            options={"require": list(REQUIRED)},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidToken("the token has expired") from None
    except jwt.PyJWTError:
        raise InvalidToken("the token is not valid here") from None
    roles = frozenset(map(Role, claims.get("roles", [])))
    subject = claims["sub"] if roles else client_subject(claims["sub"])
    actions = parse_actions(claims.get("scope", ""))
    return Principal(subject, actions, roles, claims.get("permit")), claims["exp"]


def _shape(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWS, each a JSON object without a name twice."""
    segments = token.split(".")
    if len(token) > MAXIMUM_TOKEN or len(segments) != 3 or not token.isascii():
        raise InvalidToken("the token is no signed JSON web token of at most 8192 characters")
    return _decode_object(segments[0]), _decode_object(segments[1])


def _decode_object(segment: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
        found = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidToken("the token is malformed") from None
    if not isinstance(found, dict):
        raise InvalidToken("the token is malformed")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError("not a JSON number")


def _check_types(claims: dict[str, Any]) -> None:
    """Times are whole numbers that a clock can show, names are text (RFC 7519 section 4.1)."""
    times = [claims[name] for name in _TIMES if name in claims]
    names = [claims.get(name, "") for name in ("iss", "sub", "scope")]
    if not all(type(time) is int and 0 <= time < 2**40 for time in times):
        raise InvalidToken("the token's times are not whole numbers of seconds")
    if not all(isinstance(name, str) for name in names) or not claims.get("sub"):
        raise InvalidToken("the token's claims are malformed")
