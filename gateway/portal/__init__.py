"""The pages that a site shows to a person; nothing in them is loaded from elsewhere."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.portal import sign_in, worklist
from gateway.portal.pages import page, render
from gateway.services import services_of


async def front_page(request: Request) -> Response:
    """GET /: what this is, where DICOMweb is, how to get a token."""
    return page("front.html", settings=services_of(request).settings)


async def style_sheet(request: Request) -> Response:
    """GET /portal.css."""
    return Response(render("portal.css"), media_type="text/css")


ROUTES = [Route("/", front_page), Route("/portal.css", style_sheet), *worklist.PUBLIC, *sign_in.ROUTES]
