"""The built-in issuer: access tokens for registered programs (RFC 6749 section 4.4, RFC 9068)."""

import base64
import binascii
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from archive.audit import Event, Outcome, write_async
from archive.errors import BadRequest, SenogateError
from archive.policy import Action
from archive.subjects import client_subject
from gateway.clients import Registered, authenticate_client, is_identifier, narrow_scope
from gateway.issuing import DEFAULT_TTL, issue
from gateway.rate_limit import TOKENS_BY_ADDRESS, address_of
from gateway.services import services_of
from gateway.signing import ALGORITHMS, SigningKeys
from gateway.transport import certificate_of

__all__ = ["SigningKeys", "issue"]

MAXIMUM_REQUEST = 16 * 1024  # bytes of a token request
_NOT_STORED = {"cache-control": "no-store", "pragma": "no-cache"}


class TokenRefused(SenogateError):
    """An error of RFC 6749 section 5.2; `code` is one of those listed there."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


async def token(request: Request) -> Response:
    """POST /oauth/token."""
    try:
        form = await _parse_form(request)
        client_id, secret = _credentials(request, form)
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused("unsupported_grant_type", "the grant_type must be client_credentials")
        await services_of(request).buckets.take(f"token for {address_of(request)}", TOKENS_BY_ADDRESS)
        answer = await _recorded(request, client_id, secret, form)
    except TokenRefused as refusal:
        return _refused(request, refusal)
    return JSONResponse(answer, headers=_NOT_STORED)


async def _recorded(request: Request, client_id: str, secret: str, form: dict[str, str]) -> dict[str, object]:
    """As `_grant`, with a record in the trail of how it ended, before anybody hears of it."""
    try:
        answer = await _grant(request, client_id, secret, form)
    except TokenRefused as refusal:
        await _record(request, client_id, Outcome.REFUSED, {"error": refusal.code})
        raise
    named: dict[str, str] = {name: form[name] for name in ("permit", "purpose") if name in form}
    await _record(request, client_id, Outcome.SUCCESS, named)
    return answer


async def _record(request: Request, client_id: str, outcome: Outcome, detail: dict[str, str]) -> None:
    subject = client_subject(client_id) if is_identifier(client_id) else "unknown"
    detail = {"from": address_of(request), **detail}
    async with services_of(request).connection() as connection:
        await write_async(connection, Event.TOKEN, subject=subject, outcome=outcome, detail=detail)


async def _grant(request: Request, client_id: str, secret: str, form: dict[str, str]) -> dict[str, object]:
    registered = await _authenticate(request, client_id, secret)
    services = services_of(request)
    if form.get("resource", services.settings.dicomweb_url) != services.settings.dicomweb_url:
        raise TokenRefused("invalid_target", f"the resource is {services.settings.dicomweb_url}")
    thumbprint = certificate_of(request.scope) if registered.certificate_bound else None
    if registered.certificate_bound and not thumbprint:
        raise TokenRefused("invalid_client", "this client's tokens need a connection with its certificate")
    try:
        scope = narrow_scope(registered.scope, form.get("scope", ""))
    except BadRequest as error:
        raise TokenRefused("invalid_scope", str(error)) from None
    try:
        access_token = issue(
            services.keys.current,
            services.settings,
            subject=client_id,
            scope=scope,
            permit=form.get("permit"),
            purpose=form.get("purpose"),
            thumbprint=thumbprint,
        )
    except BadRequest as error:
        raise TokenRefused("invalid_request", str(error)) from None
    return {"access_token": access_token, "token_type": "Bearer", "expires_in": DEFAULT_TTL, "scope": scope}


async def _parse_form(request: Request) -> dict[str, str]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise TokenRefused("invalid_request", "the body must be application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_REQUEST:
            raise TokenRefused("invalid_request", "the body is too long")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:
        raise TokenRefused("invalid_request", "the body is malformed") from None
    if len(dict(pairs)) != len(pairs):
        raise TokenRefused("invalid_request", "a parameter is given twice")
    return dict(pairs)


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """The client's identifier and secret, from the header or the body, never from both (RFC 6749 2.3)."""
    headers = request.headers.getlist("authorization")
    if headers and "client_secret" in form or len(headers) > 1:
        raise TokenRefused("invalid_request", "the client authenticates in more than one way")
    client_id, secret = (
        _basic(headers[0]) if headers else (form.get("client_id", ""), form.get("client_secret", ""))
    )
    if headers and form.get("client_id", client_id) != client_id:
        raise TokenRefused(
            "invalid_request", "the client_id differs from the one of the Authorization header"
        )
    if not client_id or not secret or "\0" in client_id:
        raise TokenRefused("invalid_client", "client_id and client_secret are needed")
    return client_id, secret


def _basic(header: str) -> tuple[str, str]:
    """RFC 6749 section 2.3.1: both halves are form-encoded before they are joined."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        text = ""
    client_id, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise TokenRefused("invalid_client", "the Authorization header holds no Basic credentials")
    return unquote_plus(client_id), unquote_plus(secret)


async def _authenticate(request: Request, client_id: str, secret: str) -> Registered:
    async with services_of(request).connection() as connection:
        registered = await authenticate_client(connection, client_id, secret)
    if registered is None:
        raise TokenRefused("invalid_client", "no such client, or its secret is another")
    return registered


def _refused(request: Request, refusal: TokenRefused) -> Response:
    unauthorized = refusal.code == "invalid_client"
    status = HTTPStatus.UNAUTHORIZED if unauthorized else HTTPStatus.BAD_REQUEST
    headers = _NOT_STORED | ({"www-authenticate": 'Basic realm="senogate"'} if unauthorized else {})
    return JSONResponse({"error": refusal.code, "error_description": str(refusal)}, status, headers)


async def configuration(request: Request) -> Response:
    """GET /.well-known/openid-configuration (RFC 8414 section 2)."""
    settings = services_of(request).settings
    url, sees_certificates = (
        settings.public_url,
        settings.tls_client_authorities or settings.client_certificate_header,
    )
    document = {
        "issuer": url,
        "token_endpoint": f"{url}/oauth/token",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": list(Action),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": bool(sees_certificates),
    }
    return JSONResponse(document)


async def jwks(request: Request) -> Response:
    """GET /.well-known/jwks.json."""
    return JSONResponse(services_of(request).keys.current.jwks(), media_type="application/jwk-set+json")
