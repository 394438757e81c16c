"""Where nodes of a federation speak to each other."""

from starlette.routing import Route

from gateway.fleet import membership, models, questions, relay, runs

ROUTES: tuple[Route, ...] = (
    *(*membership.ROUTES, *relay.ROUTES, *runs.ROUTES),
    *(*models.ROUTES, *questions.ROUTES),
)
