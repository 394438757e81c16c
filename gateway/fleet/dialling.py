"""How a site reaches its federation's hub and nobody else: over TLS, as itself, by the proxy that it is told of."""

from collections.abc import Generator
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

from archive.addresses import is_allowed
from archive.errors import ConfigurationError
from archive.federation_roles import Joined
from archive.settings import Settings
from gateway.fleet.identity import Identity
from gateway.fleet.to_hub import trust

KEPT_OPEN = 25.0  # seconds without a call after which a connection is closed: heartbeats come every 17 to 23
TIMEOUT = httpx.Timeout(30.0, connect=10.0)


class Bearer(httpx.Auth):
    """Puts the site's token of the moment on each request."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = f"Bearer {self._identity.token()}"
        yield request


def client(settings: Settings, joined: Joined, *, anonymous: bool = False) -> httpx.Client:
    """A client at the hub's URL, with the site's token unless `anonymous`. Raises ConfigurationError."""
    return httpx.Client(**_options(settings, joined, anonymous=anonymous))


def async_client(settings: Settings, joined: Joined) -> httpx.AsyncClient:
    """The same for an event loop. Raises ConfigurationError."""
    options = _options(settings, joined, anonymous=False)
    verify, proxy = options.pop("verify"), options.pop("proxy")
    transport = AiohttpTransport(
        verify=verify,
        proxy=httpx.Proxy(proxy) if proxy else None,
        limits=httpx.Limits(max_connections=20, keepalive_expiry=KEPT_OPEN),
        trust_env=False,
    )
    return httpx.AsyncClient(transport=transport, **options)


def _options(settings: Settings, joined: Joined, *, anonymous: bool) -> dict[str, Any]:
    if not is_allowed(joined.hub_url):
        raise ConfigurationError("the hub's address must be https")
    return {
        "base_url": joined.hub_url,
        "auth": None if anonymous else Bearer(Identity.load(settings, joined)),
        "verify": trust(settings) if joined.hub_url.startswith("https:") else False,
        "proxy": settings.federation_proxy or None,
        "trust_env": False,
        "follow_redirects": False,
        "timeout": TIMEOUT,
        "headers": {"accept-encoding": "identity"},
    }
