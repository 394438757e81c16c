"""The application: its routes, and what every request passes on its way to one."""

from collections.abc import Sequence
from functools import partial

import httpx
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.settings import Settings
from archive.trail import Journal
from deidentification.deidentify import Deidentifier
from gateway import (
    api,
    capabilities,
    health,
    oauth,
    openapi,
    portal,
    qido,
    rendered,
    stow,
    ups,
    wado,
    wado_uri,
)
from gateway.announcements import Announcements
from gateway.auditing import Auditing
from gateway.authentication import Authentication, SignInNeeded, Tokens
from gateway.authorization import Authorization
from gateway.conditional import EntityTags, NotModified, on_not_modified
from gateway.floods import Floods
from gateway.granted import Granted
from gateway.issuers import Issuers
from gateway.portal import access, admin, worklist
from gateway.portal.sign_in import to_sign_in
from gateway.problem import HANDLERS, LastResort
from gateway.rate_limit import Buckets, Rate, RateLimit
from gateway.readiness import PluginGuard, Readiness
from gateway.segments import SegmentsRouter
from gateway.services import Lent, Services
from gateway.sessions import Sessions
from gateway.signing import Keyring, SigningKeys
from gateway.stored import StoredFiles
from gateway.transport import PatientBody, TrustedProxies
from gateway.viewer import pages as viewer

_EXPOSED = [
    *("Accept-Ranges", "Content-Location", "Content-Range", "ETag", "Location"),
    *("Retry-After", "Warning", "WWW-Authenticate"),
]
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (
        b"referrer-policy",
        b"same-origin",
    ),  # with none, a browser says of its own forms that they come from nowhere
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")  # of what is no page
_ONLY_TLS = (b"strict-transport-security", b"max-age=31536000")


def create(
    settings: Settings,
    pool: AsyncConnectionPool,
    orthanc: httpx.AsyncClient,
    keys: SigningKeys,
    deidentifier: Deidentifier,
    trail: Journal,
) -> Starlette:
    """The gateway of a site. Its parts are opened and closed by who calls."""
    readiness = Readiness(pool, orthanc, deidentifier.proof_key)
    stored = StoredFiles(settings.storage, deidentifier.proof_key)
    keyring, connect = Keyring(keys), partial(Lent, pool)
    issuers = Issuers(connect, settings.issuer_authorities)
    sessions, buckets = Sessions(settings, connect), Buckets(connect)
    tokens = Tokens(keyring, settings.public_url, settings.dicomweb_url, issuers)
    rate = Rate(settings.rate_limit, settings.rate_burst)
    granted, floods = Granted(connect), Floods(buckets, trail)
    audited = Middleware(Auditing, trail=trail, is_pseudonym=deidentifier.pseudonyms.is_own_patient_id)
    known = [
        audited,
        Middleware(Authentication, tokens=tokens, sessions=sessions, floods=floods),
        Middleware(RateLimit, buckets=buckets, rate=rate),
        Middleware(Authorization, granted=granted),
    ]
    guarded = [Middleware(PluginGuard, readiness=readiness), *known]
    dicomweb = [
        Mount("/dicom-web", app=SegmentsRouter(_DICOMWEB), middleware=guarded),
        Route("/wado", wado_uri.retrieve, middleware=guarded),
    ]
    pages = [
        audited,
        Middleware(Authentication, tokens=tokens, sessions=sessions, floods=floods, pages=True),
        Middleware(RateLimit, buckets=buckets, rate=rate),
        Middleware(Authorization, granted=granted),
    ]
    unattended = Middleware(
        Authentication, tokens=tokens, sessions=sessions, floods=floods, is_attended=False
    )
    # What a page of the viewer asks for is on record; the page itself is public software.
    others = [
        *_behind(pages, (*access.ROUTES, *admin.ROUTES, *worklist.PAGES)),
        *_behind([audited, unattended, *known[2:]], worklist.SCRIPTED),
        *_behind(pages[1:3], viewer.PAGES),
        *_behind(known, api.ROUTES, in_schema=True),
    ]
    app = Starlette(
        routes=[*dicomweb, *_ROUTES, *others],
        middleware=[
            Middleware(TrustedProxies, settings=settings),
            *_cross_origin(settings),
            Middleware(SecurityHeaders, is_secure=settings.public_url.startswith("https:")),
            Middleware(LastResort),
            Middleware(EntityTags),
            Middleware(PatientBody),
        ],
        exception_handlers=HANDLERS | {NotModified: on_not_modified, SignInNeeded: to_sign_in},
    )
    app.router.redirect_slashes = False
    app.state.services = Services(
        *(settings, pool, orthanc, keyring, readiness, deidentifier, stored, trail),
        *(granted, sessions, issuers, buckets, floods, Announcements(settings.database_url)),
    )
    return app


def _behind(middleware: list[Middleware], routes: Sequence[Route], *, in_schema: bool = False) -> list[Route]:
    """The routes, each behind the middleware."""
    return [
        Route(
            *(each.path, each.endpoint),
            methods=each.methods,
            middleware=middleware,
            include_in_schema=in_schema,
        )
        for each in routes
    ]


def _cross_origin(settings: Settings) -> list[Middleware]:
    """What lets pages of other origins ask, where a site names any (the Fetch standard's CORS protocol)."""
    origins = settings.cors_origins.replace(",", " ").split()
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"],
            allow_headers=["Accept", "Authorization", "Content-Type", "If-None-Match", "Range"],
            expose_headers=_EXPOSED,
        )
    ]


class SecurityHeaders:
    """Adds to every answer what keeps browsers from guessing types, framing and naming where they were."""

    def __init__(self, app: ASGIApp, is_secure: bool = False) -> None:
        self._app = app
        self._headers = [*_SECURITY_HEADERS, *([_ONLY_TLS] if is_secure else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", []))
                policy = [] if any(name == _POLICY[0] for name, _ in own) else [_POLICY]
                message["headers"] = [*own, *self._headers, *policy]
            await send(message)

        await self._app(scope, receive, add)


class AllStudies(HTTPEndpoint):
    """/studies: search and store."""

    async def get(self, request: Request) -> Response:
        """Search for studies."""
        return await qido.search_studies(request)

    async def post(self, request: Request) -> Response:
        """Store instances of any studies."""
        return await stow.store(request)


class OneStudy(HTTPEndpoint):
    """/studies/{study}: retrieve and store."""

    async def get(self, request: Request) -> Response:
        """All instances of a study."""
        return await wado.retrieve_instances(request)

    async def post(self, request: Request) -> Response:
        """Store instances of one study."""
        return await stow.store(request)


_STUDIES: list[BaseRoute] = [Route("/studies", AllStudies), Route("/studies/{study}", OneStudy)]
_DICOMWEB: list[BaseRoute] = [
    *(*capabilities.ROUTES, *_STUDIES, *qido.ROUTES),
    *(*wado.ROUTES, *rendered.ROUTES, *ups.ROUTES),
]
_ROUTES: list[BaseRoute] = [
    *portal.ROUTES,
    *viewer.STATIC,
    *health.ROUTES,
    *openapi.ROUTES,
    Route("/oauth/token", oauth.token, methods=["POST"]),
    Route("/.well-known/openid-configuration", oauth.configuration),
    Route("/.well-known/jwks.json", oauth.jwks),
]
