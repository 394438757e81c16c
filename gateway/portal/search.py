"""`/search`: a question put together of a form, and its answer: counts of each dataset of each node.

Whoever is not signed in sees the form, and is answered where the site answers anybody. Nodes' answers go out as they
come, in the page itself, so that no script is needed to see the first before the last.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from archive.errors import BadRequest, Forbidden, PayloadTooLarge, TooManyRequests, Unavailable, status_of
from archive.federation_roles import read_hub, read_site
from gateway.api.search import answers
from gateway.portal.languages import told
from gateway.portal.pages import page, render
from gateway.portal.search_form import CHOICES, MOST_GROUPS, RANGES, Form, parse_form
from gateway.problem import RETRY_AFTER
from gateway.search.askers import asker_of
from gateway.search.asking import own_name
from gateway.search.question import Question
from gateway.search.sites import REASONS, SiteAnswer, SiteState
from gateway.services import services_of

PATH = "/search"
_ANSWERS = "<!-- answers -->"
"""Where the rows of a page go that is sent in parts."""


async def show(request: Request) -> Response:
    """GET /search: the form, and the answer to what it says."""
    settings = services_of(request).settings
    in_federation = bool(read_hub(settings) or read_site(settings))
    form = parse_form([], in_federation=in_federation)
    try:
        form = parse_form(request.query_params.multi_items(), in_federation=in_federation)
        question = form.question
    except BadRequest as error:
        return _page(request, form, HTTPStatus.BAD_REQUEST, in_federation, problem=told(error))
    if not form.is_asked:
        return _page(request, form, HTTPStatus.OK, in_federation)
    if "principal" not in request.scope and not settings.search_public:
        return _page(request, form, HTTPStatus.UNAUTHORIZED, in_federation, state="sign in")
    return await _answered(request, form, question, in_federation)


async def _answered(request: Request, form: Form, question: Question, in_federation: bool) -> Response:
    try:
        found = answers(request, question, asker_of(request), federated=form.federated)
        first = await anext(found)
    except TooManyRequests as error:
        hours = -(-error.retry_after // 3600)
        return _page(
            *(request, form, HTTPStatus.TOO_MANY_REQUESTS, in_federation),
            headers={"retry-after": str(error.retry_after)},
            state="over budget",
            hours=hours,
        )
    except (Forbidden, PayloadTooLarge, Unavailable) as error:
        status = status_of(error)
        wait = {"retry-after": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return _page(request, form, status, in_federation, headers=wait, problem=told(error))
    whole = _page(request, form, HTTPStatus.OK, in_federation, state="answered")
    return _in_parts(whole, _rows(first, found, own_name(services_of(request).settings)))


async def _rows(first: SiteAnswer, others: AsyncGenerator[SiteAnswer, None], own: str) -> AsyncIterator[str]:
    """The rows of each node's answer, and at the end how many there were."""
    answered, asked, patients, studies = 0, 0, 0, 0
    async with aclosing(others):
        async for each in _with(first, others):
            asked += 1
            answered += each.state is SiteState.ANSWERED
            patients += sum(row.patients or 0 for row in each.rows)
            studies += sum(row.studies or 0 for row in each.rows)
            yield render("search_rows.html", found=each, is_own=each.site == own, reasons=REASONS)
    yield render("search_sum.html", answered=answered, asked=asked, patients=patients, studies=studies)


async def _with(first: SiteAnswer, others: AsyncIterator[SiteAnswer]) -> AsyncIterator[SiteAnswer]:
    yield first
    async for each in others:
        yield each


def _page(
    request: Request,
    form: Form,
    status: HTTPStatus,
    in_federation: bool,
    headers: dict[str, str] | None = None,
    **values: object,
) -> Response:
    answer = page(
        "search.html",
        status,
        form=form,
        choices=CHOICES,
        ranges=RANGES,
        in_federation=in_federation,
        can_add=len(form.groups) < MOST_GROUPS,
        **{"state": "", "problem": ""} | values,
    )
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["www-authenticate"] = 'Bearer realm="senogate"'
    answer.headers.update(headers or {})
    return answer


def _in_parts(whole: Response, rows: AsyncIterator[str]) -> Response:
    """A page that is sent with its rows as they come."""
    before, _, after = bytes(whole.body).partition(_ANSWERS.encode())

    async def parts() -> AsyncIterator[bytes]:
        yield before
        async for each in rows:
            yield each.encode()
        yield after

    headers = {name: value for name, value in whole.headers.items() if name != "content-length"}
    return StreamingResponse(parts(), whole.status_code, headers, HTMLResponse.media_type)


ROUTES = [Route(PATH, show, methods=["GET"])]
