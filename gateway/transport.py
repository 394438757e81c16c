"""The connection that a request came by: its TLS, the proxy in front, and how long it may take to say what it wants."""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import logging
import os
import socket
import ssl
import time
from asyncio.events import TimerHandle
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from archive.errors import RequestTimeout
from archive.settings import Settings

HEAD_TIMEOUT = 20.0  # seconds from the first byte of a request to the end of its header section
BODY_TIMEOUT = 60.0  # seconds without a byte of a body that is waited for
SLOWEST_BODY = (
    16 * 1024
)  # bytes a second that a body comes with, on average, once BODY_TIMEOUT was waited for it
RENEWAL_INTERVAL = 60.0  # seconds between two looks at the certificate's files
MAXIMUM_HEAD = 64 * 1024  # bytes of a request line and its header section
_LOG = logging.getLogger(__name__)
_CERTIFICATE = "client_certificate"  # in `scope["state"]`: the thumbprint of what the client showed
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


def certificate_of(scope: Scope) -> str | None:
    """The SHA-256 thumbprint, base64url, of the certificate that the client proved to hold; None without one."""
    return cast("str | None", scope.get("state", {}).get(_CERTIFICATE))


def thumbprint(certificate: bytes) -> str:
    """`x5t#S256` of a certificate in DER (RFC 8705 section 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode("ascii")


class TrustedProxies:
    """Believes what a proxy of the site's own says of the client, and nobody else.

    From the addresses in `trusted_proxies` X-Forwarded-For and X-Forwarded-Proto are taken, and the certificate of the
    client from the header that `client_certificate_header` names (RFC 9440, or PEM with percent-encoding).
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        trusted = settings.trusted_proxies.replace(",", " ").split()
        self._networks = [ipaddress.ip_network(each) for each in trusted]
        self._header = settings.client_certificate_header.lower().encode("ascii")
        self._app = app
        self._behind = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._networks or not self._is_trusted(scope.get("client")):
            return await self._app(scope, receive, send)
        scope["state"] = {
            name: value for name, value in scope.get("state", {}).items() if name != _CERTIFICATE
        }
        shown = [value for name, value in scope["headers"] if self._header and name == self._header]
        certificate = _certificate(shown[0].decode("latin-1")) if len(shown) == 1 else None
        if certificate:
            scope["state"][_CERTIFICATE] = thumbprint(certificate)
        return await self._behind(scope, receive, send)

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ipaddress.ip_address(client[0]) if client else None
        except ValueError:
            return False
        return address is not None and any(address in network for network in self._networks)


async def renew_certificate(context: ssl.SSLContext | None, settings: Settings) -> None:
    """For ever: let new connections have the certificate that the files hold now. Returns at once without TLS."""
    known = _stamps(settings)
    while context:
        await asyncio.sleep(RENEWAL_INTERVAL)
        if (now := _stamps(settings)) != known:
            try:
                context.load_cert_chain(settings.tls_certificate, settings.tls_key)
                known = now
            except (
                OSError
            ) as error:  # ssl.SSLError is one; the two files may be of different pairs for a moment
                _LOG.error("the certificate stays as it was (%s)", type(error).__name__)


def _stamps(settings: Settings) -> list[int]:
    try:
        return [os.stat(path).st_mtime_ns for path in (settings.tls_certificate, settings.tls_key)]
    except OSError:
        return []


def _certificate(value: str) -> bytes | None:
    """The DER of a certificate in a header; None where the header holds none."""
    try:
        if value.startswith(":") and value.endswith(":"):
            return base64.b64decode(value[1:-1], validate=True)
        return ssl.PEM_cert_to_DER_cert(unquote(value).strip()) if value else None
    except (binascii.Error, ValueError):
        return None


class PatientBody:
    """Gives up on a body whose next byte does not come, or that comes so slowly that it would hold a turn for hours."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self._app(scope, receive, send)
        whole, left = False, BODY_TIMEOUT

        async def receive_in_time() -> Message:
            nonlocal whole, left
            if whole:
                return await receive()
            began = self._clock()
            try:
                async with asyncio.timeout(min(left, BODY_TIMEOUT)):
                    message = await receive()
            except TimeoutError:
                raise RequestTimeout("the body did not come") from None
            left += len(message.get("body", b"")) / SLOWEST_BODY - (self._clock() - began)
            whole = not message.get("more_body", False)
            if left <= 0 and not whole:
                raise RequestTimeout("the body came too slowly")
            return message

        return await self._app(scope, receive_in_time, send)


class Protocol(HttpToolsProtocol):
    """Uvicorn's, with the client's certificate, and with bounds for what comes before a request is whole."""

    _timer: TimerHandle | None = None
    _head = 0  # bytes of the head that is being read; 0 between heads

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's asks for it too
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        certificate = connection.getpeercert(binary_form=True) if connection else None
        if certificate:
            self.app_state = {**self.app_state, _CERTIFICATE: thumbprint(certificate)}
        self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 1
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head = 0
        self._stop_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head:
            self._head += len(data)
            if self._head > MAXIMUM_HEAD and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_TIMEOUT, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Uvicorn's, which has answers that go on for ever ended before it waits for those under way."""

    def __init__(self, configuration: uvicorn.Config, end: Callable[[], None]) -> None:
        super().__init__(configuration)
        self._end = end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        await super().shutdown(sockets)
