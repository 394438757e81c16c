"""What a person sends from a page: the fields of a form, and where the answer leads."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from http import HTTPStatus
from urllib.parse import parse_qs, quote

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archive.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    Unavailable,
    UnsupportedMediaType,
    status_of,
)
from gateway.api.management import is_manager
from gateway.api.payload import Payload
from gateway.portal.languages import told
from gateway.portal.pages import page
from gateway.problem import RETRY_AFTER
from gateway.services import principal_of
from gateway.sessions import MAXIMUM_FORM, MAXIMUM_VISITORS_FORM, has_files, is_form, read_body

_MOST_FIELDS = 8  # of a form with files, beside these
_LONGEST_FIELDS = 64 * 1024  # bytes of these
LONGEST_PATH = 1500  # characters as they lie in a cookie
Handler = Callable[[Request], Awaitable[Response]]
Show = Callable[[Request, str, HTTPStatus], Awaitable[Response]]
"""Makes a page with a problem on it, and the status that goes with that."""


async def read_form(request: Request, *, lists: tuple[str, ...] = ()) -> Payload:
    """The fields of a form, those of `lists` as often as they were sent. Raises UnsupportedMediaType, BadRequest.

    Fields that were left empty are left out; texts, but for passwords, have no white space around them, and lines that
    end as they do elsewhere: a browser sends each with CR LF.
    """
    if not is_form(request):
        raise UnsupportedMediaType("taken is: application/x-www-form-urlencoded")
    try:
        most = MAXIMUM_FORM if "principal" in request.scope else MAXIMUM_VISITORS_FORM
        sent = parse_qs((await read_body(request.receive, most)).decode("utf-8"), max_num_fields=200)
    except ValueError:
        raise BadRequest("the form can't be read") from None
    fields = {
        name: values if name == "password" else [value.replace("\r\n", "\n").strip() for value in values]
        for name, values in sent.items()
    }
    if any("\0" in value for values in fields.values() for value in values):
        raise BadRequest("the form can't be read")
    return Payload({name: values if name in lists else values[-1] for name, values in fields.items()})


@asynccontextmanager
async def read_files(request: Request, *, number: int, most: int) -> AsyncIterator[FormData]:
    """A form with so many files at most, of `most` bytes together, which lie in nameless files until the block ends.

    Raises UnsupportedMediaType, PayloadTooLarge, BadRequest.
    """
    if not has_files(request):
        raise UnsupportedMediaType("taken is: multipart/form-data")
    stream = _bounded(request, most + _LONGEST_FIELDS)
    try:
        form = await MultiPartParser(
            request.headers, stream, max_files=number, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_FIELDS
        ).parse()
    except (MultiPartException, ValueError):
        raise BadRequest("the form can't be read") from None
    try:
        yield form
    finally:
        await form.close()


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises PayloadTooLarge."""
    size = int(request.headers.get("content-length", "0"))
    if size <= most:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                break
            yield chunk
    if size > most:
        raise PayloadTooLarge(
            "the files are larger than the %(most)s MiB that are taken", most=most // 1024**2
        )


def file_of(form: FormData, name: str) -> UploadFile:
    """A file of a form. Raises BadRequest where none was chosen."""
    found = form.get(name)
    if not isinstance(found, UploadFile) or not found.size:
        raise BadRequest("%(name)s is missing", name=name)
    return found


def last_day(form: Payload, name: str) -> datetime | None:
    """The end of a day (UTC) that the form names, if it names one. Raises BadRequest."""
    day = form.moment(name)
    return day and datetime.combine(day.date(), time.max, UTC)


def answering(show: Show, change: Handler) -> Handler:
    """The endpoint of a form: after the change back to its page; what was wrong is said on it."""

    async def answer(request: Request) -> Response:
        try:
            return await change(request)
        except (BadRequest, NotFound, Conflict, PayloadTooLarge, UnsupportedMediaType, Unavailable) as error:
            shown = await show(request, told(error), status_of(error))
            if isinstance(error, Unavailable):
                shown.headers.setdefault("retry-after", RETRY_AFTER)
            return shown
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
