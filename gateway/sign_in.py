"""How a person proves who they are to an OpenID provider (OpenID Connect Core 1.0 section 3.1), with PKCE (RFC 7636).

What one attempt needs to remember lies in one secret, in a cookie of the browser that makes it: state, nonce and code
verifier are derived from it. So the site keeps nothing of an attempt, and refuses what comes back to another browser.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from archive.errors import BadRequest, Unauthenticated, Unavailable
from archive.policy import Role
from archive.subjects import external_subject
from gateway.outgoing import fetch_json
from gateway.provider import Provider
from gateway.sessions import derive
from gateway.web_token import InvalidToken, Unverified, read

SCOPE = "openid"


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in, and the roles that the provider's claims prove."""

    subject: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in by one provider; `secret` is the cookie's value."""

    provider: Provider
    secret: str
    redirect_uri: str

    @property
    def state(self) -> str:
        return derive(self.secret, f"state {self.provider.configured.name}")

    @property
    def nonce(self) -> str:
        return derive(self.secret, f"nonce {self.provider.configured.name}")

    @property
    def _verifier(self) -> str:
        return derive(self.secret, f"verifier {self.provider.configured.name}")

    async def address(self) -> str:
        """Where the browser is sent. Raises Unavailable."""
        endpoint = await self._endpoint("authorization_endpoint")
        challenge = hashlib.sha256(self._verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self.provider.configured.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": SCOPE,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"

    async def person(self, answer: dict[str, str], client_secret: str) -> Person:
        """Who came back. Raises BadRequest for an answer to another attempt, Unauthenticated, Unavailable."""
        await self._check(answer)
        tokens = await self._redeem(answer["code"], client_secret)
        if not isinstance(tokens.get("id_token"), str):
            raise Unauthenticated("the provider gave no ID token")
        token = read(tokens["id_token"])
        claims = await self.provider.verify(token, self.provider.configured.client_id)
        self._check_is_ours(token)
        subject = external_subject(self.provider.configured.url, claims["sub"])
        return Person(subject, self.provider.configured.roles_of(claims))

    async def _check(self, answer: dict[str, str]) -> None:
        """State binds the answer to this browser; `iss` tells that it is no other provider's (RFC 9207)."""
        if not hmac.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            raise BadRequest("this answers no sign-in that this browser began: begin again")
        metadata = (await self.provider.ask()).metadata
        is_said = metadata.get("authorization_response_iss_parameter_supported") is True or "iss" in answer
        if is_said and answer.get("iss") != self.provider.configured.url:
            raise BadRequest("the answer is of another provider")
        if "error" in answer or not answer.get("code"):
            raise Unauthenticated("the provider did not sign you in")

    async def _redeem(self, code: str, client_secret: str) -> dict[str, Any]:
        """RFC 6749 section 4.1.3; the secret as the provider takes it (OpenID Connect Discovery section 3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self._verifier,
        }
        published = await self.provider.ask()
        ways = published.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        client_id, auth = self.provider.configured.client_id, None
        if client_secret and "client_secret_basic" in ways:
            auth = quote(client_id, safe=""), quote(client_secret, safe="")
        else:
            form |= {"client_id": client_id} | ({"client_secret": client_secret} if client_secret else {})
        endpoint = await self._endpoint("token_endpoint")
        return await fetch_json(endpoint, self.provider.authorities, form=form, auth=auth)

    def _check_is_ours(self, token: Unverified) -> None:
        """OpenID Connect Core section 3.1.3.7: the nonce is this attempt's, and the token is made for this site."""
        claims = token.claims
        nonce, audience = claims.get("nonce"), claims["aud"]
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), self.nonce.encode()):
            raise InvalidToken("the ID token answers another sign-in")
        own = self.provider.configured.client_id
        if claims.get("azp", own) != own or (
            isinstance(audience, list) and len(audience) > 1 and "azp" not in claims
        ):
            raise InvalidToken("the ID token is for another program")

    async def _endpoint(self, name: str) -> str:
        found = (await self.provider.ask()).metadata.get(name)
        if not self.provider.may_name(found):
            raise Unavailable("the provider names no address that may be asked")
        return str(found)
