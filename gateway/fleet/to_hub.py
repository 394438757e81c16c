"""What a site asks its hub by itself: over TLS, of bounded size and time, and nobody but the hub."""

import asyncio
import json
import ssl
from http import HTTPStatus
from typing import Any

import httpx

from archive.addresses import is_allowed
from archive.errors import (
    HTTP_STATUS,
    BadRequest,
    ConfigurationError,
    SenogateError,
    TooManyRequests,
    Unavailable,
)
from archive.settings import Settings

MAXIMUM_ANSWER = 1024 * 1024  # bytes
TIMEOUT = 15.0  # seconds for a whole answer
LONGEST_DETAIL = 300  # characters of what the hub says that are passed on


def trust(settings: Settings) -> ssl.SSLContext:
    """Whom a site believes that it is the hub, and what it shows it. Raises ConfigurationError."""
    try:
        context = ssl.create_default_context()
        if settings.federation_authorities:
            context.load_verify_locations(settings.federation_authorities)
        if settings.federation_certificate:
            context.load_cert_chain(settings.federation_certificate, settings.federation_key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"federation_authorities or federation_certificate can't be used ({type(error).__name__})"
        ) from None
    return context


async def ask(
    settings: Settings,
    hub_url: str,
    method: str,
    path: str,
    *,
    token: str = "",
    content: dict[str, Any] | None = None,
) -> Any:
    """The JSON that the hub answers with, None without any. No redirect is followed.

    Raises Unavailable where it does not answer, and what it refuses with, in its words.
    """
    if not is_allowed(hub_url):
        raise BadRequest("the hub's address is not asked: only https is")
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    is_secure = hub_url.startswith("https:")
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            httpx.AsyncClient(
                verify=trust(settings) if is_secure else False,
                proxy=settings.federation_proxy or None,
                trust_env=False,
                timeout=TIMEOUT,
            ) as client,
            client.stream(method, f"{hub_url}{path}", headers=headers, json=content) as answer,
        ):
            return _read(answer.status_code, await _body(answer))
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise Unavailable(_why(error)) from None


def _why(error: BaseException | None) -> str:
    """What an administrator can do something about, of what went wrong on the way."""
    kind, cause = type(error).__name__, error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the hub shows a certificate that is not trusted: its authority goes into federation_authorities"
        cause = cause.__cause__ or cause.__context__
    return f"the hub does not answer ({kind})"


async def _body(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAXIMUM_ANSWER:
            raise Unavailable("the hub answers with more than is read")
    return bytes(body)


def _read(status: int, body: bytes) -> Any:
    try:
        found = json.loads(body) if body else None
    except (ValueError, RecursionError):
        raise Unavailable(f"the hub's address answers with the status {status}, and not as a hub") from None
    if 200 <= status < 300:
        return found
    raise _refusal(status, found)


def _refusal(status: int, found: Any) -> SenogateError:
    """What the hub refused with (RFC 9457)."""
    said = found.get("detail") if isinstance(found, dict) else None
    detail = "".join(filter(str.isprintable, said))[:LONGEST_DETAIL] if isinstance(said, str) else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return TooManyRequests(60)
    kinds = {known: kind for kind, known in reversed(HTTP_STATUS.items())}
    kind = kinds.get(HTTPStatus(status), Unavailable) if status in set(HTTPStatus) else Unavailable
    return kind(f"the hub says: {detail or f'status {status}'}")
