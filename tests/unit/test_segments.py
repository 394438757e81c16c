"""A router by the number of segments answers as Starlette's own does."""

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from gateway.segments import SegmentsRouter
from tests.unit.fake_site import Client


def told(name: str):
    async def answer(request: Request) -> Response:
        return PlainTextResponse(f"{name} {sorted(request.path_params.items())}")

    return answer


ROUTES = [
    Route("/a", told("a")),
    Route("/a/{b}", told("b")),
    Route("/a/all", told("never")),
    Route("/a/{b}/c", told("c"), methods=["POST"]),
    Route("/a/{b}/{rest:path}", told("rest")),
    Route("/z/{b}/{c}/{d}", told("z")),
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/a", "/a/", "/a/x", "/a/all", "/a/x/c", "/a/x/", "/a/x/y/z/w/v", "/z/1/2/3", "/z", "/", "/a//c"]
)
def test_it_answers_as_a_plain_router(method, path):
    plain = Client(Router(ROUTES, redirect_slashes=False)).request(method, path)
    answer = Client(SegmentsRouter(ROUTES)).request(method, path)
    assert (answer.status_code, answer.text, answer.headers.get("allow")) == (
        plain.status_code,
        plain.text,
        plain.headers.get("allow"),
    )
