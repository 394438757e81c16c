"""Media types and the choice among them (RFC 9110 sections 8.3.1 and 12.5.1, PS3.18 section 8.7)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from archive.errors import BadRequest, NotAcceptable

MAXIMUM_LENGTH = 8192  # characters of an Accept header
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"\s*({_NAME})/({_NAME})\s*")
# An unquoted value may hold a slash: RFC 9110 forbids type=application/dicom and many DICOMweb clients send
# it.
_PARAMETER = re.compile(rf';\s*(?:({_NAME})\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*)?')
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")
_RELEVANT = ("type", "transfer-syntax")
# Names of editions before 2016, and one that is met though none has it: what clients in use ask for.
_SYNONYMS = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "image/jhc": "image/jphc",
}


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type, or a range of them with wildcards. Names are in lower case, parameters in order."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        return f"{self.type}/{self.subtype}"

    def parameter(self, name: str) -> str | None:
        """The value of the first parameter of that name, None without one."""
        return next((value for key, value in self.parameters if key == name), None)

    def with_parameter(self, name: str, value: str) -> "MediaType":
        return MediaType(self.type, self.subtype, (*self.parameters, (name, value)))

    def __str__(self) -> str:
        return "".join([self.essence, *(f"; {name}={_quote(value)}" for name, value in self.parameters)])


@dataclass(frozen=True, slots=True)
class Preference:
    """A range that a client accepts, and how much it wants it (0 to 1000)."""

    range: MediaType
    quality: int


ANYTHING = (Preference(MediaType("*", "*"), 1000),)


def media_type(essence: str, **parameters: str) -> MediaType:
    """A media type from its essence; underscores in parameters' names stand for hyphens."""
    kind, _, subtype = essence.partition("/")
    return MediaType(
        kind, subtype, tuple((name.replace("_", "-"), value) for name, value in parameters.items())
    )


def multipart(essence: str, **parameters: str) -> MediaType:
    """multipart/related whose parts are of the given type (RFC 2387, PS3.18 section 8.6.1.2.1)."""
    return media_type("multipart/related", type=essence, **parameters)


def parse_media_type(text: str) -> MediaType:
    """One media type, as a Content-Type has it. Raises BadRequest."""
    found, end = _parse_one(text, 0)
    if end != len(text):
        raise BadRequest("the media type is malformed")
    return found


@lru_cache(maxsize=1024)
def parse_accept(header: str | None, query: str | None = None) -> tuple[Preference, ...]:
    """What a client accepts; the query parameter `accept` stands in for the header (PS3.18 section 8.3.3.1).

    Neither, or an empty one, accepts anything. Raises BadRequest for a malformed one.
    """
    # In a query "+" has been read as a space, and only application/dicom+json has one.
    text = query.strip().replace("/dicom ", "/dicom+") if query else (header or "").strip()
    if len(text) > MAXIMUM_LENGTH:
        raise BadRequest("the accepted media types are too long a list")
    preferences, position = [], 0
    while position < len(text):
        if text[position] in ", \t":
            position += 1
            continue
        found, position = _parse_one(text, position)
        if position < len(text) and text[position] != ",":
            raise BadRequest("the accepted media types are malformed")
        preferences.append(_preference(found))
    return tuple(preferences) or ANYTHING


def _parse_one(text: str, position: int) -> tuple[MediaType, int]:
    match = _RANGE.match(text, position)
    if not match:
        raise BadRequest("a media type is malformed: it is type/subtype; parameter=value")
    essence = f"{match[1]}/{match[2]}".lower()
    kind, _, subtype = _SYNONYMS.get(essence, essence).partition("/")
    parameters, position = [], match.end()
    while parameter := _PARAMETER.match(text, position):
        position = parameter.end()
        if parameter[1]:
            value = _unquote(parameter[2])
            parameters.append((parameter[1].lower(), _SYNONYMS.get(value.lower(), value)))
    return MediaType(kind, subtype, tuple(parameters)), position


def _preference(found: MediaType) -> Preference:
    wanted = found.parameter("q")
    if wanted is None:
        return Preference(found, 1000)
    if not _QUALITY.fullmatch(wanted):
        raise BadRequest("a media type's q is a number from 0 to 1 with three decimals at most")
    rest = tuple((name, value) for name, value in found.parameters if name != "q")
    return Preference(MediaType(found.type, found.subtype, rest), round(float(wanted) * 1000))


def select(preferences: Sequence[Preference], offers: Sequence[MediaType]) -> MediaType:
    """The offer that is wanted most; the first one among equals. Raises NotAcceptable, which lists the offers."""
    qualities = [quality(preferences, offer) for offer in offers]
    if not offers or max(qualities) == 0:
        offered = ", ".join(dict.fromkeys(map(str, offers)))
        raise NotAcceptable(f"offered is: {offered or 'nothing'}")
    return offers[qualities.index(max(qualities))]


def quality(preferences: Sequence[Preference], offer: MediaType) -> int:
    """How much an offer is wanted: by the most specific range that covers it (RFC 9110 section 12.5.1)."""
    covering = [preference for preference in preferences if covers(preference.range, offer)]
    return max(covering, key=lambda preference: _specificity(preference.range)).quality if covering else 0


def covers(accepted: MediaType, offer: MediaType) -> bool:
    """Whether the range has the offer in it."""
    if accepted.type not in ("*", offer.type) or accepted.subtype not in ("*", offer.subtype):
        return False
    return all(_matches(accepted.parameter(name), offer.parameter(name)) for name in _RELEVANT)


def _matches(accepted: str | None, offered: str | None) -> bool:
    """Whether a parameter's value is covered; none, `*` and `*/*` cover all, `image/*` all images."""
    if accepted is None or offered is None or accepted in ("*", "*/*"):
        return True
    if accepted.endswith("/*"):
        return offered.lower().startswith(accepted[:-1].lower())
    return accepted.lower() == offered.lower()


def _specificity(accepted: MediaType) -> tuple[bool, bool, int]:
    exact = sum(accepted.parameter(name) is not None for name in _RELEVANT)
    return accepted.type != "*", accepted.subtype != "*", exact


def _quote(value: str) -> str:
    if re.fullmatch(_NAME, value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquote(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
