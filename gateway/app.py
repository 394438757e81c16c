"""The application: what it is made of, and what every request passes before it comes to a route (`gateway.ways`)."""

from functools import partial

import httpx
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.settings import Settings
from archive.spans import Spans
from archive.tiers import Tiers
from archive.trail import Journal
from deidentification.deidentify import Deidentifier
from gateway import ways
from gateway.announcements import Announcements
from gateway.authentication import SignInNeeded
from gateway.conditional import EntityTags, NotModified, on_not_modified
from gateway.crowding import Crowding
from gateway.floods import Floods
from gateway.granted import Granted
from gateway.issuers import Issuers
from gateway.memberships import Memberships
from gateway.portal.languages import Languages
from gateway.portal.problem_pages import HANDLERS
from gateway.portal.sign_in import to_sign_in
from gateway.problem import LastResort
from gateway.rate_limit import Buckets
from gateway.readiness import Readiness
from gateway.search.error_form import ErrorForms
from gateway.services import Lent, Services
from gateway.sessions import Sessions
from gateway.signing import Keyring, SigningKeys
from gateway.stored import StoredFiles
from gateway.transport import PatientBody, TrustedProxies
from gateway.watching import Watching

_EXPOSED = [
    *("Accept-Ranges", "Content-Location", "Content-Range", "ETag", "Location"),
    *("Retry-After", "Warning", "WWW-Authenticate", "X-Request-ID"),
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
    spans: Spans | None = None,
) -> Starlette:
    """The gateway of a site. Its parts are opened and closed by who calls."""
    connect = partial(Lent, pool)
    buckets = Buckets(connect)
    services = Services(
        *(settings, pool, orthanc, Keyring(keys), Readiness(pool, orthanc, deidentifier.proof_key)),
        *(deidentifier, StoredFiles(Tiers.of(settings), deidentifier.proof_key), trail),
        *(Granted(connect), Sessions(settings, connect), Issuers(connect, settings.issuer_authorities)),
        *(buckets, Floods(buckets, trail), Announcements(settings.database_url)),
        Memberships(connect, settings.database_url),
    )
    app = Starlette(
        routes=ways.routes(services),
        middleware=[
            Middleware(Watching, spans=spans, writes_log=settings.access_log),
            Middleware(TrustedProxies, settings=settings),
            *_cross_origin(settings),
            Middleware(SecurityHeaders, is_secure=settings.public_url.startswith("https:")),
            Middleware(ErrorForms, forms=ways.error_forms(settings)),
            Middleware(Crowding, most=settings.requests_at_once),
            Middleware(Languages),
            Middleware(LastResort),
            Middleware(EntityTags),
            Middleware(PatientBody),
        ],
        exception_handlers=HANDLERS | {NotModified: on_not_modified, SignInNeeded: to_sign_in},
    )
    app.router.redirect_slashes = False
    app.state.services = services
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
