"""`/admin`: stewards keep datasets and opt-outs; administrators accounts, programs and roles as well."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from psycopg import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import datasets, permits
from archive.audit import Detail, Event, write_async
from archive.errors import Forbidden
from archive.optout import OptOut, TrainingUse
from archive.policy import Action, Role
from archive.subjects import account_subject, client_subject
from gateway import accounts, clients
from gateway.api.management import is_administrator, require_administrator, require_manager
from gateway.portal import opt_outs
from gateway.portal.forms import answering, back_to, read_form, refusal, signed_page
from gateway.services import services_of

PATH = "/admin"


async def admin_page(
    request: Request,
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    *,
    secret: tuple[str, str] | None = None,
    opted_out: tuple[list[OptOut], list[TrainingUse]] | None = None,
) -> Response:
    """Show what the person may manage. `secret` is a program's and its secret, which is shown this once.

    `opted_out` is what an opt-out came to.
    """
    require_manager(request)
    administers = is_administrator(request)
    async with services_of(request).connection() as connection:
        found = await datasets.list_datasets(connection)
        values = {
            "datasets": [(each, await datasets.count(connection, each)) for each in found],
            "accounts": await accounts.list_accounts(connection) if administers else [],
            "clients": await clients.list_clients(connection) if administers else [],
            "role_grants": await permits.list_roles(connection) if administers else [],
        }
    return signed_page(
        request,
        "admin.html",
        status,
        problem=problem,
        secret=secret,
        opted_out=opted_out,
        administers=administers,
        opt_outs=await opt_outs.find(request),
        actions=list(Action),
        roles=list(Role),
        **values,
    )


async def show(request: Request) -> Response:
    """GET /admin."""
    try:
        return await admin_page(request)
    except Forbidden:
        return refusal(request, "Stewards and administrators manage the site here.")


async def create_dataset(request: Request) -> Response:
    """Save a search."""
    by, form = require_manager(request), await read_form(request)
    name, query, description = (form.text(field, "") for field in ("name", "query", "description"))
    async with services_of(request).connection() as connection:
        await datasets.create(connection, name, query, description, by=by)
    return back_to(PATH)


async def freeze_dataset(request: Request) -> Response:
    """Keep a dataset as it is now."""
    by = require_manager(request)
    async with services_of(request).connection() as connection:
        await datasets.freeze(connection, request.path_params["dataset"], by=by)
    return back_to(PATH)


async def delete_dataset(request: Request) -> Response:
    """Forget a dataset."""
    by = require_manager(request)
    async with services_of(request).connection() as connection:
        await datasets.delete(connection, request.path_params["dataset"], by=by)
    return back_to(PATH)


async def add_opt_out(request: Request) -> Response:
    """Withhold a patient's studies, and tell which models learnt from her."""
    by, form = require_manager(request), await read_form(request)
    return await admin_page(request, opted_out=await opt_outs.add(request, form, by))


async def withdraw_opt_out(request: Request) -> Response:
    """Give a patient's studies back."""
    by, form = require_manager(request), await read_form(request)
    await opt_outs.withdraw(request, form, by)
    return back_to(PATH)


async def add_account(request: Request) -> Response:
    """Let a person sign in with a password."""
    by, form = require_administrator(request), await read_form(request)
    name, password = form.text("name", ""), form.text("password", "")

    async def add(connection: AsyncConnection) -> None:
        await accounts.create_account(connection, name, password)

    detail = {"account": account_subject(name), "change": "added"}
    await _recorded(request, Event.ACCOUNT_CHANGED, by, detail, add)
    return back_to(PATH)


async def disable_account(request: Request) -> Response:
    """Let a person in no more."""
    return await _change_account(request, "disabled", accounts.disable_account)


async def enable_account(request: Request) -> Response:
    """Let a person in again."""
    return await _change_account(request, "enabled", accounts.enable_account)


async def _change_account(
    request: Request, what: str, change: Callable[[AsyncConnection, str], Awaitable[None]]
) -> Response:
    by, name = require_administrator(request), request.path_params["account"]
    detail = {"account": account_subject(name), "change": what}
    await _recorded(request, Event.ACCOUNT_CHANGED, by, detail, lambda connection: change(connection, name))
    return back_to(PATH)


async def add_client(request: Request) -> Response:
    """Register a program, and show its secret."""
    by, form = require_administrator(request), await read_form(request, lists=("actions",))
    client_id, scope = form.text("client_id", ""), " ".join(form.choices("actions", Action, ()))
    secret = ""

    async def add(connection: AsyncConnection) -> None:
        nonlocal secret
        secret = await clients.create_client(connection, client_id, scope)

    detail = {"client": client_subject(client_id), "change": "added", "scope": scope}
    await _recorded(request, Event.CLIENT_CHANGED, by, detail, add)
    return await admin_page(request, secret=(client_id, secret))


async def revoke_client(request: Request) -> Response:
    """Refuse a program any further token, and those that it has."""
    by, client_id = require_administrator(request), request.path_params["client"]
    detail = {"client": client_subject(client_id), "change": "revoked"}
    await _recorded(
        request,
        Event.CLIENT_CHANGED,
        by,
        detail,
        lambda connection: clients.revoke_client(connection, client_id),
    )
    return back_to(PATH)


async def give_role(request: Request) -> Response:
    """Give a principal a role."""
    by, form = require_administrator(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await permits.add_role(connection, form.text("subject", ""), form.choice("role", Role), by=by)
    return back_to(PATH)


async def take_role(request: Request) -> Response:
    """Take a role from a principal."""
    by, form = require_administrator(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await permits.remove_role(connection, form.text("subject", ""), form.choice("role", Role), by=by)
    return back_to(PATH)


async def _recorded(
    request: Request,
    event: Event,
    by: str,
    detail: Detail,
    change: Callable[[AsyncConnection], Awaitable[None]],
) -> None:
    """Make a change, and a record of it in the trail: both, or neither."""
    async with services_of(request).connection() as connection, connection.transaction():
        await change(connection)
        await write_async(connection, event, subject=by, detail=detail)


_form = partial(answering, admin_page)
ROUTES = [
    Route(PATH, show, methods=["GET"]),
    Route(f"{PATH}/datasets", _form(create_dataset), methods=["POST"]),
    Route(f"{PATH}/datasets/{{dataset}}/freeze", _form(freeze_dataset), methods=["POST"]),
    Route(f"{PATH}/datasets/{{dataset}}/delete", _form(delete_dataset), methods=["POST"]),
    Route(f"{PATH}/opt-outs", _form(add_opt_out), methods=["POST"]),
    Route(f"{PATH}/opt-outs/withdraw", _form(withdraw_opt_out), methods=["POST"]),
    Route(f"{PATH}/accounts", _form(add_account), methods=["POST"]),
    Route(f"{PATH}/accounts/{{account}}/disable", _form(disable_account), methods=["POST"]),
    Route(f"{PATH}/accounts/{{account}}/enable", _form(enable_account), methods=["POST"]),
    Route(f"{PATH}/clients", _form(add_client), methods=["POST"]),
    Route(f"{PATH}/clients/{{client}}/revoke", _form(revoke_client), methods=["POST"]),
    Route(f"{PATH}/roles", _form(give_role), methods=["POST"]),
    Route(f"{PATH}/roles/take", _form(take_role), methods=["POST"]),
]
