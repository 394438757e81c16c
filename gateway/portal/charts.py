"""Figures as drawn marks: where bars and lines lie in an SVG of fixed size. Pure functions; templates draw them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.portal.formats import significant
from gateway.portal.languages import gettext

BAR = (160, 16)
"""Width and height of an interval's picture; its axis goes from 0 to 1."""
PLOT = (320, 160)
"""Width and height of a curve's, with room for its axes."""
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 24
_PAD = 4
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval from `low` to `high`, with its figure's place `at`, in pixels."""

    low: float
    high: float
    at: float


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as the points of a polyline, the last of them, what it is of, and which of the styles it has."""

    label: str
    points: str
    last: Point
    style: int


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over one another, and what stands at the ends of the axes. `words` tell it to who can't see it."""

    title: str
    lines: tuple[Line, ...]
    across: tuple[str, str]
    up: tuple[str, str]
    words: str


def bar(figure: Mapping[str, Any]) -> Bar:
    """The interval of a figure; what lies outside of the axis is drawn at its end."""
    return Bar(*(_along(figure[name]) for name in ("low", "high", "value")))


def _along(value: float) -> float:
    return round(_PAD + min(max(value, 0.0), 1.0) * (BAR[0] - 2 * _PAD), 1)


def plot(
    title: str, curves: Mapping[str, Sequence[Point]], *, across: Point | None = None, up: Point | None = None
) -> Plot | None:
    """Curves (x, y) by what they are of; axes are as long as they need be, if none are given. None without points."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return None
    wide, tall = across or _range(x for x, _ in points), up or _range(y for _, y in points)
    lines = [
        _line(label, curve, number, wide, tall)
        for number, (label, curve) in enumerate(curves.items())
        if curve
    ]
    ends = ", ".join(f"{label} {_number(curve[-1][1])}" for label, curve in curves.items() if curve)
    told = {"title": title, "number": len(points), "ends": ends}
    words = gettext("%(title)s: %(number)s points; last: %(ends)s") % told
    return Plot(
        title, tuple(lines), (_number(wide[0]), _number(wide[1])), (_number(tall[0]), _number(tall[1])), words
    )


def _range(values: Iterable[float]) -> Point:
    found = list(values)
    low, high = min(found), max(found)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _line(label: str, curve: Sequence[Point], number: int, wide: Point, tall: Point) -> Line:
    placed = [
        (
            round(LEFT + (x - wide[0]) / (wide[1] - wide[0]) * (PLOT[0] - LEFT - RIGHT), 1),
            round(PLOT[1] - BOTTOM - (y - tall[0]) / (tall[1] - tall[0]) * (PLOT[1] - TOP - BOTTOM), 1),
        )
        for x, y in curve
    ]
    return Line(label, " ".join(f"{x},{y}" for x, y in placed), placed[-1], number % 6)


def _number(value: float) -> str:
    return significant(value, 3)
