"""Who asks for counts: whoever has a token with `search.count`, a person who is signed in, a federation's mediator with
its secret, and anybody where the site answers anybody.
"""

from dataclasses import dataclass

from psycopg import AsyncConnection
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from archive import search_tokens
from archive.errors import Forbidden, NotFound, Unauthenticated
from archive.policy import Action, Principal
from archive.search_tokens import Known
from archive.state_item import marked
from archive.subjects import search_subject
from gateway.auditing import COUNTED, note
from gateway.authentication import AmbiguousCredentials, Authentication, Tokens
from gateway.floods import Floods
from gateway.issuers import Connect
from gateway.rate_limit import Buckets, Rate, address_of
from gateway.search.question import Question, conditions
from gateway.sessions import Sessions

ANYBODY = ""
"""Whose budget takes the questions of those who don't say who they are."""
ANONYMOUS_RATE = Rate(2, 60)
SECRET = "secret"  # noqa: S105 - the scheme that EUCAIM's mediators name


@dataclass(frozen=True, slots=True)
class Parts:
    """What tells who asks."""

    tokens: Tokens
    sessions: Sessions
    floods: Floods
    buckets: Buckets
    connect: Connect


class Askers(Authentication):
    """Lets requests through that may ask, with a Principal in the scope where one is known.

    `is_public`: without a credential too. `with_secrets`: a mediator's secret is a credential; where none was made and
    no other is shown, there is nothing here (404).
    """

    def __init__(self, app: ASGIApp, parts: Parts, *, is_public: bool, with_secrets: bool = False) -> None:
        super().__init__(app, parts.tokens, parts.sessions, parts.floods)
        self._parts = parts
        self._is_public = is_public
        self._with_secrets = with_secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[COUNTED] = True
        await super().__call__(scope, receive, send)

    async def _identify(self, request: HTTPConnection, receive: Receive) -> Receive:
        secret = _secret(request) if self._with_secrets else None
        if secret is not None:
            request.scope["principal"] = await self._mediator(request, secret)
            return receive
        if "authorization" in request.headers or "access_token" in request.query_params:
            return await super()._identify(request, receive)
        if await self._session(request) is None:
            await self._let_anybody(request)
            return receive
        return await super()._identify(request, receive)

    async def _mediator(self, request: HTTPConnection, secret: str) -> Principal:
        """Whom a secret speaks for. Raises Unauthenticated, NotFound."""
        found = await self._find(secret)
        if found.name:
            return Principal(search_subject(found.name), frozenset([Action.COUNT]))
        if not found.any_made:
            await self._hide(request)
        raise Unauthenticated("the secret is none that was made here")

    async def _let_anybody(self, request: HTTPConnection) -> None:
        """Raises Unauthenticated, NotFound, TooManyRequests."""
        if self._is_public:
            return await self._parts.buckets.take(f"search by {address_of(request)}", ANONYMOUS_RATE)
        if self._with_secrets and not (await self._find("")).any_made:
            await self._hide(request)
        raise Unauthenticated("a bearer token is needed")

    async def _hide(self, request: HTTPConnection) -> None:
        await self._parts.floods.count(request.scope)
        raise NotFound("nobody is let ask here: `senogate search token add` makes a token")

    async def _find(self, secret: str) -> Known:
        connection: AsyncConnection
        async with self._parts.connect() as connection:
            return await search_tokens.find(connection, secret)


def _secret(request: HTTPConnection) -> str | None:
    """The secret of the one Authorization header; None where it has none. Raises AmbiguousCredentials."""
    headers = request.headers.getlist("authorization")
    scheme, _, secret = (headers[0] if headers else "").partition(" ")
    if scheme.lower() != SECRET:
        return None
    if len(headers) > 1 or not secret.strip():
        raise AmbiguousCredentials("the Authorization header must hold one secret")
    return secret.strip()


def asker_of(request: Request) -> str:
    """Whose budget an answer is taken from. Raises Forbidden."""
    principal: Principal | None = request.scope.get("principal")
    if principal is None:
        return ANYBODY
    if Action.COUNT not in principal.actions:
        raise Forbidden(marked("the token lacks the scope %(scope)s"), scope=str(Action.COUNT))
    return principal.subject


def note_question(request: Request, question: Question) -> None:
    """Have the trail say what is asked for, by the names of criteria alone."""
    note(request, criteria=" ".join(sorted({each.criterion for each in conditions(question)})))
