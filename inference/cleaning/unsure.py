"""Why an instance can't be cleaned with certainty, so that a person has to look at it."""

from enum import StrEnum

from archive.errors import SenogateError


class Doubt(StrEnum):
    """Stable codes; a row of the spool carries one as its reason."""

    NOT_AN_IMAGE = "not-an-image"
    PIXELS_UNREADABLE = "pixels-unreadable"
    TOO_MANY_FRAMES = "too-many-frames"
    TOO_LARGE = "too-large"
    TOO_MUCH_TEXT = "too-much-text"
    TEXT_REMAINS = "text-remains"
    NOT_OPENED = "not-opened"
    NOT_STORED = "not-stored"
    GIVEN_UP = "given-up"


class Unsure(SenogateError):
    """An instance is left to a person. The message is the code of `doubt` and names no value."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__(str(doubt))
        self.doubt = doubt
