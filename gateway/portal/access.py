"""`/access`: people ask for permits and see theirs; stewards decide on them."""

from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import datasets, permits
from archive.errors import Forbidden
from archive.permits import Terms, Wanted
from archive.policy import Action
from archive.purpose import ARTICLES, Purpose
from gateway.api.management import is_manager, require_manager
from gateway.portal.forms import answering, back_to, last_day, read_form, signed_page
from gateway.services import principal_of, services_of

PATH = "/access"


async def access_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Show the person's permits, a form to ask for another; to stewards what is to be decided on as well."""
    subject, manages = principal_of(request).subject, is_manager(request)
    async with services_of(request).connection() as connection:
        named = await datasets.list_datasets(connection)
        found = await permits.list_permits(connection, None if manages else subject)
    return signed_page(
        request,
        "access.html",
        status,
        problem=problem,
        datasets=named,
        purposes=ARTICLES,
        other_purposes=[each for each in Purpose if each not in ARTICLES],
        actions=list(Action),
        own=[each for each in found if each.subject == subject],
        requested=[each for each in found if manages and each.state == "requested"],
        everybodys=found if manages else [],
    )


async def show(request: Request) -> Response:
    """GET /access."""
    return await access_page(request)


async def ask(request: Request) -> Response:
    """Ask for a permit, for oneself unless one decides on them."""
    by, form = principal_of(request).subject, await read_form(request, lists=("datasets", "actions"))
    wanted = Wanted(
        subject=form.text("subject", by),
        datasets=form.texts("datasets", ()),
        purpose=form.choice("purpose", Purpose),
        legal_basis=form.text("legal_basis", ""),
        actions=form.choices("actions", Action, ()),
        hdab_identifier=form.text("hdab_identifier", ""),
        conditions=form.text("conditions", ""),
    )
    if wanted.subject != by and not is_manager(request):
        raise Forbidden("a permit is asked for by its holder, or by a steward")
    async with services_of(request).connection() as connection:
        await permits.request(connection, wanted, by=by)
    return back_to(PATH)


async def grant(request: Request) -> Response:
    """Grant what was asked for, until the end of a day."""
    by, form = require_manager(request), await read_form(request)
    terms = Terms(
        until=last_day(form, "until"), conditions=form.text("conditions", ""), reason=form.text("reason", "")
    )
    async with services_of(request).connection() as connection:
        await permits.grant(connection, request.path_params["permit"], terms, by=by)
    return back_to(PATH)


async def reject(request: Request) -> Response:
    """Refuse what was asked for."""
    by, form = require_manager(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await permits.reject(connection, request.path_params["permit"], form.text("reason", ""), by=by)
    return back_to(PATH)


async def revoke(request: Request) -> Response:
    """End a permit now."""
    by, form = require_manager(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await permits.revoke(connection, request.path_params["permit"], form.text("reason", ""), by=by)
    return back_to(PATH)


_form = partial(answering, access_page)
ROUTES = [
    Route(PATH, show, methods=["GET"]),
    Route(f"{PATH}/permits", _form(ask), methods=["POST"]),
    Route(f"{PATH}/permits/{{permit}}/grant", _form(grant), methods=["POST"]),
    Route(f"{PATH}/permits/{{permit}}/reject", _form(reject), methods=["POST"]),
    Route(f"{PATH}/permits/{{permit}}/revoke", _form(revoke), methods=["POST"]),
]
