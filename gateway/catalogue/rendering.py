"""A record in the form that is asked for: a page, or RDF as JSON-LD, Turtle, RDF/XML or N-Triples."""

from collections.abc import Callable
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from archive.errors import BadRequest
from archive.media_type import MediaType, media_type, parse_accept, select
from gateway.conditional import revalidate_content

if TYPE_CHECKING:
    from rdflib import Graph

PAGE = media_type("text/html")
FORMATS = {
    "jsonld": (media_type("application/ld+json"), "json-ld"),
    "ttl": (media_type("text/turtle"), "turtle"),
    "rdf": (media_type("application/rdf+xml"), "xml"),
    "nt": (media_type("application/n-triples"), "nt"),
}
"""By the value of `format` in an address."""
_SERIALIZATIONS = dict(FORMATS.values())
_KEPT = "public, max-age=60"


def choose(request: Request, *, page: bool = True) -> MediaType:
    """What `format` or Accept asks for; a page where nothing is asked for and there is one.

    Raises NotAcceptable, BadRequest.
    """
    asked = request.query_params.get("format")
    if asked is not None:
        if asked not in FORMATS:
            raise BadRequest(f"format takes {', '.join(FORMATS)}")
        return FORMATS[asked][0]
    offers = (PAGE, *_SERIALIZATIONS) if page else tuple(_SERIALIZATIONS)
    return select(parse_accept(", ".join(request.headers.getlist("accept")) or None), offers)


def respond(request: Request, chosen: MediaType, graph: "Graph") -> Response:
    """A graph as RDF. Raises NotModified."""
    return respond_body(request, chosen, serialize(chosen, graph), state_of(graph))


def state_of(graph: "Graph") -> bytes:
    """The same of graphs that say the same, in whichever order a process holds their statements."""
    statements = graph.serialize(format="nt", encoding="utf-8").splitlines()
    return blake2b(b"\n".join(sorted(statements)), digest_size=16).digest()


def serialize(chosen: MediaType, graph: "Graph") -> bytes:
    """A graph in one of the forms of RDF."""
    return graph.serialize(format=_SERIALIZATIONS[chosen], encoding="utf-8")


def respond_text(request: Request, kind: str, text: str) -> Response:
    """A text of a media type. Raises NotModified."""
    body = text.encode("utf-8")
    revalidate_content(request, kind, [body])
    return Response(body, HTTPStatus.OK, {"cache-control": _KEPT, "content-type": f"{kind}; charset=utf-8"})


def respond_page(request: Request, render: Callable[[], Response]) -> Response:
    """A page that is the same for everybody."""
    answer = render()
    answer.headers["cache-control"] = _KEPT
    answer.headers["vary"] = "accept"
    return answer


def respond_body(request: Request, chosen: MediaType, body: bytes, state: bytes) -> Response:
    """What is RDF already, of a graph of that state. Raises NotModified."""
    revalidate_content(request, str(chosen), [state])
    headers = {"cache-control": _KEPT, "vary": "accept", "content-type": f"{chosen}; charset=utf-8"}
    return Response(body, HTTPStatus.OK, headers)
