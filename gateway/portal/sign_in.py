"""`/login` and `/logout`: people sign in with a password of this site's, or by an OpenID provider."""

import hashlib
import hmac
import re
import secrets as random
from http import HTTPStatus
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from archive import secrets
from archive.audit import Event, Outcome, write_async
from archive.errors import BadRequest, TooManyRequests, Unauthenticated
from archive.policy import Role
from archive.subjects import account_subject
from gateway.accounts import find_hash
from gateway.authentication import SignInNeeded
from gateway.portal.forms import local_path
from gateway.portal.languages import gettext, marked, told
from gateway.portal.pages import page
from gateway.rate_limit import SIGN_IN_BY_ADDRESS, SIGN_IN_BY_NAME, Rate, address_of
from gateway.services import services_of
from gateway.sessions import CSRF_FIELD, CrossSite, check_origin, check_same_site, derive, is_form, read_body
from gateway.sign_in import Attempt

ATTEMPT_LASTS = 600  # seconds between the page and the answer
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_WRONG = marked("The name or the password is wrong.")


async def login_page(request: Request) -> Response:
    """GET /login: the ways to sign in; for who is signed in, the way out."""
    sessions = services_of(request).sessions
    value = sessions.cookie_of(request)
    session = await sessions.find(value) if value else None
    if session:
        return page("signed_in.html", session=session, subject=session.principal.subject)
    return await _login_form(request, local_path(request.query_params.get("next", "")))


async def login(request: Request) -> Response:
    """POST /login: a name and a password of this site's own."""
    form, attempt = await _form(request)
    after = local_path(form.get("next", ""))
    name, password = form.get("name", ""), form.get("password", "")
    services, counted = services_of(request), _counted(request, name)
    try:
        for bucket, rate in counted.items():
            await services.buckets.take(bucket, rate)
        is_right = await _is_right(request, name, password)
    except TooManyRequests as error:
        answer = await _login_form(request, after, told(error), HTTPStatus.TOO_MANY_REQUESTS, attempt)
        answer.headers["retry-after"] = str(error.retry_after)
        return answer
    if not is_right:
        return await _login_form(request, after, gettext(_WRONG), HTTPStatus.FORBIDDEN, attempt)
    for bucket, rate in counted.items():
        await services.buckets.give_back(bucket, rate)
    return await _signed_in(request, account_subject(name), frozenset(), after, "password")


def _counted(request: Request, name: str) -> dict[str, Rate]:
    """What an attempt counts against: who asks, and whom they say to be, as a hash: it may be a mistyped password."""
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
    return {
        f"sign-in from {address_of(request)}": SIGN_IN_BY_ADDRESS,
        f"sign-in as {digest}": SIGN_IN_BY_NAME,
    }


async def _is_right(request: Request, name: str, password: str) -> bool:
    services = services_of(request)
    async with services.connection() as connection:
        stored = await find_hash(connection, name) if "\0" not in name else None
    is_right = await services.passwords.is_right(password, stored)
    if not is_right:
        subject = account_subject(name) if stored else "unknown"
        async with services.connection() as connection:
            detail = {"by": "password", "from": address_of(request)}
            await write_async(
                connection, Event.LOGIN, subject=subject, outcome=Outcome.REFUSED, detail=detail
            )
    return is_right


async def begin(request: Request) -> Response:
    """GET /login/{issuer}: to the provider, with an attempt of this browser's own."""
    services = services_of(request)
    await services.buckets.take(f"sign-in from {address_of(request)}", SIGN_IN_BY_ADDRESS)
    secret, after = random.token_urlsafe(32), local_path(request.query_params.get("next", ""))
    attempt = await _attempt(request, secret)
    answer = RedirectResponse(await attempt.address(), HTTPStatus.SEE_OTHER, {"cache-control": "no-store"})
    _remember(request, answer, f"{secret}.{quote(after, safe='')}")
    return answer


async def come_back(request: Request) -> Response:
    """GET /login/{issuer}/callback: from the provider."""
    services = services_of(request)
    secret, _, after = request.cookies.get(_cookie(request), "").partition(".")
    pairs = request.query_params.multi_items()
    answer = dict(pairs)
    if not secret or len(answer) != len(pairs):
        raise BadRequest("this answers no sign-in that this browser began: begin again")
    attempt = await _attempt(request, secret)
    name = attempt.provider.configured.name
    try:
        person = await attempt.person(answer, secrets.issuer_secret(services.settings.secrets, name))
    except Unauthenticated as error:
        async with services.connection() as connection:
            detail = {"by": name, "from": address_of(request)}
            await write_async(
                connection, Event.LOGIN, subject="unknown", outcome=Outcome.REFUSED, detail=detail
            )
        return await _login_form(
            request, local_path(unquote(after)), told(error), HTTPStatus.FORBIDDEN, random.token_urlsafe(32)
        )
    return await _signed_in(request, person.subject, person.roles, local_path(unquote(after)), name)


async def logout(request: Request) -> Response:
    """POST /logout."""
    services = services_of(request)
    value = services.sessions.cookie_of(request)
    session = await services.sessions.find(value) if value else None
    if session and value:
        await check_same_site(request, session, request.receive, services.sessions.origin)
        async with services.connection() as connection, connection.transaction():
            await services.sessions.end(connection, value)
            await write_async(connection, Event.LOGOUT, subject=session.principal.subject)
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER, {"clear-site-data": '"cache"'})
    services.sessions.clear_cookie(answer)
    return answer


async def to_sign_in(request: Request, error: Exception) -> Response:
    """The answer to who opens a page without a session."""
    assert isinstance(error, SignInNeeded)
    return RedirectResponse(f"/login?next={quote(error.path, safe='')}", HTTPStatus.SEE_OTHER)


async def _signed_in(request: Request, subject: str, roles: frozenset[Role], after: str, by: str) -> Response:
    """Begin a session with a value of its own, whatever cookie came, and end the one that came."""
    services = services_of(request)
    before = services.sessions.cookie_of(request)
    async with services.connection() as connection, connection.transaction():
        if before:
            await services.sessions.end(connection, before)
        value = await services.sessions.start(connection, subject, roles)
        detail = {"by": by, "from": address_of(request)}
        await write_async(connection, Event.LOGIN, subject=subject, detail=detail)
    answer = RedirectResponse(after, HTTPStatus.SEE_OTHER, {"cache-control": "no-store"})
    services.sessions.set_cookie(answer, value)
    answer.delete_cookie(_cookie(request), path="/", secure=services.sessions.is_secure, httponly=True)
    return answer


async def _login_form(
    request: Request, after: str, problem: str = "", status: HTTPStatus = HTTPStatus.OK, attempt: str = ""
) -> Response:
    """The form, its token derived from a secret in a cookie of the browser that it is shown in."""
    services = services_of(request)
    known = request.cookies.get(_cookie(request), "").partition(".")[0]
    secret = attempt or (known if _SECRET.fullmatch(known) else random.token_urlsafe(32))
    issuers = [provider.configured.name for provider in await services.issuers.with_sign_in()]
    answer = page(
        "login.html", status, csrf=derive(secret, "login"), next=after, problem=problem, issuers=issuers,
        query=f"?next={quote(after, safe='')}",
    )  # fmt: skip
    _remember(request, answer, secret)
    return answer


async def _form(request: Request) -> tuple[dict[str, str], str]:
    """The form's fields and the attempt's secret. Raises CrossSite for a form that this browser was not shown."""
    check_origin(request, services_of(request).sessions.origin)
    if not is_form(request):
        raise BadRequest("the body must be application/x-www-form-urlencoded")
    pairs = parse_qsl((await read_body(request.receive)).decode("utf-8", "replace"), keep_blank_values=True)
    form, secret = dict(pairs), request.cookies.get(_cookie(request), "").partition(".")[0]
    given = form.get(CSRF_FIELD, "").encode("utf-8", "replace")
    if not secret or not hmac.compare_digest(given, derive(secret, "login").encode()):
        raise CrossSite("the form is not one that this browser was shown lately: open /login again")
    return form, secret


async def _attempt(request: Request, secret: str) -> Attempt:
    services, name = services_of(request), request.path_params["issuer"]
    provider = await services.issuers.named(name)
    return Attempt(provider, secret, f"{services.settings.public_url}/login/{name}/callback")


def _remember(request: Request, answer: Response, value: str) -> None:
    """Lax, for the way back from a provider is a step from another site."""
    is_secure = services_of(request).sessions.is_secure
    answer.set_cookie(
        _cookie(request), value, ATTEMPT_LASTS, path="/", secure=is_secure, httponly=True, samesite="lax"
    )


def _cookie(request: Request) -> str:
    return services_of(request).sessions.cookie + "-login"


ROUTES = [
    Route(path, endpoint, methods=[method], include_in_schema=False)
    for method, path, endpoint in (
        ("GET", "/login", login_page),
        ("POST", "/login", login),
        ("POST", "/logout", logout),
        ("GET", "/login/{issuer}", begin),
        ("GET", "/login/{issuer}/callback", come_back),
    )
]
