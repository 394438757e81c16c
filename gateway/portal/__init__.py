"""The pages that a site shows to a person; nothing in them is loaded from elsewhere."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.portal import appearance, files, front, language_choice, sign_in, worklist
from gateway.portal.pages import render


async def federation_script(request: Request) -> Response:
    """GET /federation.js."""
    return Response(render("federation.js"), media_type="text/javascript")


PAGES = [
    *front.PAGES,
    *sign_in.ROUTES,
]
"""For anybody."""
ROUTES = [
    *files.ROUTES,
    *appearance.ROUTES,
    *language_choice.ROUTES,
    Route("/federation.js", federation_script, include_in_schema=False),
    *worklist.PUBLIC,
]
