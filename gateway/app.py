"""The application: its routes, and what every request passes on its way to one."""

import httpx
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from gateway import health, oauth, portal, qido, rendered, stow, wado, wado_uri
from gateway.authentication import Authentication
from gateway.problem import HANDLERS, LastResort
from gateway.readiness import PluginGuard, Readiness
from gateway.services import Services
from gateway.signing import SigningKeys
from gateway.stored import StoredFiles

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
) -> Starlette:
    """The gateway of a site. Its parts are opened and closed by who calls."""
    readiness = Readiness(pool, orthanc, deidentifier.proof_key)
    stored = StoredFiles(settings.storage, deidentifier.proof_key)
    guarded = [
        Middleware(PluginGuard, readiness=readiness),
        Middleware(Authentication, keys=keys, issuer=settings.public_url, audience=settings.dicomweb_url),
    ]
    resources = Router([*_STUDIES, *qido.ROUTES, *wado.ROUTES, *rendered.ROUTES], redirect_slashes=False)
    dicomweb = [
        Mount("/dicom-web", app=resources, middleware=guarded),
        Route("/wado", wado_uri.retrieve, middleware=guarded),
    ]
    app = Starlette(
        routes=[*_ROUTES, *dicomweb],
        middleware=[Middleware(SecurityHeaders), Middleware(LastResort)],
        exception_handlers=HANDLERS,
    )
    app.router.redirect_slashes = False
    app.state.services = Services(settings, pool, orthanc, keys, readiness, deidentifier, stored)
    return app


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
        return await qido.search_studies(request)

    async def post(self, request: Request) -> Response:
        return await stow.store(request)


class OneStudy(HTTPEndpoint):
    """/studies/{study}: retrieve and store."""

    async def get(self, request: Request) -> Response:
        return await wado.retrieve_instances(request)

    async def post(self, request: Request) -> Response:
        return await stow.store(request)


_STUDIES: list[BaseRoute] = [Route("/studies", AllStudies), Route("/studies/{study}", OneStudy)]
_ROUTES: list[BaseRoute] = [
    *portal.ROUTES,
    *health.ROUTES,
    Route("/oauth/token", oauth.token, methods=["POST"]),
    Route("/.well-known/openid-configuration", oauth.configuration),
    Route("/.well-known/jwks.json", oauth.jwks),
]
