"""`/api`: JSON for programs and pages: what the site holds, who may see and use it, what readers say of findings."""

from starlette.routing import Route

from gateway.api import (
    applications,
    catalogue,
    consents,
    datasets,
    jobs,
    permits,
    quality,
    readings,
    roles,
    session,
    state,
)

ROUTES: list[Route] = [
    *datasets.ROUTES,
    *catalogue.ROUTES,
    *permits.ROUTES,
    *applications.ROUTES,
    *consents.ROUTES,
    *roles.ROUTES,
    *readings.ROUTES,
    *quality.ROUTES,
    *jobs.ROUTES,
    *session.ROUTES,
    *state.ROUTES,
]
