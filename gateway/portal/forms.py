"""What a person sends from a page: the fields of a form, and where the answer leads."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time
from http import HTTPStatus
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archive.errors import HTTP_STATUS, BadRequest, Conflict, Forbidden, NotFound, UnsupportedMediaType
from gateway.api.management import is_manager
from gateway.api.payload import Payload
from gateway.portal.languages import told
from gateway.portal.pages import page
from gateway.services import principal_of
from gateway.sessions import is_form, read_body

LONGEST_PATH = 1500  # characters as they lie in a cookie
Handler = Callable[[Request], Awaitable[Response]]
Show = Callable[[Request, str, HTTPStatus], Awaitable[Response]]
"""Makes a page with a problem on it, and the status that goes with that."""


async def read_form(request: Request, *, lists: tuple[str, ...] = ()) -> Payload:
    """The fields of a form, those of `lists` as often as they were sent. Raises UnsupportedMediaType, BadRequest.

    Fields that were left empty are left out; texts, but for passwords, have no white space around them.
    """
    if not is_form(request):
        raise UnsupportedMediaType("taken is: application/x-www-form-urlencoded")
    try:
        sent = parse_qs((await read_body(request.receive)).decode("utf-8"), max_num_fields=200)
    except ValueError:
        raise BadRequest("the form can't be read") from None
    fields = {
        name: values if name == "password" else [value.strip() for value in values]
        for name, values in sent.items()
    }
    if any("\0" in value for values in fields.values() for value in values):
        raise BadRequest("the form can't be read")
    return Payload({name: values if name in lists else values[-1] for name, values in fields.items()})


def last_day(form: Payload, name: str) -> datetime | None:
    """The end of a day (UTC) that the form names, if it names one. Raises BadRequest."""
    day = form.moment(name)
    return day and datetime.combine(day.date(), time.max, UTC)


def answering(show: Show, change: Handler) -> Handler:
    """The endpoint of a form: after the change back to its page; what was wrong is said on it."""

    async def answer(request: Request) -> Response:
        try:
            return await change(request)
        except (BadRequest, NotFound, Conflict) as error:
            status = next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)
            return await show(request, told(error), status)
        except Forbidden as error:
            return refusal(request, told(error))

    return answer


def managing(show: Handler) -> Handler:
    """The endpoint of a page that stewards or administrators alone see: whoever else asks is told so.

    Of what is not there a page says so, too.
    """

    async def answer(request: Request) -> Response:
        try:
            return await show(request)
        except Forbidden as error:
            return refusal(request, told(error))
        except NotFound:
            return absent(request)

    return answer


def back_to(path: str) -> Response:
    """To the page, asked for anew, so that loading it again sends no form a second time."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, {"cache-control": "no-store"})


def local_path(path: str) -> str:
    """Where a form or a sign-in leads: a path of this site and nothing that a browser reads as another's; else `/`."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local and len(quote(path, safe="")) <= LONGEST_PATH else "/"


def refusal(request: Request, why: str) -> Response:
    """A page that is not for the person who asks."""
    return signed_page(request, "refused.html", HTTPStatus.FORBIDDEN, why=why)


def absent(request: Request) -> Response:
    """A page that is not there, or not for the person who asks: the two are told apart nowhere."""
    return signed_page(request, "absent.html", HTTPStatus.NOT_FOUND)


def signed_page(
    request: Request, template: str, status: HTTPStatus = HTTPStatus.OK, **values: object
) -> Response:
    """A page for who is signed in: with their name, the way out, and the token that its forms send along."""
    session = request.scope.get("session")
    common = {
        "subject": principal_of(request).subject,
        "manages": is_manager(request),
        "csrf": session.csrf if session else "",
    }
    return page(template, status, **common | values)
