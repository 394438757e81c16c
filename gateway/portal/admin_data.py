"""`/admin/datasets` and `/admin/opt-outs`: what stewards and administrators keep of the site's data."""

from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import datasets
from archive.optout import OptOut, TrainingUse
from gateway.api.management import require_manager
from gateway.portal import opt_outs
from gateway.portal.forms import answering, back_to, managing, read_form, signed_page
from gateway.services import services_of

DATASETS, OPT_OUTS = "/admin/datasets", "/admin/opt-outs"


async def datasets_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Show the datasets, with the studies that are in each, and a form to make another."""
    require_manager(request)
    async with services_of(request).connection() as connection:
        found, studies = await datasets.list_datasets(connection), await datasets.count_each(connection)
    counted = [(each, studies.get(each.number, 0)) for each in found]
    return signed_page(request, "admin_datasets.html", status, problem=problem, datasets=counted)


async def opt_outs_page(
    request: Request,
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    *,
    opted_out: tuple[list[OptOut], list[TrainingUse]] | None = None,
) -> Response:
    """Show who opted out. `opted_out` is what an opt-out came to."""
    require_manager(request)
    rows = await opt_outs.find(request)
    return signed_page(
        request, "admin_opt_outs.html", status, problem=problem, opt_outs=rows, opted_out=opted_out
    )


async def create_dataset(request: Request) -> Response:
    """Save a search."""
    by, form = require_manager(request), await read_form(request)
    name, query, description = (form.text(field, "") for field in ("name", "query", "description"))
    async with services_of(request).connection() as connection:
        await datasets.create(connection, name, query, description, by=by)
    return back_to(DATASETS)


async def freeze_dataset(request: Request) -> Response:
    """Keep a dataset as it is now."""
    by = require_manager(request)
    async with services_of(request).connection() as connection:
        await datasets.freeze(connection, request.path_params["dataset"], by=by)
    return back_to(DATASETS)


async def delete_dataset(request: Request) -> Response:
    """Forget a dataset."""
    by = require_manager(request)
    async with services_of(request).connection() as connection:
        await datasets.delete(connection, request.path_params["dataset"], by=by)
    return back_to(DATASETS)


async def add_opt_out(request: Request) -> Response:
    """Withhold a patient's studies, and tell which models learnt from her."""
    by, form = require_manager(request), await read_form(request)
    return await opt_outs_page(request, opted_out=await opt_outs.add(request, form, by))


async def withdraw_opt_out(request: Request) -> Response:
    """Give a patient's studies back."""
    by, form = require_manager(request), await read_form(request)
    await opt_outs.withdraw(request, form, by)
    return back_to(OPT_OUTS)


_dataset_form = partial(answering, datasets_page)
_opt_out_form = partial(answering, opt_outs_page)
ROUTES = [
    Route(DATASETS, managing(datasets_page), methods=["GET"]),
    Route(DATASETS, _dataset_form(create_dataset), methods=["POST"]),
    Route(f"{DATASETS}/{{dataset}}/freeze", _dataset_form(freeze_dataset), methods=["POST"]),
    Route(f"{DATASETS}/{{dataset}}/delete", _dataset_form(delete_dataset), methods=["POST"]),
    Route(OPT_OUTS, managing(opt_outs_page), methods=["GET"]),
    Route(OPT_OUTS, _opt_out_form(add_opt_out), methods=["POST"]),
    Route(f"{OPT_OUTS}/withdraw", _opt_out_form(withdraw_opt_out), methods=["POST"]),
]
