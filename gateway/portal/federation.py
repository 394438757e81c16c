"""`/federation`: who takes part and what is run; stewards and administrators let sites in and out, and ask for runs.

At a site: the runs that its hub offers.
"""

import re
from functools import partial
from http import HTTPStatus
from typing import Any

from psycopg import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import approvals, members, run_requests, runs
from archive.audit import Event, write_async
from archive.datasets import parse_name
from archive.errors import BadRequest, Forbidden
from archive.federation_roles import read_hub, read_site
from archive.members import State
from archive.purpose import ARTICLES, Purpose
from gateway.api.management import require_manager
from gateway.api.payload import Payload
from gateway.portal import manifests
from gateway.portal.events import RunEvents
from gateway.portal.forms import answering, back_to, read_form, refusal, signed_page
from gateway.portal.languages import gettext, marked
from gateway.portal.manifests import STRATEGIES
from gateway.portal.pages import render
from gateway.services import services_of

PATH = "/federation"
TASKS = ("density", "lesions")
NOT_FOR = marked("Stewards and administrators look after the federation here.")
_MODEL = re.compile(r"[a-z0-9][A-Za-z0-9.+-]{0,128}")


async def federation_page(
    request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK
) -> Response:
    """What the node is in federations: of a hub its members and runs, of a site the runs that it is offered."""
    require_manager(request)
    return signed_page(
        request,
        "federation.html",
        status,
        problem=problem,
        tasks=TASKS,
        strategies=STRATEGIES,
        purposes=ARTICLES,
        **await _values(request),
    )


async def _values(request: Request) -> dict[str, Any]:
    """What changes while a page is looked at."""
    settings = services_of(request).settings
    hub, joined = read_hub(settings), read_site(settings)
    async with services_of(request).connection() as connection:
        return {
            "hub": hub,
            "joined": joined,
            "members": await members.list_members(connection) if hub else [],
            "invited": await members.list_invited(connection) if hub else [],
            "requests": await run_requests.latest(connection) if hub else [],
            "runs": [_row(one) for one in await runs.latest_async(connection)] if hub else [],
            "offered": [_row(one) for one in await approvals.latest(connection)] if joined else [],
        }


def _row(one: Any) -> tuple[Any, str, int]:
    """A run as the hub or a site keeps it, what it does, and its rounds."""
    manifest = manifests.read(one.manifest)
    return one, manifests.title_of(manifest), manifest["rounds"]


async def show(request: Request) -> Response:
    """GET /federation."""
    try:
        return await federation_page(request)
    except Forbidden:
        return refusal(request, gettext(NOT_FOR))


async def rows(request: Request) -> Response:
    """GET /federation/rows: who takes part, and what is run, for a page to show in place of what it has."""
    require_manager(request)
    text = render("federation_rows.html", **await _values(request))
    return Response(text, media_type="text/html", headers={"cache-control": "no-store"})


async def events(request: Request) -> Response:
    """GET /federation/events: tells that runs or members have changed."""
    require_manager(request)
    return RunEvents(request)


async def approve(request: Request) -> Response:
    """Let a site take part whose fingerprint was compared."""
    by, form, name = require_manager(request), await read_form(request), request.path_params["member"]
    async with services_of(request).connection() as connection, connection.transaction():
        await members.approve(connection, name, form.text("fingerprint", ""), by=by)
        await _record_member(connection, name, "approved", by)
    return back_to(PATH)


async def revoke(request: Request) -> Response:
    """Let a site take part no more, at once."""
    by, name = require_manager(request), request.path_params["member"]
    async with services_of(request).connection() as connection, connection.transaction():
        await members.end(connection, name, State.REVOKED)
        await _record_member(connection, name, "revoked", by)
    return back_to(PATH)


async def _record_member(connection: AsyncConnection, name: str, change: str, by: str) -> None:
    detail = {"member": name, "change": change}
    await write_async(connection, Event.FEDERATION_MEMBER, subject=by, detail=detail)


async def start_training(request: Request) -> Response:
    """Ask for a training, which the hub's conductor proposes to the sites."""
    by, form = require_manager(request), await read_form(request)
    strategy, task = form.text("strategy", ""), form.text("task", "")
    if strategy not in STRATEGIES or task not in TASKS:
        raise BadRequest("the task or the way of joining weights is none of those that there are")
    terms = {
        "kind": "training",
        "task": task,
        "strategy": strategy,
        "rounds": _number(form, "rounds", 10_000),
        "epochs": _number(form, "epochs", 1_000),
        "noise": _amount(form, "noise"),
    }
    return await _ask(request, terms | _common(form), by)


async def start_evaluation(request: Request) -> Response:
    """Ask for an evaluation of packages of the hub's."""
    by, form = require_manager(request), await read_form(request)
    models = form.text("models", "").split()
    if not models or not all(map(_MODEL.fullmatch, models)):
        raise BadRequest("name models as `senogate model list` shows them, with spaces between")
    return await _ask(request, {"kind": "evaluation", "models": models} | _common(form), by)


def _common(form: Payload) -> dict[str, Any]:
    dataset = form.text("dataset", "")
    parse_name(dataset)
    return {
        "dataset": dataset,
        "purpose": form.choice("purpose", Purpose),
        "min_sites": _number(form, "min_sites", 10_000),
    }


async def _ask(request: Request, terms: dict[str, Any], by: str) -> Response:
    if read_hub(services_of(request).settings) is None:
        raise BadRequest("this node is the hub of no federation")
    async with services_of(request).connection() as connection:
        await run_requests.ask(connection, terms, by=by)
    return back_to(f"{PATH}#runs")


def _number(form: Payload, name: str, most: int) -> int:
    text = form.text(name, "")
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= most or len(text) > 9:
        raise BadRequest("%(name)s is a whole number from 1 to %(most)s", name=name, most=most)
    return int(text)


def _amount(form: Payload, name: str) -> float:
    text = form.text(name, "0")
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", text):
        raise BadRequest("%(name)s is a number from 0 on, such as 1.1", name=name)
    return float(text)


_form = partial(answering, federation_page)
ROUTES = [
    Route(PATH, show, methods=["GET"]),
    Route(f"{PATH}/members/{{member}}/approve", _form(approve), methods=["POST"]),
    Route(f"{PATH}/members/{{member}}/revoke", _form(revoke), methods=["POST"]),
    Route(f"{PATH}/trainings", _form(start_training), methods=["POST"]),
    Route(f"{PATH}/evaluations", _form(start_evaluation), methods=["POST"]),
]
SCRIPTED = [Route(f"{PATH}/rows", rows), Route(f"{PATH}/events", events)]
"""What a page's script asks by itself."""
