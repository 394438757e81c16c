"""Requests to issuers elsewhere: over TLS, of bounded size and time, and to no other place than the one asked."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from archive.addresses import is_allowed
from archive.errors import Unavailable

MAXIMUM_ANSWER = 256 * 1024  # bytes
TIMEOUT = 5.0  # seconds for a whole answer


async def fetch_json(
    url: str,
    authorities: str = "",
    *,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON object at a URL, or what it answers to a form. No redirect is followed.

    `authorities` is a PEM file of certificate authorities that are trusted beside the system's. Raises Unavailable.
    """
    if not is_allowed(url):
        raise Unavailable("the issuer names an address that is not asked: only https is")
    try:
        async with asyncio.timeout(TIMEOUT):
            found = json.loads(await _fetch(url, authorities, form, auth))
    except (httpx.HTTPError, OSError, TimeoutError, ValueError, RecursionError) as error:
        raise Unavailable(f"the issuer does not answer as one ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise Unavailable("the issuer does not answer as one")
    return found


async def _fetch(
    url: str, authorities: str, form: Mapping[str, str] | None, auth: tuple[str, str] | None
) -> bytes:
    secure = url.startswith("https:")
    verify = _context(authorities) if secure else False
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    async with (
        httpx.AsyncClient(verify=verify, trust_env=secure, follow_redirects=False, timeout=TIMEOUT) as client,
        client.stream("POST" if form else "GET", url, data=form, auth=auth, headers=headers) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"the issuer answers with the status {answer.status_code}")
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAXIMUM_ANSWER:
                raise Unavailable("the issuer answers with more than is read")
        return bytes(body)


def _context(authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authorities:
        context.load_verify_locations(authorities)
    return context
