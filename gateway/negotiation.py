"""What a request accepts in answer (PS3.18 sections 8.3.3.1 and 8.7)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request

from archive.errors import NotAcceptable
from archive.media_type import MediaType, Preference, parse_accept, quality
from archive.query import parse_parameters

TRANSFER_SYNTAX = "transfer-syntax"


@dataclass(frozen=True, slots=True)
class Offer:
    """A media type with a transfer syntax that a DICOM resource can be had in.

    `media_type` is without a transfer syntax. One offer of each media type is the default, for who names no transfer
    syntax (section 8.7.3), one is as stored, for who says that any will do with `*` (section 8.7.3.5.2), and the
    others are for who names theirs.
    """

    media_type: MediaType
    transfer_syntax_uid: str
    is_default: bool = False
    is_stored: bool = False

    @property
    def named(self) -> MediaType:
        return self.media_type.with_parameter(TRANSFER_SYNTAX, self.transfer_syntax_uid)

    def wanted(self, preferences: Sequence[Preference]) -> int:
        """From 0, not at all, to 1000."""
        return quality([each for each in map(self._resolve, preferences) if each], self.named)

    def _resolve(self, preference: Preference) -> Preference | None:
        """The preference with this offer's transfer syntax where it means this one; None where another."""
        asked = preference.range.parameter(TRANSFER_SYNTAX)
        if asked is None:
            return preference if self.is_default else None
        if asked != "*":
            return None if self.is_default or self.is_stored else preference
        if not self.is_stored:
            return None
        rest = tuple(pair for pair in preference.range.parameters if pair[0] != TRANSFER_SYNTAX)
        exact = replace(preference.range, parameters=(*rest, (TRANSFER_SYNTAX, self.transfer_syntax_uid)))
        return replace(preference, range=exact)


def preferences(request: Request) -> tuple[Preference, ...]:
    """The media types of its query parameter `accept`, else those of its Accept headers. Raises BadRequest."""
    parameters = dict(parse_parameters(request.scope["query_string"]))
    return parse_accept(", ".join(request.headers.getlist("accept")), parameters.get("accept"))


def choose(accepted: Sequence[Preference], offers: Sequence[Offer]) -> Offer:
    """The offer that is wanted most; the first one among equals. Raises NotAcceptable, which lists the offers."""
    qualities = [offer.wanted(accepted) for offer in offers]
    if not offers or max(qualities) == 0:
        offered = ", ".join(dict.fromkeys(str(offer.named) for offer in offers))
        raise NotAcceptable(f"offered is: {offered or 'nothing'}")
    return offers[qualities.index(max(qualities))]
