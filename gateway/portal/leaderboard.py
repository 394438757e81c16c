"""`/federation/leaderboard`: how model packages did on what sites hold out, as the hub joined it.

What is shown was protected by the sites before it left them, and names nobody; who is signed in may see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import evaluations
from archive.evaluations import Evaluated, figure
from gateway.portal.charts import Bar, Plot, bar, plot
from gateway.portal.forms import signed_page
from gateway.portal.languages import gettext, marked
from gateway.services import services_of

PATH = "/federation/leaderboard"
FALLING = frozenset(["calibration error"])
"""Figures of which the smallest is best."""
FIRST = {"density": "quadratic kappa", "lesions": "sensitivity at 0.5 false marks an image"}
"""The figure that a board is sorted by at first; of other tasks, its first."""
CURVES = {
    "roc": marked("Receiver operating characteristic"),
    "free response": marked("Sensitivity by false marks an image"),
    "calibration": marked("Share that was seen, by score"),
}
_UNIT = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, and its interval as it is drawn."""

    figure: Mapping[str, Any]
    bar: Bar


@dataclass(frozen=True, slots=True)
class Row:
    """A package of a board: its figures by the board's columns, those of its groups, and its curves."""

    evaluated: Evaluated
    place: str
    figures: Sequence[Drawn | None]
    groups: Mapping[str, Mapping[str, tuple[int, Sequence[Drawn | None]]]]
    plots: Sequence[Plot]


async def leaderboard(request: Request) -> Response:
    """GET /federation/leaderboard: of `task` and `dataset`, sorted by the figure `sort`."""
    asked = request.query_params
    async with services_of(request).connection() as connection:
        boards = await evaluations.boards(connection)
        chosen = (asked.get("task", ""), asked.get("dataset", ""))
        task, dataset = chosen if chosen in boards else (boards or [("", "")])[0]
        found = await evaluations.board(connection, task, dataset)
    names = columns(found)
    sort = asked.get("sort", "")
    sort = sort if sort in names else next((name for name in (FIRST.get(task), *names) if name in names), "")
    return signed_page(
        request,
        "leaderboard.html",
        boards=[(one, urlencode({"task": one[0], "dataset": one[1]})) for one in boards],
        task=task,
        dataset=dataset,
        names=[(name, urlencode({"task": task, "dataset": dataset, "sort": name})) for name in names],
        sort=sort,
        falling=FALLING,
        rows=[_row(one, names, number) for number, one in enumerate(ordered(found, sort), 1)],
    )


def columns(found: Sequence[Evaluated]) -> list[str]:
    """The figures that any package has, in their order."""
    return list(dict.fromkeys(one["name"] for each in found for one in each.joined["figures"]))


def ordered(found: Sequence[Evaluated], name: str) -> list[Evaluated]:
    """The best by a figure first; those without it last, by their names."""
    sign = 1 if name in FALLING else -1

    def key(one: Evaluated) -> tuple[bool, float, str, str]:
        told = figure(one.joined, name)
        return told is None, sign * told["value"] if told else 0.0, one.model["name"], one.model["version"]

    return sorted(found, key=key)


def _row(one: Evaluated, names: Sequence[str], number: int) -> Row:
    groups = {
        dimension: {label: (told["exams"], _drawn(told, names)) for label, told in by_label.items()}
        for dimension, by_label in one.joined["groups"].items()
        if by_label
    }
    return Row(one, f"package-{number}", _drawn(one.joined, names), groups, _plots(one.joined["curves"]))


def _drawn(told: Mapping[str, Any], names: Sequence[str]) -> list[Drawn | None]:
    found = [figure(told, name) for name in names]
    return [Drawn(one, bar(one)) if one else None for one in found]


def _plots(curves: Mapping[str, Any]) -> list[Plot]:
    made = []
    for name, known in CURVES.items():
        title = gettext(known)
        points = [(float(x), float(y)) for x, y in curves.get(name, [])]
        across = None if name == "free response" else _UNIT
        if drawn := plot(title, {title: points}, across=across, up=_UNIT):
            made.append(drawn)
    return made


ROUTES = [Route(PATH, leaderboard, methods=["GET"])]
