"""GET /metrics: what Prometheus scrapes, for who may.

That a connection comes from loopback proves little: a reverse proxy on the same machine speaks for strangers, and need
not say so. It counts only at a site that is meant for its own machine alone, which `public_url` says, for it builds
every address that the site hands out; and where nothing in the request is a proxy's. Everybody else shows a credential,
or comes from `metrics_networks`.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from archive import measures
from archive.errors import Forbidden
from archive.policy import Action, Grants, Principal, Role
from archive.settings import Settings
from archive.subjects import client_subject
from gateway.services import grants_of, principal_of, services_of

PATH = "/metrics"
_PROXIED = frozenset(
    [b"forwarded", b"via", *(b"x-forwarded-" + each for each in (b"for", b"host", b"proto")), b"x-real-ip"]
)
_HERE = frozenset(["localhost", "127.0.0.1", "::1"])


class Scrapers:
    """Answers who is known by its address; passes all others on to where they show a credential."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._answer = Route(PATH, show).app
        self._is_own_machines = urlsplit(settings.public_url).hostname in _HERE
        self._networks = [ipaddress.ip_network(each) for each in settings.metrics_networks.split()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and self._knows(scope)
        await (self._answer if known else self._app)(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        address, port = scope.get("client") or ("", 0)
        is_told = not port  # by a proxy of `trusted_proxies`: gateway.transport put the address there
        if not is_told and _PROXIED & headers.keys():
            return False
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return False
        if any(client in network for network in self._networks):
            return True
        return self._is_own_machines and not is_told and client.is_loopback and _asks_here(headers)


def _asks_here(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the client calls the site by a name of loopback: a page of another name that leads here does not."""
    try:
        return urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}").hostname in _HERE
    except ValueError:  # such as a bracket that is not closed
        return False


async def show_known(request: Request) -> Response:
    """What Prometheus scrapes, in its text format: to a client with the scope metrics.read, or an administrator."""
    if not may_read(principal_of(request), grants_of(request)):
        raise Forbidden("programs registered here with the scope metrics.read, and administrators, read this")
    return await show(request)


def may_read(principal: Principal, grants: Grants) -> bool:
    """Whether it may: what an issuer elsewhere puts into a token's scope does not do."""
    is_client = principal.subject.startswith(client_subject(""))
    is_administrator = Role.ADMINISTRATOR in grants.roles
    return Action.METRICS in principal.actions and principal.has_roles and (is_client or is_administrator)


async def show(request: Request) -> Response:
    """Everything that is measured, in Prometheus' text format 0.0.4."""
    services = services_of(request)
    text = await services.measured.text()
    return Response(text, headers={"content-type": measures.CONTENT_TYPE, "cache-control": "no-store"})


ROUTES = [Route(PATH, show_known, methods=["GET"])]
