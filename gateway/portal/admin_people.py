"""`/admin/accounts`, `/admin/clients` and `/admin/roles`: who may do what here, which administrators decide."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from psycopg import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import permits
from archive.audit import Detail, Event, write_async
from archive.policy import Action, Role
from archive.subjects import account_subject, client_subject
from gateway import accounts, clients
from gateway.api.management import require_administrator
from gateway.portal.forms import answering, back_to, managing, read_form, signed_page
from gateway.services import services_of

ACCOUNTS, CLIENTS, ROLES = "/admin/accounts", "/admin/clients", "/admin/roles"


async def accounts_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Show who may sign in with a password of this site."""
    require_administrator(request)
    async with services_of(request).connection() as connection:
        found = await accounts.list_accounts(connection)
    return signed_page(request, "admin_accounts.html", status, problem=problem, accounts=found)


async def clients_page(
    request: Request,
    problem: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    *,
    secret: tuple[str, str] | None = None,
) -> Response:
    """Show the programs. `secret` is a new one's and its secret, which is shown this once."""
    require_administrator(request)
    async with services_of(request).connection() as connection:
        found = await clients.list_clients(connection)
    return signed_page(
        request,
        "admin_clients.html",
        status,
        problem=problem,
        clients=found,
        secret=secret,
        actions=list(Action),
    )


async def roles_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Show who has which role."""
    require_administrator(request)
    async with services_of(request).connection() as connection:
        given = await permits.list_roles(connection)
    return signed_page(
        request, "admin_roles.html", status, problem=problem, role_grants=given, roles=list(Role)
    )


async def add_account(request: Request) -> Response:
    """Let a person sign in with a password."""
    by, form = require_administrator(request), await read_form(request)
    name, password = form.text("name", ""), form.text("password", "")

    async def add(connection: AsyncConnection) -> None:
        await accounts.create_account(connection, name, password)

    detail = {"account": account_subject(name), "change": "added"}
    await _recorded(request, Event.ACCOUNT_CHANGED, by, detail, add)
    return back_to(ACCOUNTS)


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
    return back_to(ACCOUNTS)


async def add_client(request: Request) -> Response:
    """Register a program, and show its secret."""
    by, form = require_administrator(request), await read_form(request, lists=("actions",))
    client_id, scope = form.text("client_id", ""), " ".join(form.choices("actions", Action, ()))
    secret = ""

    async def add(connection: AsyncConnection) -> None:
        nonlocal secret
        secret = await clients.create_client(connection, client_id, scope, owner=by)

    detail = {"client": client_subject(client_id), "change": "added", "scope": scope}
    await _recorded(request, Event.CLIENT_CHANGED, by, detail, add)
    return await clients_page(request, secret=(client_id, secret))


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
    return back_to(CLIENTS)


async def give_role(request: Request) -> Response:
    """Give a principal a role."""
    by, form = require_administrator(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await permits.add_role(connection, form.text("subject", ""), form.choice("role", Role), by=by)
    return back_to(ROLES)


async def take_role(request: Request) -> Response:
    """Take a role from a principal."""
    by, form = require_administrator(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await permits.remove_role(connection, form.text("subject", ""), form.choice("role", Role), by=by)
    return back_to(ROLES)


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


_account_form = partial(answering, accounts_page)
_client_form = partial(answering, clients_page)
_role_form = partial(answering, roles_page)
ROUTES = [
    Route(ACCOUNTS, managing(accounts_page), methods=["GET"]),
    Route(ACCOUNTS, _account_form(add_account), methods=["POST"]),
    Route(f"{ACCOUNTS}/{{account}}/disable", _account_form(disable_account), methods=["POST"]),
    Route(f"{ACCOUNTS}/{{account}}/enable", _account_form(enable_account), methods=["POST"]),
    Route(CLIENTS, managing(clients_page), methods=["GET"]),
    Route(CLIENTS, _client_form(add_client), methods=["POST"]),
    Route(f"{CLIENTS}/{{client}}/revoke", _client_form(revoke_client), methods=["POST"]),
    Route(ROLES, managing(roles_page), methods=["GET"]),
    Route(ROLES, _role_form(give_role), methods=["POST"]),
    Route(f"{ROLES}/take", _role_form(take_role), methods=["POST"]),
]
