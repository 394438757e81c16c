"""Access tokens of the site's own (RFC 9068): for registered programs, and for its administrator."""

import re
import secrets
import time
from collections.abc import Iterable

import jwt

from archive.errors import BadRequest
from archive.policy import Action, Role
from archive.purpose import Purpose
from archive.settings import Settings
from gateway.clients import narrow_scope
from gateway.signing import SigningKeys
from gateway.web_token import THUMBPRINT

DEFAULT_TTL = 15 * 60  # seconds
MAXIMUM_TTL = 24 * 60 * 60
ALL_ACTIONS = " ".join(Action)
_PERMIT = re.compile(r"[A-Za-z0-9._:/-]{1,128}")


def issue(
    keys: SigningKeys,
    settings: Settings,
    *,
    subject: str,
    client_id: str = "",
    scope: str = ALL_ACTIONS,
    ttl: int = DEFAULT_TTL,
    roles: Iterable[Role] = (),
    permit: str | None = None,
    purpose: str | None = None,
    thumbprint: str | None = None,
) -> str:
    """A signed access token that lives `ttl` seconds.

    With a `permit` and a `client_id` that is not the subject it is a person's, by the very name that the subject is
    (RFC 9068 section 2.2).
    `roles` are for the site's own administrator, not for clients. With a `permit` the token is good for that one alone,
    with a `purpose` for permits of that purpose alone, with a `thumbprint` on connections with that certificate alone.
    Raises BadRequest for a wrong scope, ttl, permit or purpose.
    """
    if permit is not None and not _PERMIT.fullmatch(permit):
        raise BadRequest("a permit's identifier takes 1 to 128 letters, digits and ._:/-")
    if purpose is not None and purpose not in list(Purpose):
        raise BadRequest(f"a purpose is one of {', '.join(Purpose)}")
    if not 1 <= ttl <= MAXIMUM_TTL:
        raise BadRequest(f"a token lives 1 to {MAXIMUM_TTL} seconds")
    now = int(time.time())
    claims = {
        "iss": settings.public_url,
        "aud": settings.dicomweb_url,
        "sub": subject,
        "client_id": client_id or subject,
        "scope": narrow_scope(ALL_ACTIONS, scope),
        "iat": now,
        "nbf": now,
        "exp": now + ttl,
        "jti": secrets.token_urlsafe(16),
    }
    optional: dict[str, object] = {"roles": sorted(roles), "permit": permit, "purpose": purpose}
    optional["cnf"] = {THUMBPRINT: thumbprint} if thumbprint else None
    claims |= {name: value for name, value in optional.items() if value}
    key = keys.keys[0]
    return jwt.encode(claims, key.private, algorithm=key.algorithm, headers={"kid": key.kid, "typ": "at+jwt"})
