"""What the gateway can be asked, read off its routes: the one source of `/openapi.json` and of the capabilities."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from starlette.endpoints import HTTPEndpoint
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from archive.policy import Action

MULTIPART_DICOM = 'multipart/related; type="application/dicom"'
MULTIPART_JSON = 'multipart/related; type="application/dicom+json"'
MULTIPART_XML = 'multipart/related; type="application/dicom+xml"'
DATASET = ("application/dicom+json", "application/json", "application/dicom+xml")
DATASETS = ("application/dicom+json", "application/json", MULTIPART_XML)
OCTETS = ("multipart/related", "application/octet-stream")
_SEARCH = (
    *("limit", "offset", "includefield"),
    *("fuzzymatching", "emptyvaluematching", "multiplevaluematching"),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a resource.

    `produces` are the media types of its answers, `takes` those of its payload, `query` the names of its query
    parameters; `matches` says that attributes are parameters too, `scope` what a token must allow; "": any token will
    do, None: none is asked for.
    """

    method: str
    path: str
    name: str
    summary: str
    scope: Action | Literal[""] | None = None
    status: int = 200
    produces: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    matches: bool = False


def operations(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[Operation]:
    """Every method of every route but HEAD and OPTIONS, which all have."""
    for route in routes:
        if isinstance(route, Mount):
            yield from operations(route.routes, prefix + route.path)
        elif isinstance(route, WebSocketRoute):
            yield _operation("GET", prefix + route.path, route.endpoint)
        elif isinstance(route, Route) and route.include_in_schema:
            for method, endpoint in _methods(route):
                yield _operation(method, prefix + route.path.replace(":path}", "}"), endpoint)


def _methods(route: Route) -> list[tuple[str, Callable[..., Any]]]:
    if inspect.isclass(route.endpoint) and issubclass(route.endpoint, HTTPEndpoint):
        named = [
            (method, getattr(route.endpoint, method, None)) for method in ("get", "post", "put", "delete")
        ]
        return [(method.upper(), endpoint) for method, endpoint in named if endpoint]
    return [(method, route.endpoint) for method in sorted(route.methods or ()) if method != "HEAD"]


def _operation(method: str, path: str, endpoint: Callable[..., Any]) -> Operation:
    summary = (inspect.getdoc(endpoint) or endpoint.__name__).splitlines()[0]
    details = _details(method, path)
    scope = _scope(method, path)
    return Operation(method, path, f"{method.lower()}{_camel(path)}", summary, scope, **details)


def _camel(path: str) -> str:
    return (
        "".join(word[:1].upper() + word[1:] for word in path.replace(".", "/").replace("-", "/").split("/"))
        .replace("{", "By")
        .replace("}", "")
    )


def _scope(method: str, path: str) -> Action | Literal[""] | None:
    if path == "/api/session":
        return ""
    if path == "/metrics":
        return Action.METRICS
    if path.startswith("/api/studies/"):
        return Action.REVIEW if method == "POST" else Action.READ
    if path.endswith("/manifest"):
        return Action.READ
    if path.startswith("/api/applications") and not path.endswith(("/review", "/changes", "/votes")):
        return ""
    if path.startswith("/api/jobs"):
        return Action.MANAGE if path.endswith(("/approve", "/refuse", "/release")) else Action.JOB
    if path.startswith("/api/beacon"):
        return Action.COUNT if path.endswith("/individuals") else None
    if path in ("/api/search", "/api/datasets/eucaimSearch"):
        return Action.COUNT
    if path.startswith("/api/"):
        return Action.MANAGE
    if not path.startswith("/dicom-web"):
        return None
    if "/workitems" in path or "/subscribers/" in path:
        return Action.READ if method == "GET" else Action.WRITE
    return Action.WRITE if method == "POST" else Action.READ


_UPLOADED = {
    "/api/jobs/packages/{package}": ("application/toml",),
    "/api/jobs/packages/{package}/network": ("application/octet-stream",),
}


def _details(method: str, path: str) -> dict[str, Any]:
    """What a resource takes and gives, by the last part of its address."""
    if path.endswith("/manifest"):
        return {"produces": ("application/json", "text/csv", "text/plain"), "query": ("format",)}
    if path.startswith(("/api/", "/federation/")):
        takes_json = method in ("POST", "PUT") and not path.endswith("/publication")
        takes: tuple[str, ...] = _UPLOADED.get(path, ("application/json",)) if takes_json else ()
        if path in _COUNTED:
            produces, query = _COUNTED[path]
            return {"takes": takes, "produces": produces, "query": () if takes else query}
        return {"takes": takes, "produces": () if method == "DELETE" else ("application/json",)}
    if not path.startswith("/dicom-web"):
        return {"takes": ("application/x-www-form-urlencoded",)} if method == "POST" else {}
    last = path.rsplit("/", 1)[-1]
    if method in ("POST", "PUT") and last in ("workitems", "{workitem}", "state", "cancelrequest"):
        return {"takes": DATASET}
    if method == "POST" and ("studies" in path):
        stored = (MULTIPART_DICOM, MULTIPART_JSON, MULTIPART_XML, "application/dicom", *DATASET)
        return {"takes": stored, "produces": DATASET}
    if method == "GET" and last in ("studies", "series", "instances", "workitems"):
        return {"produces": DATASETS, "query": (*_SEARCH, "accept"), "matches": True}
    if last == "rendered" and "/instances/" not in path:
        return {
            "produces": tuple(f'multipart/related; type="{each}"' for each in _PICTURES),
            "query": ("accept",),
        }
    return {"produces": _PRODUCES.get(last, ()), "query": ("accept",)} if method == "GET" else {}


_JSON = ("application/json",)
_OF_BEACON = (
    "filters",
    "includeResultsetResponses",
    "skip",
    "limit",
    "requestedGranularity",
    "requestedSchema",
)
_COUNTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "/api/search": ((*_JSON, "application/x-ndjson", "text/event-stream"), ()),
    "/api/datasets/eucaimSearch": (_JSON, ("gender", "diagnosis", "modality", "bodyPart", "manufacturer")),
    "/federation/v1/questions": (("application/x-ndjson",), ()),
    "/federation/v1/search": (("application/x-ndjson",), ()),
    "/api/beacon/individuals": (_JSON, _OF_BEACON),
    "/api/beacon/datasets/{dataset}/individuals": (_JSON, _OF_BEACON),
    "/api/beacon/datasets": (_JSON, ("skip", "limit")),
}
"""What ways of counting produce, and the parameters that they take in the address."""
_PICTURES = ("image/jpeg", "image/png", "image/gif")
_PRODUCES: dict[str, tuple[str, ...]] = {
    "{study}": (MULTIPART_DICOM,),
    "{series}": (MULTIPART_DICOM,),
    "{instance}": (MULTIPART_DICOM, "application/dicom"),
    "metadata": DATASETS,
    "{workitem}": (*DATASETS, "application/dicom+xml"),
    "{frames}": OCTETS,
    "{attribute}": OCTETS,
    "rendered": _PICTURES,
    "thumbnail": _PICTURES,
}
