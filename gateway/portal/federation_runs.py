"""`/federation/runs/{run}`: a run's manifest in words, what sites said to it, its rounds and curves.

The hub's stewards stop it; a site's approve or refuse it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import approvals, evaluations, runs
from archive.answer import Decision
from archive.approvals import Offered
from archive.errors import BadRequest, Conflict, Forbidden, NotFound
from archive.federation_roles import read_hub, read_site
from archive.pool import connect, translated_errors
from archive.runs import Round, Run, State
from archive.settings import Settings
from gateway.api.management import require_manager
from gateway.portal import manifests
from gateway.portal.charts import Plot, plot
from gateway.portal.federation import NOT_FOR, PATH
from gateway.portal.forms import Handler, answering, back_to, read_form, refusal, signed_page
from gateway.portal.languages import gettext, marked
from gateway.portal.pages import render
from gateway.portal.words import headed, word
from gateway.services import services_of

ALL = marked("all sites")
MOST_PLOTS = 8
MOST_LINES = 6
"""Of one plot: all sites together, and the first of them by name."""


async def run_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """The run as this node knows it. Raises NotFound."""
    require_manager(request)
    return signed_page(request, "federation_run.html", status, problem=problem, **await _values(request))


async def _values(request: Request) -> dict[str, Any]:
    name, settings = request.path_params["run"], services_of(request).settings
    async with services_of(request).connection() as connection:
        run = await _found(runs.find_async(connection, name)) if read_hub(settings) else None
        offered = await _found(approvals.find(connection, name)) if read_site(settings) else None
        told: Run | Offered | None = run or offered
        if told is None:
            raise NotFound("no such run")
        said = await runs.answers_async(connection, name) if run else []
        rounds = await runs.rounds_async(connection, name) if run else []
        evaluated = await evaluations.of_run(connection, name) if run else []
    manifest = manifests.read(told.manifest)
    return {
        "run": run,
        "offered": offered,
        "name": name,
        "heading": manifests.title_of(manifest),
        "words": manifests.words_of(manifest, told.sha256),
        "of_rounds": manifest["rounds"],
        "said": said,
        "rounds": rounds,
        "names": figure_names(rounds),
        "plots": [] if manifest["kind"] == "evaluation" else plots(rounds),
        "evaluated": evaluated,
    }


async def _found(looking: Any) -> Any:
    try:
        return await looking
    except NotFound:
        return None


def figure_names(rounds: Sequence[Round]) -> list[str]:
    """The figures that any round has, in their order."""
    return list(dict.fromkeys(name for one in rounds for name in sorted(one.figures)))


def plots(rounds: Sequence[Round]) -> list[Plot]:
    """Each figure over the rounds, of all sites together and of each."""
    sites = sorted({site for one in rounds for site in one.sites})[: MOST_LINES - 1]
    made = []
    for name in figure_names(rounds)[:MOST_PLOTS]:
        curves = {gettext(ALL): _points(rounds, name, None)} | {
            site: _points(rounds, name, site) for site in sites
        }
        if drawn := plot(headed(word(name.replace("_", " "), "figure")), curves):
            made.append(drawn)
    return made


def _points(rounds: Sequence[Round], name: str, site: str | None) -> list[tuple[float, float]]:
    points = []
    for one in rounds:
        figures: Mapping[str, Any] = one.figures if site is None else one.sites.get(site, {})
        if isinstance(value := figures.get(name), int | float):
            points.append((float(one.round), float(value)))
    return points


async def show(request: Request) -> Response:
    """GET /federation/runs/{run}."""
    try:
        return await run_page(request)
    except Forbidden:
        return refusal(request, gettext(NOT_FOR))
    except NotFound:
        return signed_page(request, "refused.html", HTTPStatus.NOT_FOUND, why=gettext("No such run."))


async def progress(request: Request) -> Response:
    """GET /federation/runs/{run}/progress: where the run is, for a page to show in place of what it has."""
    require_manager(request)
    text = render("federation_progress.html", **await _values(request))
    return Response(text, media_type="text/html", headers={"cache-control": "no-store"})


async def stop(request: Request) -> Response:
    """End a run now."""
    by, form, name = require_manager(request), await read_form(request), request.path_params["run"]
    reason = form.text("reason", "")
    if len(reason) > 500:
        raise BadRequest("a reason has 500 characters at most")
    await run_sync(partial(_stop, services_of(request).settings, name, reason, by))
    return _back(request)


def _stop(settings: Settings, name: str, reason: str, by: str) -> None:
    with connect(settings.database_url) as connection, translated_errors():
        if not runs.end(connection, runs.find(connection, name).run, State.STOPPED, reason, by=by):
            raise Conflict("the run has ended already")


async def approve(request: Request) -> Response:
    """Let this site take part in a run, as it reads now."""
    return await _decide(request, Decision.APPROVED)


async def refuse(request: Request) -> Response:
    """Keep this site out of a run, now and in rounds that come."""
    return await _decide(request, Decision.REFUSED)


async def _decide(request: Request, decision: Decision) -> Response:
    """Raises Conflict where another manifest was read than the one that is offered."""
    by, form, name = require_manager(request), await read_form(request), request.path_params["run"]
    async with services_of(request).connection() as connection:
        offered = await approvals.find(connection, name)
        if form.text("manifest", "") != offered.sha256:
            raise Conflict("the manifest is another than the one that was read: read it again")
        await approvals.decide(connection, name, decision, by=by)
    return _back(request)


def _back(request: Request) -> Response:
    return back_to(f"{PATH}/runs/{request.path_params['run']}")


async def _show_problem(request: Request, problem: str, status: HTTPStatus) -> Response:
    """On the run's page, where there is one."""
    try:
        return await run_page(request, problem, status)
    except NotFound:
        return signed_page(request, "refused.html", HTTPStatus.NOT_FOUND, why=gettext("No such run."))


def _form(change: Handler) -> Handler:
    return answering(_show_problem, change)


_RUN = f"{PATH}/runs/{{run}}"
ROUTES = [
    Route(_RUN, show, methods=["GET"]),
    Route(f"{_RUN}/stop", _form(stop), methods=["POST"]),
    Route(f"{_RUN}/approve", _form(approve), methods=["POST"]),
    Route(f"{_RUN}/refuse", _form(refuse), methods=["POST"]),
]
SCRIPTED = [Route(f"{_RUN}/progress", progress)]
"""What a page's script asks by itself."""
