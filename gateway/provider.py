"""One OpenID provider elsewhere: what it publishes, kept for a bounded time (OpenID Connect Discovery, RFC 7517)."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from archive.addresses import is_allowed
from archive.errors import Unavailable
from archive.policy import Principal, Role, parse_actions
from archive.subjects import external_subject
from gateway.outgoing import fetch_json
from gateway.web_token import InvalidToken, Unverified, VerificationKey, check_is_access_token, verify

FRESH = 600.0  # seconds for which what was fetched is relied upon
STALE = 3600.0  # seconds for which it is, where the issuer does not answer any more
REFRESH_INTERVAL = 30.0  # seconds between two fetches, whatever comes in
RETRY_INTERVAL = 5.0  # seconds after one that failed
MAXIMUM_KEYS = 64
MINIMUM_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Who has the value in the claim has the role. A claim within another is named with a dot."""

    claim: str
    value: str
    role: Role


@dataclass(frozen=True, slots=True)
class Configured:
    """An issuer as the site's administrator registered it."""

    name: str
    url: str
    audience: str = ""
    client_id: str = ""
    scope: str = ""
    roles: tuple[RoleRule, ...] = ()

    def roles_of(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """The roles that the claims prove by this issuer's rules; no other claim gives any."""
        return frozenset(rule.role for rule in self.roles if rule.value in _values(claims, rule.claim))


@dataclass(frozen=True, slots=True)
class Published:
    """What a provider says of itself, and its keys, by identifier."""

    metadata: Mapping[str, Any]
    keys: tuple[tuple[str, VerificationKey], ...]
    fetched_at: float  # monotonic

    def find(self, header: Mapping[str, Any]) -> VerificationKey | None:
        """The key that the header names; a provider's only key where it names none (RFC 7515 section 4.1.4)."""
        kid = header.get("kid")
        found = [
            key
            for name, key in self.keys
            if (name == kid if kid is not None else len(self.keys) == 1) and header["alg"] in key.algorithms
        ]
        return found[0] if found else None


class Provider:
    """Verifies the tokens of one issuer with the keys that it publishes.

    They are fetched when they are first needed, when they are old, and when a token names one that is not known; never
    more than once in `REFRESH_INTERVAL`, and once at a time.
    """

    def __init__(self, configured: Configured, authorities: str = "") -> None:
        self.configured = configured
        self.published: Published | None = None
        self.authorities = authorities
        self._fetching = asyncio.Lock()
        self._due_at = float("-inf")

    @property
    def is_fresh(self) -> bool:
        return self.published is not None and time.monotonic() - self.published.fetched_at < FRESH

    async def principal(self, token: Unverified) -> Principal:
        """Whom an access token speaks for. Raises InvalidToken or Unavailable."""
        if not self.configured.audience:
            raise InvalidToken("the token is not valid here")
        check_is_access_token(token)
        claims = await self.verify(token, self.configured.audience)
        subject = external_subject(self.configured.url, claims["sub"])
        actions = parse_actions(claims.get("scope", "")) or parse_actions(self.configured.scope)
        return Principal(
            subject, actions, self.configured.roles_of(claims), claims.get("permit"), claims.get("purpose")
        )

    async def verify(self, token: Unverified, audience: str) -> dict[str, Any]:
        """The claims of a token for the audience. Raises InvalidToken or Unavailable."""
        published = await self.ask()
        if published.find(token.header) is None:
            published = await self.ask(again=True)
        return verify(token, published.find(token.header), issuer=self.configured.url, audience=audience)

    async def ask(self, *, again: bool = False) -> Published:
        """What the provider publishes; fetched now where that is due, or wanted again. Raises Unavailable."""
        seen = self.published
        if again or not self.is_fresh:
            async with self._fetching:
                if time.monotonic() >= self._due_at and self.published is seen:
                    await self._refresh()
        if self.published is None or time.monotonic() - self.published.fetched_at > STALE:
            raise Unavailable("the issuer of the token does not answer")
        return self.published

    async def _refresh(self) -> None:
        self._due_at = time.monotonic() + RETRY_INTERVAL
        try:
            self.published = await self._fetch()
            self._due_at = time.monotonic() + REFRESH_INTERVAL
        except Unavailable:
            if self.published is None:
                raise

    def may_name(self, address: object) -> bool:
        """Whether what it publishes may send the site to an address: never from https to what is not."""
        if not isinstance(address, str) or not is_allowed(address):
            return False
        return address.startswith("https:") or self.configured.url.startswith("http:")

    async def _fetch(self) -> Published:
        url = self.configured.url
        metadata = await fetch_json(f"{url.rstrip('/')}/.well-known/openid-configuration", self.authorities)
        if metadata.get("issuer") != url or not self.may_name(metadata.get("jwks_uri")):
            raise Unavailable("the issuer does not describe itself by the address that it is registered with")
        keys = await fetch_json(metadata["jwks_uri"], self.authorities)
        return Published(metadata, tuple(_usable(keys.get("keys"))), time.monotonic())


def _usable(keys: object) -> Iterable[tuple[str, VerificationKey]]:
    """The keys of a set that signatures may be verified with; others are passed over (RFC 7517 section 5)."""
    for jwk in keys[:MAXIMUM_KEYS] if isinstance(keys, list) else []:
        if isinstance(jwk, dict) and jwk.get("use", "sig") == "sig" and isinstance(jwk.get("kid", ""), str):
            key = _verification_key(jwk)
            if key:
                yield jwk.get("kid", ""), key


def _verification_key(jwk: dict[str, Any]) -> VerificationKey | None:
    if jwk.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        public = jwt.PyJWK({name: jwk[name] for name in jwk if name not in ("d", "p", "q", "alg")}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    allowed = _algorithms(public)
    named = jwk.get("alg")
    algorithms = tuple(each for each in allowed if named in (None, each))
    return VerificationKey(public, algorithms) if algorithms else None


def _algorithms(public: object) -> tuple[str, ...]:
    if isinstance(public, rsa.RSAPublicKey) and public.key_size >= MINIMUM_RSA_BITS:
        return ("RS256", "PS256")
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return ("ES256",)
    return ("EdDSA",) if isinstance(public, ed25519.Ed25519PublicKey) else ()


def _values(claims: Mapping[str, Any], name: str) -> list[object]:
    """What a claim holds: one value, or those of a list. A name is looked for whole before it is cut at its dots."""
    found: object = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, list) else [found]
