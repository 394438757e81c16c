"""Every access and every denial goes into the audit trail before the first byte of its answer goes out.

Where it can't be written nothing is served. What is recorded is who, when, from where, under which permits, the kind of
resource, its UIDs and the names of a query's keys, and never an attribute's value.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive.attributes import tag, vr
from archive.audit import Event, Outcome, Record
from archive.errors import HTTP_STATUS, SenogateError, Unavailable, is_shortage
from archive.resource import is_uid
from archive.trail import Journal

UNRECORDED = "unrecorded"  # in a scope: something else puts the refusal on record (gateway.floods)
COUNTED = "counted"  # in a scope: it asks for counts, whatever its method
ANONYMOUS = "anonymous"  # the subject where no credential told one
_STARTS = frozenset(
    ["http.response.start", "websocket.accept", "websocket.http.response.start", "websocket.close"]
)
_DENIED = frozenset([401, 403, 404, 410, 429])
_SEARCHED = frozenset(["studies", "series", "instances", "workitems", "worklist", "rows", "latest"])
_READS = frozenset(["GET", "HEAD"])
_METHODS = _READS | {"POST", "PUT", "DELETE", "PATCH"}
_STUDY = re.compile(r"/studies/([0-9.]{1,64})(?:/|$)")
_MOST_KEYS, _LONGEST_KEY = 64, 256
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_PARAMETERS = """
limit offset fuzzymatching emptyvaluematching multiplevaluematching includefield accept charset requestType contentType
frameNumber rows columns region windowCenter windowWidth imageQuality annotation viewport window iccprofile quality
transferSyntax anonymize presentationUID presentationSeriesUID deletionlock filter
from to density score task status unread sort before behind since
gender diagnosis modality bodyPart filters includeResultsetResponses skip requestedGranularity requestedSchema
"""
_OPTIONS = frozenset(_PARAMETERS.split())
_UIDS = {
    "StudyInstanceUID": "study",
    "SeriesInstanceUID": "series",
    "SOPInstanceUID": "instance",
    "PatientID": "patient",
}
_OTHER_NAMES = {
    "studyUID": "StudyInstanceUID",
    "seriesUID": "SeriesInstanceUID",
    "objectUID": "SOPInstanceUID",
}
_BY_TAG = {tag(keyword): keyword for keyword in _UIDS}


class NotWritten(Exception):
    """An answer may not begin, for the trail does not have it. No handler of errors knows it; only Auditing does."""


def note(request: HTTPConnection, **details: str | int) -> None:
    """Add to what the trail will say of a request: no attribute's value."""
    request.scope.setdefault("audited", {}).update(details)


def note_shown(request: HTTPConnection, studies: Sequence[str]) -> None:
    """Say which studies an answer lists, by their UIDs: it is told in the reports of their patients."""
    request.scope["studies_shown"] = studies


class Auditing:
    """Holds an answer, or the error that becomes one, until its record is durable.

    OPTIONS passes, since it tells nothing but methods. `is_pseudonym` says of a Patient ID whether the site made it.
    """

    def __init__(self, app: ASGIApp, trail: Journal, is_pseudonym: Callable[[str], bool]) -> None:
        self._app = app
        self._trail = trail
        self._is_pseudonym = is_pseudonym
        self._words: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope.get("method") == "OPTIONS":
            return await self._app(scope, receive, send)
        is_written = False

        async def hold(message: Message) -> None:
            nonlocal is_written
            if not is_written and message["type"] in _STARTS and UNRECORDED not in scope:
                await self._write(scope, _status(message))
                is_written = True
            await send(message)

        try:
            await self._app(scope, receive, hold)
        except NotWritten as error:
            raise Unavailable(str(error)) from None
        except Exception as error:
            if not is_written and UNRECORDED not in scope:
                await self._trail.write(self._record(scope, _status_of(error)))
            raise

    async def _write(self, scope: Scope, status: int) -> None:
        try:
            await self._trail.write(self._record(scope, status))
        except Unavailable as error:
            raise NotWritten(str(error)) from None

    def _record(self, scope: Scope, status: int) -> Record:
        named, asked = scope.get("path_params", {}), _asked(scope["query_string"])
        details: dict[str, Any] = {
            "method": _method(scope),
            "route": self._route(scope, named),
            "status": status,
            **_details(scope, named, asked),
        }
        principal = scope.get("principal")
        study = named.get("study") or asked.get("study") or _study_of(scope["path"])
        study = study if study and is_uid(study) else None
        patient = asked.get("patient", "")
        return Record(
            _event(scope, status),
            principal.subject if principal is not None else ANONYMOUS,
            _outcome(status),
            scope.get("permits_used", ()),
            study,
            patient if self._is_pseudonym(patient) else None,
            details,
            shown=None if study or status >= HTTPStatus.BAD_REQUEST else scope.get("studies_shown"),
        )

    def _route(self, scope: Scope, named: Mapping[str, Any]) -> str:
        """The path with names in place of whatever is not the same in every address; `{}` for what has none."""
        if not self._words:
            self._words = frozenset(_literals(scope["app"].routes))
        names = {value: f"{{{name}}}" for name, value in named.items()}
        words = self._words
        return "/".join(
            [part if part in words else names.get(part, "{}") for part in scope["path"].split("/")]
        )


def _details(scope: Scope, named: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """Whence, what below a study, the keys of a query, and what the endpoint noted."""
    details: dict[str, Any] = {}
    if scope.get("client"):
        details["from"] = scope["client"][0]
    for name in ("series", "instance", "workitem"):
        uid = named.get(name) or asked.get(name)
        if uid and is_uid(uid):
            details[name] = uid
    if asked:
        details["keys"] = asked["keys"]
    details.update(scope.get("audited", ()))
    return details


def _literals(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """The segments of addresses that are the same for all resources."""
    for route in routes:
        yield from (part for part in getattr(route, "path", "").split("/") if "{" not in part)
        yield from _literals(getattr(route, "routes", None) or ())


def _study_of(path: str) -> str | None:
    """The study that an address names which has not been routed."""
    found = _STUDY.search(path)
    return found[1] if found else None


def _method(scope: Scope) -> str:
    """The method of HTTP; `?` for one that is none, which may be anything."""
    method = scope.get("method", "WEBSOCKET")
    return method if method in _METHODS or scope["type"] == "websocket" else "?"


def _event(scope: Scope, status: int) -> Event:
    if status in _DENIED:
        return Event.DENIED
    if COUNTED in scope:
        return Event.SEARCH
    if scope.get("method", "GET") not in _READS:
        return Event.WRITE
    return Event.SEARCH if scope["path"].rstrip("/").rpartition("/")[2] in _SEARCHED else Event.READ


def _outcome(status: int) -> Outcome:
    if status < 400:
        return Outcome.SUCCESS
    if status < 500:
        return Outcome.REFUSED
    return Outcome.UNAVAILABLE if status == HTTPStatus.SERVICE_UNAVAILABLE else Outcome.FAILED


def _status(message: Message) -> int:
    """The status of an answer that begins; a connection that is closed before it opened is denied."""
    if message["type"] == "websocket.accept":
        return HTTPStatus.SWITCHING_PROTOCOLS
    return int(message.get("status", HTTPStatus.FORBIDDEN))


def _status_of(error: Exception) -> int:
    """The status that an error will become (gateway.problem)."""
    if isinstance(error, HTTPException):
        return error.status_code
    if is_shortage(error):
        return HTTPStatus.SERVICE_UNAVAILABLE
    kinds = [kind for kind in type(error).__mro__ if issubclass(kind, SenogateError)]
    known = [HTTP_STATUS[kind] for kind in kinds if kind in HTTP_STATUS]
    return known[0] if known else HTTPStatus.INTERNAL_SERVER_ERROR


def _asked(query_string: bytes) -> dict[str, str]:
    """The names of a query's keys, and the identifiers that it asks for."""
    if not query_string:
        return {}
    names, asked = [], {}
    for part in query_string.split(b"&", _MOST_KEYS)[:_MOST_KEYS]:
        key, _, value = part.partition(b"=")
        name = _name(key[:_LONGEST_KEY])
        names.append(name)
        if name in _UIDS:
            asked[_UIDS[name]] = unquote_plus(value.decode("latin-1"))
    asked["keys"] = " ".join(names)
    return asked


@lru_cache(2048)
def _name(key: bytes) -> str:
    """A key as the standard or this site names it; `?` for any other, which may be somebody's name."""
    text = unquote_plus(key.decode("latin-1"))
    text = _OTHER_NAMES.get(text, text)
    if text in _OPTIONS:
        return text
    try:
        _ = [vr(part.upper() if _TAG.fullmatch(part) else tag(part)) for part in text.split(".")]
    except KeyError:
        return "?"
    return _BY_TAG.get(text.upper(), text)
