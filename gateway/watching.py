"""What is noted of every request: how many, how long, how they ended; its trace; and, where wished, a line in the log.

A request is called by its route's template, which has names where UIDs are. It answers with X-Request-ID, the
identifier of its trace, by which its lines in logs and its spans are found.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archive import measures, trace_context
from archive.spans import Nowhere, Span, Spans
from archive.trace_context import TraceContext, begin, current, is_drawn, parse, within

UNMATCHED = "none"
UNTRACED = frozenset(["/health/live", "/health/ready", "/metrics"])  # what asks every few seconds
GONE = 499  # of a request whose client went away before an answer began, as nginx counts them
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
_HEADER = trace_context.HEADER.encode()
_LOG = logging.getLogger("senogate.access")
_Key = tuple[Any, ...]


class Watching:
    """The outermost frame of an application."""

    def __init__(self, app: ASGIApp, spans: Spans | None = None, *, writes_log: bool = False) -> None:
        self._app = app
        self._spans = spans or Nowhere()
        self._share = self._spans.share
        self._writes_log = writes_log
        self._open = 0
        measures.HTTP_OPEN.set_function(lambda: self._open)
        self._templates: dict[_Key, str] = {}
        self._counted: dict[_Key, tuple[Counter, Histogram, str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        context, parent = self._context(scope)
        named = (b"x-request-id", context.trace_id.encode())
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), named]
            await send(message)

        began = time.perf_counter()
        token = current.set(context)
        self._open += 1
        try:
            await self._app(scope, receive, note)
        finally:
            self._open -= 1
            current.reset(token)
            self._note(scope, status or GONE, time.perf_counter() - began, context, parent)

    def _context(self, scope: Scope) -> tuple[TraceContext, str]:
        """The request's span, and the one of its client's that it is below; whether it is exported is decided here."""
        for name, value in scope["headers"]:
            if name == _HEADER and (sent := parse(value.decode("latin-1"))):
                own = sent.child()
                sampled = self._share > 0 and is_drawn(own.trace_id, self._share)
                return TraceContext(own.trace_id, own.span_id, sampled), sent.span_id
        return begin(self._share), ""

    def _note(self, scope: Scope, status: int, seconds: float, context: TraceContext, parent: str) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        key = (method, status, id(scope.get("endpoint")), *scope.get("path_params", ()))
        counted = self._counted.get(key)
        if counted is None:
            route = self.route(scope)
            counted = self._counted[key] = (
                measures.HTTP_REQUESTS.labels(method, route, str(status)),
                measures.HTTP_SECONDS.labels(route),
                route,
            )
        counter, timer, route = counted
        counter.inc()
        timer.observe(seconds)
        if self._writes_log:
            with within(context):
                _write(method, route, status, seconds)
        if context.is_sampled and route not in UNTRACED:
            self._spans.export(_span(method, route, status, seconds, context, parent))

    def route(self, scope: Scope) -> str:
        """The template of the route that the request came to; `none` where it came to none."""
        if not self._templates:
            self._templates = templates_of(scope["app"].routes)
        return self._templates.get((id(scope.get("endpoint")), *scope.get("path_params", ())), UNMATCHED)


def _write(method: str, route: str, status: int, seconds: float) -> None:
    fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 6)}
    _LOG.info("%s %s %d %.1f ms", method, route, status, seconds * 1000, extra={"fields": fields})


def _span(method: str, route: str, status: int, seconds: float, context: TraceContext, parent: str) -> Span:
    ended = time.time_ns()
    told: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    error = str(status) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
    began = ended - int(seconds * 1e9)
    return Span(f"{method} {route}", context, began, ended, parent, "server", told, error)


def templates_of(routes: Iterable[BaseRoute]) -> dict[_Key, str]:
    """By what a request is found at, a route's endpoint and the names in its path, that path; all that share it."""
    found: dict[_Key, list[str]] = {}
    for key, path in _paths(routes):
        known = found.setdefault(key, [])
        if path not in known:
            known.append(path)
    return {key: " ".join(paths) for key, paths in found.items()}


def _paths(
    routes: Iterable[BaseRoute], prefix: str = "", above: tuple[str, ...] = ()
) -> Iterator[tuple[_Key, str]]:
    """By a route's endpoint and the names in its path, in their order, that path."""
    for route in routes:
        path = prefix + getattr(route, "path", "").replace(":path}", "}")
        names = (*above, *getattr(route, "param_convertors", ()))
        if isinstance(route, Mount):
            own = tuple(name for name in names if name != "path")
            yield (id(route.app), *own), path
            yield from _paths(route.routes, path, own)
        elif hasattr(route, "endpoint"):
            yield (id(route.endpoint), *names), path
