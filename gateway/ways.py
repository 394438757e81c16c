"""Every route, and by which way one comes to it: who may, what is counted, and what goes on record.

The order of a way is that of its middleware: what is put on record is so whatever comes of it, then who asks is found
out, is held to a rate, and is asked whether she may.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from archive.settings import Settings
from gateway import (
    api,
    capabilities,
    health,
    metrics,
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
from gateway.api import beacon, search
from gateway.auditing import Auditing
from gateway.authentication import Authentication, Tokens
from gateway.authorization import Authorization
from gateway.catalogue import pages as catalogue
from gateway.catalogue import version_pages
from gateway.fleet import routes as fleet
from gateway.portal import (
    access,
    admin,
    application,
    catalogue_editing,
    consents,
    federation,
    federation_runs,
    front,
    jobs,
    leaderboard,
    quality,
    worklist,
)
from gateway.portal import search as search_page
from gateway.portal.visits import Visits
from gateway.rate_limit import Rate, RateLimit
from gateway.readiness import PluginGuard
from gateway.search.askers import Askers, Parts
from gateway.search.beacon import error as beacon_error
from gateway.search.error_form import Render
from gateway.segments import SegmentsRouter
from gateway.services import Lent, Services
from gateway.viewer import pages as viewer

Way = list[Middleware]


@dataclass(frozen=True, slots=True)
class Ways:
    """What may stand before a route."""

    settings: Settings
    audited: Middleware
    plugin: Middleware
    visit: Middleware
    then: Way
    parts: Parts

    @classmethod
    def of(cls, services: Services) -> "Ways":
        settings, pseudonyms = services.settings, services.deidentifier.pseudonyms
        tokens = Tokens(services.keys, settings.public_url, settings.dicomweb_url, services.issuers)
        rate = Rate(settings.rate_limit, settings.rate_burst)
        return cls(
            settings,
            Middleware(Auditing, trail=services.trail, is_pseudonym=pseudonyms.is_own_patient_id),
            Middleware(PluginGuard, readiness=services.readiness),
            Middleware(Visits, sessions=services.sessions, granted=services.granted),
            [
                Middleware(RateLimit, buckets=services.buckets, rate=rate),
                Middleware(Authorization, granted=services.granted),
            ],
            Parts(tokens, services.sessions, services.floods, services.buckets, partial(Lent, services.pool)),
        )

    def known(self) -> Way:
        """Whoever has a credential."""
        return [self.audited, self._who(), *self.then]

    def pages(self) -> Way:
        """People, who are sent to sign in where they have not."""
        return [self.audited, self._who(pages=True), *self.then, self.visit]

    def scripted(self) -> Way:
        """What a page asks by itself while nobody may be looking, so that it keeps no session alive."""
        return [self.audited, self._who(is_attended=False), *self.then]

    def software(self) -> Way:
        """The viewer's pages: public software, of which what it asks for is on record, and not the page."""
        return [self._who(pages=True), self.then[0], self.visit]

    def scraping(self) -> Way:
        """Who reads what is measured, every few seconds: what it is told is of no patient, and not put on record."""
        return [Middleware(metrics.Scrapers, settings=self.settings), self._who(), *self.then]

    def asking(self, *, is_public: bool, with_secrets: bool = False) -> Way:
        """Who asks for counts."""
        asker = partial(Askers, parts=self.parts)
        return [self.audited, Middleware(asker, is_public=is_public, with_secrets=with_secrets), *self.then]

    def _who(self, *, pages: bool = False, is_attended: bool = True) -> Middleware:
        parts = self.parts
        return Middleware(
            Authentication,
            tokens=parts.tokens,
            sessions=parts.sessions,
            floods=parts.floods,
            pages=pages,
            is_attended=is_attended,
        )


def routes(services: Services) -> list[BaseRoute]:
    """All routes of a site."""
    ways = Ways.of(services)
    return [*_dicomweb(ways), *_OPEN, *_searches(ways), *_for_people(ways), *_for_programs(ways)]


def _dicomweb(ways: Ways) -> list[BaseRoute]:
    guarded = [ways.plugin, *ways.known()]
    return [
        Mount("/dicom-web", app=SegmentsRouter(DICOMWEB), middleware=guarded),
        Route("/wado", wado_uri.retrieve, middleware=guarded),
    ]


def _for_people(ways: Ways) -> list[BaseRoute]:
    scripted = (*front.SCRIPTED, *worklist.SCRIPTED, *federation.SCRIPTED, *federation_runs.SCRIPTED)
    return [
        *_behind(ways.pages(), _PAGES),
        *_behind(ways.scripted(), scripted),
        *_behind([ways.visit], portal.PAGES),
        *_behind([ways.visit], (*catalogue.ROUTES, *version_pages.ROUTES), in_schema=True),
        *_behind(ways.software(), viewer.PAGES),
    ]


def _for_programs(ways: Ways) -> list[BaseRoute]:
    return [
        *_behind(ways.known(), api.ROUTES, in_schema=True),
        *_behind(ways.scraping(), metrics.ROUTES, in_schema=True),
        # Who asks is another node, which gateway.fleet.identity makes out.
        *_behind([ways.audited], fleet.ROUTES, in_schema=True),
    ]


def error_forms(settings: Settings) -> dict[str, Render]:
    """The interfaces of others, by their paths, whose errors have a form of their own."""
    return {search.EUCAIM: search.eucaim_error, beacon.PATH: partial(beacon_error, settings.public_url)}


def _searches(ways: Ways) -> list[BaseRoute]:
    """The ways to ask for counts."""
    is_public = ways.settings.search_public
    known, mediators = ways.asking(is_public=is_public), ways.asking(is_public=is_public, with_secrets=True)
    return [
        *_behind(known, search.ROUTES, in_schema=True),
        *_behind(mediators, search.EUCAIM_ROUTES, in_schema=True),
        *_behind([], beacon.ROUTES, in_schema=True),
        *_behind(known, beacon.COUNTING, in_schema=True),
        *_behind([*ways.asking(is_public=True), ways.visit], search_page.ROUTES),
    ]


def _behind(way: Way, routes: Sequence[Route], *, in_schema: bool = False) -> list[BaseRoute]:
    """The routes, each at the end of the way."""
    return [
        Route(
            *(each.path, each.endpoint),
            methods=each.methods,
            middleware=way,
            include_in_schema=in_schema and each.include_in_schema,
        )
        for each in routes
    ]


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
DICOMWEB: list[BaseRoute] = [
    *(*capabilities.ROUTES, *_STUDIES, *qido.ROUTES),
    *(*wado.ROUTES, *rendered.ROUTES, *ups.ROUTES),
]
_OPEN: list[BaseRoute] = [
    *portal.ROUTES,
    *viewer.STATIC,
    *health.ROUTES,
    *openapi.ROUTES,
    Route("/oauth/token", oauth.token, methods=["POST"]),
    Route("/.well-known/openid-configuration", oauth.configuration),
    Route("/.well-known/jwks.json", oauth.jwks),
]
_PAGES: list[Route] = [
    *(*access.ROUTES, *application.ROUTES, *admin.ROUTES, *consents.ROUTES, *catalogue_editing.ROUTES),
    *(*quality.ROUTES, *worklist.PAGES, *jobs.ROUTES),
    *(*leaderboard.ROUTES, *federation.ROUTES, *federation_runs.ROUTES),
]
