"""The parameters that a passport gives a step, read so that a wrong one is named."""

from collections.abc import Mapping

from inference.errors import PackageError

Parameters = Mapping[str, int | float | str]


def whole(parameters: Parameters, name: str, low: int, high: int, absent: int | None = None) -> int:
    """A whole number from low to high. Raises PackageError, also where it is missing and has no default."""
    value = parameters.get(name, absent)
    if not (type(value) is int and low <= value <= high):
        raise PackageError(
            f"the preprocessing's parameter {name} must be a whole number from {low} to {high}"
        )
    return value


def real(parameters: Parameters, name: str, low: float, high: float, absent: float | None = None) -> float:
    """A number from low to high. Raises PackageError, also where it is missing and has no default."""
    value = parameters.get(name, absent)
    if isinstance(value, str | bool) or value is None or not low <= value <= high:
        raise PackageError(f"the preprocessing's parameter {name} must be a number from {low:g} to {high:g}")
    return float(value)
