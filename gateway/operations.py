"""What the gateway can be asked, read off its routes: the one source of `/openapi.json` and of the capabilities."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from starlette.endpoints import HTTPEndpoint
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from archive.policy import Action

MULTIPART_DICOM = 'multipart/related; type="application/dicom"'
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
    if path.startswith("/api/studies/"):
        return Action.REVIEW if method == "POST" else Action.READ
    if path.startswith("/api/"):
        return Action.MANAGE
    if not path.startswith("/dicom-web"):
        return None
    if "/workitems" in path or "/subscribers/" in path:
        return Action.READ if method == "GET" else Action.WRITE
    return Action.WRITE if method == "POST" else Action.READ


def _details(method: str, path: str) -> dict[str, Any]:
    """What a resource takes and gives, by the last part of its address."""
    if path.startswith("/api/"):
        takes = ("application/json",) if method == "POST" else ()
        return {"takes": takes, "produces": () if method == "DELETE" else ("application/json",)}
    if not path.startswith("/dicom-web"):
        return {"takes": ("application/x-www-form-urlencoded",)} if method == "POST" else {}
    last = path.rsplit("/", 1)[-1]
    if method in ("POST", "PUT") and last in ("workitems", "{workitem}", "state", "cancelrequest"):
        return {"takes": DATASET}
    if method == "POST" and ("studies" in path):
        return {"takes": (MULTIPART_DICOM, MULTIPART_XML, "application/dicom", *DATASET), "produces": DATASET}
    if method == "GET" and last in ("studies", "series", "instances"):
        return {"produces": DATASETS, "query": (*_SEARCH, "accept"), "matches": True}
    return {"produces": _PRODUCES.get(last, ()), "query": ("accept",)} if method == "GET" else {}


_PRODUCES: dict[str, tuple[str, ...]] = {
    "{study}": (MULTIPART_DICOM,),
    "{series}": (MULTIPART_DICOM,),
    "{instance}": (MULTIPART_DICOM, "application/dicom"),
    "metadata": DATASETS,
    "{workitem}": (*DATASETS, "application/dicom+xml"),
    "{frames}": OCTETS,
    "{attribute}": OCTETS,
    "rendered": ("image/jpeg", "image/png", "image/gif"),
    "thumbnail": ("image/jpeg", "image/png"),
}
