"""`/api`: datasets, permits and roles as JSON, for programs and pages. Who may not manage sees its own permits."""

from starlette.routing import Route

from gateway.api import datasets, permits, roles

ROUTES: list[Route] = [*datasets.ROUTES, *permits.ROUTES, *roles.ROUTES]
