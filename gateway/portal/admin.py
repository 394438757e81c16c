"""`/admin`: the state of the node at a glance, with the action that each thing calls for; and the pages below it."""

from itertools import groupby
from operator import attrgetter

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.state_item import Item, Level
from gateway.api.management import is_administrator, require_manager
from gateway.api.state import node_state
from gateway.portal import admin_data, admin_people
from gateway.portal.forms import managing, signed_page

PATH = "/admin"
_URGENCY = (Level.ACT, Level.LOOK, Level.UNKNOWN, Level.FINE)
OF_STEWARDS = frozenset(
    {"exams", "held", "readings", "requests", "members", "offered", "federation", "jobs", "catalogue"}
)
"""What of the state concerns stewards; administrators see all of it."""


async def state_page(request: Request) -> Response:
    """GET /admin."""
    require_manager(request)
    administers = is_administrator(request)
    items = [item for item in await node_state(request) if administers or item.name in OF_STEWARDS]
    return signed_page(request, "admin.html", levels=_by_level(items))


def _by_level(items: list[Item]) -> dict[Level, list[Item]]:
    """The items of each level, that first which calls for most."""
    ordered = sorted(items, key=lambda item: _URGENCY.index(item.level))
    return {level: list(found) for level, found in groupby(ordered, attrgetter("level"))}


ROUTES = [Route(PATH, managing(state_page), methods=["GET"]), *admin_data.ROUTES, *admin_people.ROUTES]
