"""PGMI: Perfect, Good, Moderate, Inadequate. How a measure becomes a grade, and grades a category."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from archive.findings import Code
from inference.errors import PackageError
from inference.preprocess.parameters import Parameters
from inference.quality import codes


class Grade(IntEnum):
    """From the best to the worst."""

    PERFECT = 0
    GOOD = 1
    MODERATE = 2
    INADEQUATE = 3

    @property
    def code(self) -> Code:
        return codes.PGMI_GRADES[self.name[0]]


_GRADES = (Grade.PERFECT, Grade.GOOD, Grade.MODERATE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of a passport: `<measure>_p`, `_g` and `_m` bound the grades; past the last it is Inadequate.

    A measure without a limit for a grade passes on to the next one; without any it is told and not graded.
    """

    parameters: Parameters

    def most(self, measure: str, value: float) -> Grade:
        """The grade of a measure of which less is better."""
        return self._grade(measure, value, sign=1)

    def least(self, measure: str, value: float) -> Grade:
        """The grade of a measure of which more is better."""
        return self._grade(measure, value, sign=-1)

    def _grade(self, measure: str, value: float, sign: int) -> Grade:
        bounds = [(grade, self._bound(f"{measure}_{grade.name[0].lower()}")) for grade in _GRADES]
        given = [(grade, bound) for grade, bound in bounds if bound is not None]
        for grade, bound in given:
            if sign * value <= sign * bound:
                return grade
        return Grade(given[-1][0] + 1) if given else Grade.PERFECT

    def _bound(self, name: str) -> float | None:
        value = self.parameters.get(name)
        if value is None:
            return None
        if isinstance(value, str | bool):
            raise PackageError(f"the parameter {name} of the image quality must be a number")
        return float(value)


def worst(grades: Iterable[Grade]) -> Grade:
    """The category of what has these grades: no better than the worst of them."""
    return max(grades, default=Grade.PERFECT)
