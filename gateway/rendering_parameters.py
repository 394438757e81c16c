"""The query parameters of a rendered resource or a thumbnail (PS3.18 section 8.3.5)."""

import re
from collections.abc import Mapping

from archive.errors import BadRequest
from archive.pixels.render import Profile, Viewport
from archive.pixels.voi import Function, Window

LARGEST = 10_000  # pixels of a viewport's side
_WHOLE = re.compile(r"[0-9]{1,6}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?")
_FUNCTIONS = {
    "linear": Function.LINEAR,
    "linear-exact": Function.LINEAR_EXACT,
    "sigmoid": Function.SIGMOID,
}
_ANNOTATIONS = ("patient", "technique")


def parse_window(text: str) -> Window:
    """`center,width,function`, all three (section 8.3.5.1.4). Raises BadRequest."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or parts[2].lower() not in _FUNCTIONS:
        raise BadRequest("window is center,width,function; functions are linear, linear-exact, sigmoid")
    return Window(parse_decimal(parts[0]), parse_decimal(parts[1]), _FUNCTIONS[parts[2].lower()])


def parse_viewport(text: str, *, is_thumbnail: bool = False) -> Viewport:
    """`vw,vh[,sx,sy,sw,sh]`, the last four of which may be left out (section 8.3.5.1.3). Raises BadRequest."""
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= (2 if is_thumbnail else 6):
        raise BadRequest("viewport is vw,vh or, but for thumbnails, vw,vh,sx,sy,sw,sh")
    width, height = (parse_size(part) for part in parts[:2])
    left, top, region_width, region_height = (
        parse_decimal(part) if part else None for part in [*parts[2:], "", "", "", ""][:4]
    )
    if region_width == 0 or region_height == 0:
        raise BadRequest("the viewport's region is empty")
    return Viewport(width, height, left or 0.0, top or 0.0, region_width, region_height)


def parse_size(text: str) -> int:
    """A width or height in pixels. Raises BadRequest."""
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= LARGEST:
        raise BadRequest(f"a viewport's width and height are whole numbers from 1 to {LARGEST}")
    return int(text)


def parse_quality(text: str) -> int:
    """From 1 to 100 (section 8.3.5.1.2). Raises BadRequest."""
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= 100:
        raise BadRequest("quality is a whole number from 1 to 100")
    return int(text)


def parse_profile(text: str) -> Profile:
    """Raises BadRequest for what is no keyword of section 8.3.5.1.5, and for colour spaces that are not made."""
    try:
        return Profile(text)
    except ValueError:
        raise BadRequest("iccprofile is no, yes or srgb; adobergb and rommrgb are not made") from None


def require_profile(profile: Profile, kind: str) -> Profile:
    """Raises BadRequest where the media type can't hold the profile that is asked for."""
    if kind == "image/gif" and profile is not Profile.NO:
        raise BadRequest("image/gif holds no ICC profile")
    return profile


def parse_annotation(text: str) -> tuple[str, ...]:
    """The annotations that are asked for, none of which is made (section 8.3.5.1.1). Raises BadRequest."""
    asked = tuple(part.strip() for part in text.split(","))
    if not set(asked) <= set(_ANNOTATIONS):
        raise BadRequest("annotation is a list of patient and technique")
    return asked


def parse_decimal(text: str) -> float:
    """Raises BadRequest."""
    if not _DECIMAL.fullmatch(text):
        raise BadRequest("a number in the query is malformed")
    return float(text)


def warn_of_annotations(parameters: Mapping[str, str]) -> dict[str, str]:
    """The Warning header field that says that annotations are not burned in. Raises BadRequest."""
    if "annotation" not in parameters:
        return {}
    asked = ",".join(parse_annotation(parameters["annotation"]))
    return {"warning": f'299 senogate "The following annotation values are not supported: {asked}"'}
