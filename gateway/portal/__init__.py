"""The pages that a site shows to a person; nothing in them is loaded from elsewhere."""

from functools import cache

from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.services import services_of

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def front_page(request: Request) -> Response:
    """GET /: what this is, where DICOMweb is, how to get a token."""
    body = _templates().get_template("front.html").render(settings=services_of(request).settings)
    return HTMLResponse(body, headers={"content-security-policy": _CONTENT_SECURITY_POLICY})


async def style_sheet(request: Request) -> Response:
    """GET /portal.css."""
    return Response(_templates().get_template("portal.css").render(), media_type="text/css")


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("gateway.portal", ""), autoescape=True)


ROUTES = [Route("/", front_page), Route("/portal.css", style_sheet)]
