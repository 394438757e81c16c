"""The application: its routes, and what every request passes on its way to one."""

import httpx
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.settings import Settings
from archive.trail import Journal
from deidentification.deidentify import Deidentifier
from gateway import (
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
from gateway.auditing import Auditing
from gateway.authentication import Authentication
from gateway.conditional import EntityTags, NotModified, on_not_modified
from gateway.problem import HANDLERS, LastResort
from gateway.readiness import PluginGuard, Readiness
from gateway.services import Services
from gateway.signing import SigningKeys
from gateway.stored import StoredFiles

_EXPOSED = [
    *("Accept-Ranges", "Content-Location", "Content-Range", "ETag", "Location"),
    *("Retry-After", "Warning", "WWW-Authenticate"),
]
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


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
    guarded = [
        Middleware(PluginGuard, readiness=readiness),
        Middleware(Auditing, trail=trail, is_pseudonym=deidentifier.pseudonyms.is_own_patient_id),
        Middleware(Authentication, keys=keys, issuer=settings.public_url, audience=settings.dicomweb_url),
    ]
    dicomweb = [
        Mount("/dicom-web", app=Router(_DICOMWEB, redirect_slashes=False), middleware=guarded),
        Route("/wado", wado_uri.retrieve, middleware=guarded),
    ]
    app = Starlette(
        routes=[*_ROUTES, *dicomweb],
        middleware=[
            *_cross_origin(settings),
            Middleware(SecurityHeaders),
            Middleware(LastResort),
            Middleware(EntityTags),
        ],
        exception_handlers=HANDLERS | {NotModified: on_not_modified},
    )
    app.router.redirect_slashes = False
    app.state.services = Services(settings, pool, orthanc, keys, readiness, deidentifier, stored, trail)
    return app


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

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_SECURITY_HEADERS]
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
    *health.ROUTES,
    *openapi.ROUTES,
    Route("/oauth/token", oauth.token, methods=["POST"]),
    Route("/.well-known/openid-configuration", oauth.configuration),
    Route("/.well-known/jwks.json", oauth.jwks),
]
