"""The JSON object that a request to `/api` brings, and rows of dataclasses as the JSON that answers it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from archive.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from archive.media_type import parse_media_type

MAXIMUM = 64 * 1024  # bytes
_Choice = TypeVar("_Choice", bound=StrEnum)
_JSON = "application/json"


class Payload:
    """The members of an object, each asked for by name. Raises BadRequest, which names the member and no value."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members

    @property
    def members(self) -> dict[str, Any]:
        """All of them, as they came."""
        return self._members

    def text(self, name: str, default: str | None = None) -> str:
        found = self._members.get(name, default)
        if not isinstance(found, str):
            if name not in self._members:
                raise BadRequest("%(name)s is missing", name=name)
            raise BadRequest("%(name)s is a text", name=name)
        return found

    def texts(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        found = self._members.get(name, default)
        if not isinstance(found, (list, tuple)) or not all(isinstance(each, str) for each in found):
            raise BadRequest("%(name)s is a list of texts", name=name)
        return tuple(found)

    def choice(self, name: str, kind: type[_Choice]) -> _Choice:
        return _one(name, self.text(name), kind)

    def choices(self, name: str, kind: type[_Choice], default: Sequence[_Choice]) -> frozenset[_Choice]:
        return frozenset(_one(name, each, kind) for each in self.texts(name, default))

    def moment(self, name: str) -> datetime | None:
        """A moment of ISO 8601, in UTC where it has no offset; None where there is none."""
        if self._members.get(name) is None:
            return None
        try:
            found = datetime.fromisoformat(self.text(name))
            moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise BadRequest("%(name)s is a moment as in ISO 8601", name=name) from None
        if not is_told(moment):
            raise BadRequest("%(name)s is a moment as in ISO 8601", name=name)
        return moment

    def number(self, name: str) -> int | None:
        """A whole number, also as a form sends it; None where there is none."""
        found = self._members.get(name)
        if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 10:
            return int(found)
        if found is None or type(found) is int:
            return found
        raise BadRequest("%(name)s is a whole number", name=name)

    def has(self, name: str) -> bool:
        return self._members.get(name) is not None


def is_told(day: date) -> bool:
    """Whether a day is within the years of `datetime` in every time zone: PostgreSQL tells one in its own."""
    return date.min.year < day.year < date.max.year


def _one(name: str, text: str, kind: type[_Choice]) -> _Choice:
    if text not in list(kind):
        raise BadRequest("%(name)s is one of: %(known)s", name=name, known=", ".join(kind))
    return kind(text)


async def read_payload(request: Request) -> Payload:
    """The request's object; one without members where it brings nothing.

    Raises UnsupportedMediaType, PayloadTooLarge, BadRequest.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM:
            raise PayloadTooLarge("a request has at most %(most)s bytes", most=MAXIMUM)
    if not body:
        return Payload({})
    if parse_media_type(request.headers.get("content-type", "missing/missing")).essence != _JSON:
        raise UnsupportedMediaType("taken is: application/json")
    try:
        found = json.loads(body)
        storable = "\0" not in json.dumps(found, ensure_ascii=False).encode("utf-8").decode()
    except (ValueError, RecursionError):
        raise BadRequest("the payload is not JSON") from None
    if not isinstance(found, dict) or not storable:
        raise BadRequest("the payload is no object")
    return Payload(found)


def respond(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Dataclasses, or lists of them, as JSON."""
    body = json.dumps(content, default=_plain, ensure_ascii=False).encode("utf-8")
    return Response(body, status, {"cache-control": "no-store"}, media_type=_JSON)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else asdict(value)
