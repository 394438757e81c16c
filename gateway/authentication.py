"""Who asks: from a request's Authorization (RFC 6750), or a signed-in person's cookie, to a Principal."""

import hashlib
import hmac
import time
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from archive.errors import BadRequest, Unauthenticated
from archive.policy import Principal, Role, parse_actions
from archive.purpose import Purpose
from archive.subjects import client_subject
from gateway.auditing import note
from gateway.floods import Floods
from gateway.issuers import Issuers
from gateway.provider import Provider
from gateway.sessions import Session, Sessions, check_same_site
from gateway.signing import Keyring, SigningKeys
from gateway.transport import certificate_of
from gateway.web_token import (
    LEEWAY,
    InvalidToken,
    Unverified,
    VerificationKey,
    check_is_access_token,
    read,
    thumbprint_of,
)
from gateway.web_token import verify as verify_signed

__all__ = [
    "AmbiguousCredentials",
    "Authentication",
    "InvalidToken",
    "SignInNeeded",
    "Tokens",
    "bearer_token",
    "verify",
]

REMEMBERED = 4096  # tokens that were verified
PURPOSES = frozenset(Purpose)


class AmbiguousCredentials(BadRequest):
    """A request that carries a token in a way that is not taken, or more than one."""


class SignInNeeded(Unauthenticated):
    """A person without a session opens a page; `path` is where to go back to."""

    def __init__(self, path: str) -> None:
        super().__init__("sign in")
        self.path = path


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that was verified: whom it speaks for, until when, and the keys and the certificate it hangs on."""

    principal: Principal
    expires: int  # seconds since 1970
    thumbprint: str | None
    issuer: Provider | None  # None: this site itself
    keys: object  # those that it was verified with; with others it is verified again


class Tokens:
    """Verifies bearer tokens of the site's own issuer and of those it trusts, each once as long as nothing changes."""

    def __init__(self, keyring: Keyring, issuer: str, audience: str, issuers: Issuers | None = None) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._audience = audience
        self._issuers = issuers
        self._verified: dict[bytes, Verified] = {}  # by the token's SHA-256, the oldest first

    async def principal(self, token: str, certificate: str | None = None) -> Principal:
        """Whom the token speaks for, on a connection with the client certificate of that thumbprint.

        Raises InvalidToken; Unavailable where the issuer or what is known of it can't be asked.
        """
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        found = self._verified.get(digest)
        if found is None or not await self._holds(found):
            found = await self._verify(read(token))
            while len(self._verified) >= REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = found
        if found.thumbprint and not hmac.compare_digest(
            found.thumbprint.encode(), (certificate or "").encode()
        ):
            raise InvalidToken("the token is bound to a certificate that this connection does not show")
        return found.principal

    async def _holds(self, found: Verified) -> bool:
        if time.time() >= found.expires + LEEWAY:
            return False
        if found.issuer is None:
            return found.keys is self._keyring.current
        assert self._issuers
        known = await self._issuers.find(found.issuer.configured.url)
        return known is found.issuer and known.is_fresh and known.published is found.keys

    async def _verify(self, token: Unverified) -> Verified:
        thumbprint, expires = thumbprint_of(token.claims), token.claims.get("exp", 0)
        if token.issuer == self._issuer:
            keys = self._keyring.current
            if keys.find(token.header.get("kid")) is None:
                keys = self._keyring.look()
            principal = _own_principal(token, keys, self._issuer, self._audience)
            return Verified(principal, expires, thumbprint, None, keys)
        provider = await self._issuers.find(token.issuer) if self._issuers else None
        if provider is None:
            raise InvalidToken("the token is not valid here")
        principal = await provider.principal(token)
        return Verified(principal, expires, thumbprint, provider, provider.published)


class Authentication:
    """Lets requests through that carry a valid token or session, their Principal in `scope["principal"]`.

    A session is in `scope["session"]` as well. OPTIONS passes, since it tells nothing but methods (RFC 9110 section
    9.3.7). Where `pages` is set, who opens a page without a session is sent to sign in. Where `is_attended` is not, a
    script asks by itself, and a session idles on.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        sessions: Sessions,
        floods: Floods | None = None,
        pages: bool = False,
        is_attended: bool = True,
    ) -> None:
        self._app = app
        self._is_attended = is_attended
        self._tokens = tokens
        self._sessions = sessions
        self._floods = floods
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] != "OPTIONS"):
            try:
                receive = await self._identify(HTTPConnection(scope), receive)
            except (Unauthenticated, AmbiguousCredentials):
                if self._floods:
                    await self._floods.count(scope)
                raise
        await self._app(scope, receive, send)

    async def _identify(self, request: HTTPConnection, receive: Receive) -> Receive:
        """Put who asks into the scope; where the body is to be read from."""
        scope = request.scope
        session = await self._session(request)
        if session:
            scope["session"] = session
            scope["principal"] = session.principal
            return await check_same_site(request, session, receive, self._sessions.origin)
        principal = await self._tokens.principal(bearer_token(request), certificate_of(scope))
        scope["principal"] = principal
        if principal.purpose is not None:
            note(request, purpose=principal.purpose if principal.purpose in PURPOSES else "?")
        return receive

    async def _session(self, request: HTTPConnection) -> Session | None:
        """The session of the request's cookie, which counts where the request has no Authorization."""
        if "authorization" in request.headers or "access_token" in request.query_params:
            return None
        value = self._sessions.cookie_of(request)
        session = await self._sessions.find(value, is_attended=self._is_attended) if value else None
        if session is None and self._pages and request.scope.get("method") == "GET":
            raise SignInNeeded(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        return session


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
    """Whom a token of the site's own issuer speaks for. Raises InvalidToken."""
    return _own_principal(read(token), keys, issuer, audience)


def _own_principal(token: Unverified, keys: SigningKeys, issuer: str, audience: str) -> Principal:
    """A program by its identifier, a person by her name, whose token is for one permit (RFC 9068 section 2.2).

    Who holds the signing key may put roles into a token, and then has its name.
    """
    check_is_access_token(token)
    key = keys.find(token.header.get("kid"))
    known = VerificationKey(key.public, (key.algorithm,)) if key else None
    claims = verify_signed(token, known, issuer=issuer, audience=audience)
    roles = _roles(claims.get("roles", []))
    is_persons = "permit" in claims and claims.get("client_id", claims["sub"]) != claims["sub"]
    subject = claims["sub"] if roles or is_persons else client_subject(claims["sub"])
    actions = parse_actions(claims.get("scope", ""))
    return Principal(subject, actions, roles, claims.get("permit"), claims.get("purpose"))


def _roles(claim: object) -> frozenset[Role]:
    if not isinstance(claim, list) or not all(isinstance(name, str) for name in claim):
        raise InvalidToken("the token's claims are malformed")
    return frozenset(Role(name) for name in claim if name in list(Role))
