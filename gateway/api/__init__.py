"""`/api`: JSON for programs and pages: datasets, permits and roles; what models found and what readers say of it."""

from starlette.routing import Route

from gateway.api import datasets, permits, readings, roles, session

ROUTES: list[Route] = [*datasets.ROUTES, *permits.ROUTES, *roles.ROUTES, *readings.ROUTES, *session.ROUTES]
