"""`/admin/consents`: what patients say of the use of their data, and which datasets want their consent."""

from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import datasets
from archive.consents import Decision, Recorded, Scope
from gateway import consents
from gateway.api.management import require_manager
from gateway.portal.forms import answering, back_to, managing, read_form, signed_page
from gateway.portal.languages import marked
from gateway.services import services_of

PATH = "/admin/consents"
SCOPES = {
    Scope.DONATION: marked("Donation of data for research"),
    Scope.SECONDARY_USE: marked("Secondary use of health data"),
    Scope.TRAINING: marked("Training of models"),
}
DECISIONS = {Decision.GIVEN: marked("Given"), Decision.WITHDRAWN: marked("Withdrawn")}


async def consents_page(
    request: Request,
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    *,
    recorded: Recorded | None = None,
) -> Response:
    """Show what was said; `recorded` is what a statement came to."""
    require_manager(request)
    services = services_of(request)
    async with services.connection() as connection:
        named = [each for each in await datasets.list_datasets(connection) if not each.version]
    return signed_page(
        request,
        "admin_consents.html",
        status,
        problem=problem,
        recorded=recorded,
        consents=await consents.find(services),
        demanded=await consents.demanded(services),
        datasets=named,
        scopes=SCOPES,
        decisions=DECISIONS,
    )


async def record(request: Request) -> Response:
    """Keep what a patient said, and tell what was done with her studies."""
    by, form = require_manager(request), await read_form(request)
    return await consents_page(request, recorded=await consents.record(services_of(request), form, by))


async def demand(request: Request) -> Response:
    """Have a dataset want a consent, or none."""
    by, form = require_manager(request), await read_form(request)
    scope = form.choice("scope", Scope) if form.has("scope") else None
    await consents.demand(services_of(request), form.text("dataset"), scope, by)
    return back_to(PATH)


_form = partial(answering, consents_page)
ROUTES = [
    Route(PATH, managing(consents_page), methods=["GET"]),
    Route(PATH, _form(record), methods=["POST"]),
    Route(f"{PATH}/demand", _form(demand), methods=["POST"]),
]
