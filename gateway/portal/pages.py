"""How a page is made: of a template, under a policy by which it loads nothing from elsewhere.

Scripts run on few, and then the site's own files alone.
"""

from functools import cache
from http import HTTPStatus

from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

WITH_SCRIPT = f"{CONTENT_SECURITY_POLICY}; script-src 'self'; connect-src 'self'"
_SCRIPTED = frozenset(["worklist.html"])


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **values: object) -> Response:
    """An HTML page, kept by no cache."""
    policy = WITH_SCRIPT if template in _SCRIPTED else CONTENT_SECURITY_POLICY
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(render(template, **values), status, headers)


def render(template: str, **values: object) -> str:
    """A template of this folder with the values in it, escaped."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("gateway.portal", ""), autoescape=True)
