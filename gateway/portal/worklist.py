"""`/worklist/`: the studies that a person may see, what models found in them, and which of them the person has read."""

from contextlib import suppress
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from archive import summaries
from archive.errors import BadRequest, Forbidden, NotFound
from archive.findings import Task
from archive.policy import Action, decide
from archive.resource import is_uid
from archive.summaries import DENSITIES, STATUSES, Filters, Order, Page, Summary
from gateway.auditing import note, note_shown
from gateway.portal.events import StudyEvents, Watched
from gateway.portal.forms import back_to, read_form, refusal, signed_page
from gateway.portal.languages import gettext, told
from gateway.portal.list_filters import Asked, parse_asked, parse_filters, place_of
from gateway.portal.pages import render
from gateway.services import principal_of, scope_of, services_of

PATH = "/worklist/"
MOST_ROWS = 100  # studies that are asked for by name at once
MOST_OPENED = 16  # studies that are read by opening them at once
MODALITIES = ("MG", "US", "MR")
_NOWHERE = Page([], before=False, behind=False, snapshot="")


async def worklist_page(request: Request) -> Response:
    """GET /worklist/: a page of the list; what is wrong with its address is said on it."""
    scope, subject = scope_of(request, Action.READ), principal_of(request).subject
    asked = Asked()
    try:
        asked = parse_asked(request.scope["query_string"])
        filters = parse_filters(asked)
        place = place_of(asked, filters.order)
        async with services_of(request).connection() as connection:
            page = await summaries.list_studies(connection, scope, subject, filters, place)
    except BadRequest as error:
        return _show(request, asked, Filters(), _NOWHERE, told(error), HTTPStatus.BAD_REQUEST)
    note(request, results=len(page.studies))
    note_shown(request, [study.study_instance_uid for study in page.studies])
    return _show(request, asked, filters, page)


def _show(
    request: Request,
    asked: Asked,
    filters: Filters,
    page: Page,
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    order, studies = filters.order, page.studies
    return signed_page(
        request,
        "worklist.html",
        status,
        problem=problem,
        asked=asked,
        filters=filters,
        studies=studies,
        is_first=not page.before,
        newer=asked.query_of(before=_key(studies[0], order)) if page.before and studies else "",
        older=asked.query_of(behind=_key(studies[-1], order)) if page.behind and studies else "",
        first=asked.query_of(),
        query=request.url.query,
        events=asked.query_of(since=page.snapshot) if page.snapshot else "",
        modalities=MODALITIES,
        densities=DENSITIES,
        tasks=list(Task),
        statuses=STATUSES,
        orders=list(Order),
        said=_said(),
    )


def _said() -> dict[str, str]:
    """What the page's script says, in the language of the request."""
    return {
        "changed": gettext("Changed: %(study)s."),
        "rows": gettext("%(number)s rows changed."),
        "new": gettext("1 new study has come."),
        "several": gettext("%(number)s new studies have come."),
        "many": gettext("More than %(number)s new studies have come."),
        "first": gettext("Show the first page"),
        "over": gettext("You are signed out."),
        "again": gettext("Sign in again"),
    }


def _key(study: Summary, order: Order) -> str:
    return "~".join(study.place(order))


async def rows(request: Request) -> Response:
    """GET /worklist/rows: the rows of studies that are named, for a page to show instead of what it has."""
    scope = scope_of(request, Action.READ)
    studies = request.query_params.get("StudyInstanceUID", "").split(",")
    if len(studies) > MOST_ROWS or not all(map(is_uid, studies)):
        raise BadRequest("StudyInstanceUID names up to %(most)s studies, parted by commas", most=MOST_ROWS)
    async with services_of(request).connection() as connection:
        found = await summaries.find_studies(connection, scope, principal_of(request).subject, studies)
    note(request, results=len(found))
    note_shown(request, [study.study_instance_uid for study in found])
    text = render("worklist_rows.html", studies=found)
    return Response(text, media_type="text/html", headers={"cache-control": "no-store"})


async def events(request: Request) -> Response:
    """GET /worklist/events: what changes, as it changes."""
    scope = scope_of(request, Action.READ)
    asked = parse_asked(request.scope["query_string"], ("since",))
    watched = Watched(scope, parse_filters(asked), asked.one("since"))
    async with services_of(request).connection() as connection:  # an answer that has begun can't be refused
        subject = principal_of(request).subject
        await summaries.count_arrived(connection, scope, subject, watched.filters, watched.snapshot)
    return StudyEvents(request, watched)


async def mark(request: Request) -> Response:
    """POST /worklist/marks: set a study to read or unread, and go back to the page."""
    form = await read_form(request)
    is_read = bool(form.text("read", ""))
    study = form.text("read" if is_read else "unread", "")
    try:
        if not is_uid(study):
            raise NotFound("no such study")
        scope = scope_of(request, Action.READ)
        async with services_of(request).connection() as connection:
            subject = principal_of(request).subject
            await summaries.mark(connection, scope, subject, study, is_read=is_read)
    except NotFound:
        return signed_page(request, "refused.html", HTTPStatus.NOT_FOUND, why=gettext("No such study."))
    except Forbidden as error:
        return refusal(request, told(error))
    query = f"?{request.url.query}" if request.url.query else ""
    return back_to(f"{PATH}{query}#study-{study}")


async def mark_opened(request: Request) -> None:
    """Set the studies that the viewer is opened with to read, as far as the person may see them.

    Not where another site leads to the viewer. Raises Unavailable.
    """
    named = request.query_params.getlist("StudyInstanceUIDs")
    studies = [uid for each in named for uid in each.split(",") if is_uid(uid)][:MOST_OPENED]
    if not studies or request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return
    services, principal = services_of(request), principal_of(request)
    with suppress(NotFound, Forbidden):
        scope = decide(principal, await services.granted.of(principal), Action.READ)
        async with services.connection() as connection:
            for study in studies:
                await summaries.mark(connection, scope, principal.subject, study, is_read=True)


async def to_worklist(request: Request) -> Response:
    """GET /worklist."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(PATH + query, HTTPStatus.PERMANENT_REDIRECT)


async def script(request: Request) -> Response:
    """GET /worklist.js."""
    return Response(render("worklist.js"), media_type="text/javascript")


PUBLIC = [
    Route("/worklist", to_worklist, include_in_schema=False),
    Route("/worklist.js", script, include_in_schema=False),
]
PAGES = [Route(PATH, worklist_page, methods=["GET"]), Route(f"{PATH}marks", mark, methods=["POST"])]
SCRIPTED = [Route(f"{PATH}rows", rows), Route(f"{PATH}events", events)]
"""What a page's script asks by itself."""
