"""Whether the process lives, and whether the site can be used."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.problem import RETRY_AFTER
from gateway.readiness import NEEDED
from gateway.services import services_of

_NOT_STORED = {"cache-control": "no-store"}


async def live(request: Request) -> Response:
    """GET /health/live: this process answers."""
    return JSONResponse({"status": "live"}, headers=_NOT_STORED)


async def ready(request: Request) -> Response:
    """GET /health/ready: 200 where every part that is needed answers, else 503; a line for each part."""
    problems = await services_of(request).readiness.report()
    lines = {
        part: {"ok": not problem} | ({"problem": problem} if problem else {})
        for part, problem in problems.items()
    }
    is_ready = not any(problems[part] for part in NEEDED)
    content = {"status": "ready" if is_ready else "not ready", "parts": lines}
    if is_ready:
        return JSONResponse(content, headers=_NOT_STORED)
    return JSONResponse(content, HTTPStatus.SERVICE_UNAVAILABLE, _NOT_STORED | {"retry-after": RETRY_AFTER})


ROUTES = [Route("/health/live", live), Route("/health/ready", ready)]
