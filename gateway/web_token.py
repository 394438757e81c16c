"""JSON web tokens (RFC 7519, RFC 7515, RFC 8725): shape, header, claims and signature, of any issuer.

What a token says of itself chooses nothing: the algorithm is the one that the key is for, the key is found among
those that the issuer is known to have, and `jku`, `x5u`, `jwk` and `x5c` are not read.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from archive.errors import Unauthenticated

MAXIMUM_TOKEN = 8192  # characters
LEEWAY = 5  # seconds that clocks may differ
MAXIMUM_NAME = 2048  # characters
MAXIMUM_SUBJECT = 255  # characters (OpenID Connect Core section 2)
REQUIRED = ("iss", "aud", "exp", "iat", "sub")
TYPES = (None, "JWT", "at+jwt", "application/at+jwt")  # in lower case or not (RFC 7515 section 4.1.9)
_TIMES = ("exp", "nbf", "iat")
_NAMES = ("iss", "sub", "scope", "permit", "purpose")
THUMBPRINT = "x5t#S256"  # the one way of binding that is understood (RFC 8705 section 3.1)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class InvalidToken(Unauthenticated):
    """A token came and proves nothing: malformed, expired, of another issuer, forged."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says, before anything of it is believed."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def issuer(self) -> str:
        return self.claims["iss"]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """An issuer's public key and the algorithms that a signature by it may be of."""

    public: PublicKey
    algorithms: tuple[str, ...]


def read(text: str) -> Unverified:
    """A compact JWS whose header and claims are of the right kinds. Raises InvalidToken."""
    segments = text.split(".")
    if len(text) > MAXIMUM_TOKEN or len(segments) != 3 or not text.isascii():
        raise InvalidToken(f"the token is no signed JSON web token of at most {MAXIMUM_TOKEN} characters")
    header, claims, _ = _decode_object(segments[0]), _decode_object(segments[1]), _decode(segments[2])
    if "crit" in header or "b64" in header:
        raise InvalidToken("the token demands an extension that is not understood")
    if not isinstance(header.get("alg"), str) or not isinstance(header.get("kid", ""), str):
        raise InvalidToken("the token's header is malformed")
    _check_types(claims)
    return Unverified(text, header, claims)


def verify(
    token: Unverified,
    key: VerificationKey | None,
    *,
    issuer: str,
    audience: str,
    require: Sequence[str] = REQUIRED,
    leeway: int = LEEWAY,
) -> dict[str, Any]:
    """The claims, once the signature is the key's and they are for here and now. Raises InvalidToken."""
    if key is None or token.header["alg"] not in key.algorithms:
        raise InvalidToken("the token is signed by no key of its issuer")
    if token.claims["iss"] != issuer:
        raise InvalidToken("the token is not valid here")
    try:
        jwt.decode(
            token.text,
            key.public,
            algorithms=[token.header["alg"]],
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            options={"require": list(require)},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidToken("the token has expired") from None
    except (jwt.PyJWTError, TypeError, ValueError):
        raise InvalidToken("the token is not valid here") from None
    return token.claims


def check_is_access_token(token: Unverified) -> None:
    """Refuse what was made for another use (RFC 8725 section 3.11): ID tokens, logout tokens, proofs."""
    kind = token.header.get("typ")
    known = kind is None or (
        isinstance(kind, str) and kind.lower() in [each.lower() for each in TYPES if each]
    )
    if not known or "nonce" in token.claims or token.claims.get("typ") in ("ID", "Refresh", "Logout"):
        raise InvalidToken("the token is not an access token")


def thumbprint_of(claims: dict[str, Any]) -> str | None:
    """The SHA-256 thumbprint of the only certificate that the token may be used with (RFC 8705 section 3.1).

    None where it is bound to nothing. Raises InvalidToken where it is bound in a way that can't be checked.
    """
    confirmation = claims.get("cnf")
    if confirmation is None:
        return None
    if not isinstance(confirmation, dict) or list(confirmation) != [THUMBPRINT]:
        raise InvalidToken("the token is bound to its holder in a way that is not understood")
    if not isinstance(confirmation[THUMBPRINT], str):
        raise InvalidToken("the token's claims are malformed")
    return confirmation[THUMBPRINT]


def _decode_object(segment: str) -> dict[str, Any]:
    try:
        found = json.loads(_decode(segment), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidToken("the token is malformed") from None
    if not isinstance(found, dict):
        raise InvalidToken("the token is malformed")
    return found


def _decode(segment: str) -> bytes:
    """Base64url without padding (RFC 7515 section 2), in the one way of writing it. Raises InvalidToken."""
    try:
        data = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise InvalidToken("the token is malformed") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment.encode("ascii"):
        raise InvalidToken("the token is malformed")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError("not a JSON number")


def _check_types(claims: dict[str, Any]) -> None:
    """Times are whole numbers that a clock can show, names are text (RFC 7519 section 4.1)."""
    times = [claims[name] for name in _TIMES if name in claims]
    names = [claims.get(name, "") for name in _NAMES]
    if not all(type(time) is int and 0 <= time < 2**40 for time in times):
        raise InvalidToken("the token's times are not whole numbers of seconds")
    kinds = all(isinstance(name, str) and name.isprintable() and len(name) <= MAXIMUM_NAME for name in names)
    subject = claims.get("sub", "")
    if not kinds or not 1 <= len(subject) <= MAXIMUM_SUBJECT or "iss" not in claims:
        raise InvalidToken("the token's claims are malformed")
