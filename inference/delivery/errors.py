"""Why a delivery does not come about."""

from archive.errors import SenogateError


class Undeliverable(SenogateError):
    """The result will not be sent as it is: a person has to look. The message says why and holds no value."""


class Unreachable(SenogateError):
    """No association with the destination came about, or it broke."""
