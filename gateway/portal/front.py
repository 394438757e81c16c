"""`/`: what each person needs first, by what they are here; and `/programs`, where programs begin."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus

from psycopg import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import catalogue, desk, summaries
from archive.catalogue import Node
from archive.errors import Unavailable
from archive.policy import Action
from archive.state_item import Item, Level
from archive.summaries import Filters, Order
from gateway.api.state import node_state
from gateway.auditing import note, note_shown
from gateway.catalogue.plots import MODALITIES
from gateway.portal.languages import marked
from gateway.portal.pages import page, render
from gateway.portal.visits import Visit, current_visit
from gateway.services import principal_of, scope_of, services_of

LATEST = 6  # exams
PATIENCE = 2.0  # seconds for all that a front counts
Count = Callable[[AsyncConnection], Awaitable[object]]
TITLES: Mapping[str, str] = {
    "newest": marked("Newest datasets"),
    "totals": marked("Newest datasets"),
    "room": marked("Worklist"),
    "stewardship": marked("Waiting for a steward"),
    "waiting": marked("Waiting for a steward"),
    "cases": marked("Your requests and permits"),
    "jobs": marked("Your jobs"),
}
CALLING = (Level.ACT, Level.LOOK, Level.UNKNOWN)


async def front_page(request: Request) -> Response:
    """GET /: blocks for a visitor, or for each thing that the person is; without PostgreSQL what needs none of it."""
    visit = current_visit()
    try:
        blocks = await _blocks(request, visit)
    except Unavailable:
        blocks = {"is_silent": True, "node": Node()}
    template = "front_clinician.html" if "room" in blocks else "front.html"
    return page(template, HTTPStatus.OK, modalities=MODALITIES, **blocks)


async def _blocks(request: Request, visit: Visit) -> dict[str, object]:
    async with services_of(request).connection() as connection:
        found = await _count(connection, _wanted(visit))
        found["node"] = await catalogue.node(connection)
    if visit.manages and visit.has("administrator"):
        found["calling"] = _calling(await node_state(request))
    return found


def _wanted(visit: Visit) -> dict[str, Count]:
    """What is counted for whom, by the names of blocks."""
    wanted: dict[str, Count] = {"newest": desk.newest, "totals": desk.totals}
    if visit.has("clinician"):
        wanted["room"] = partial(desk.reading_room, subject=visit.subject)
    if visit.manages:
        wanted |= {"stewardship": desk.stewardship, "waiting": desk.cases_waiting}
    if visit.subject:
        wanted["cases"] = partial(desk.cases_of, subject=visit.subject)
        wanted["jobs"] = partial(desk.jobs_of, subject=visit.subject)
    return wanted


async def _count(connection: AsyncConnection, wanted: Mapping[str, Count]) -> dict[str, object]:
    """What could be counted within PATIENCE, and the titles of blocks of which that is not so."""
    found: dict[str, object] = {}
    uncounted: list[str] = []
    clock = asyncio.get_running_loop()
    until = clock.time() + PATIENCE
    for name, count in wanted.items():
        try:
            if clock.time() >= until:
                raise TimeoutError
            async with asyncio.timeout_at(until):
                found[name] = await count(connection)
        except TimeoutError:
            uncounted.append(TITLES[name])
    return found | {"uncounted": list(dict.fromkeys(uncounted))}


def _calling(items: list[Item]) -> list[Item]:
    """What calls for somebody, that first which is urgent."""
    return sorted(
        (item for item in items if item.level in CALLING), key=lambda item: CALLING.index(item.level)
    )


async def latest_exams(request: Request) -> Response:
    """GET /worklist/latest: the exams that arrived last, for the front of who sees any; a part of a page."""
    scope = scope_of(request, Action.READ)
    async with services_of(request).connection() as connection:
        filters = Filters(order=Order.ARRIVAL)
        found = await summaries.list_studies(connection, scope, principal_of(request).subject, filters)
    studies = found.studies[:LATEST]
    note(request, results=len(studies))
    note_shown(request, [study.study_instance_uid for study in studies])
    text = render("front_exams.html", studies=studies)
    return Response(text, media_type="text/html", headers={"cache-control": "no-store"})


async def programs_page(request: Request) -> Response:
    """GET /programs: where DICOMweb is, how to get a token."""
    return page("programs.html", settings=services_of(request).settings)


PAGES = [Route("/", front_page, methods=["GET"]), Route("/programs", programs_page, methods=["GET"])]
SCRIPTED = [Route("/worklist/latest", latest_exams)]
"""What the page asks by itself."""
