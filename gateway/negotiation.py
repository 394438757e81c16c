"""What a request accepts in answer (PS3.18 section 8.3.3.1)."""

from starlette.requests import Request

from archive.media_type import Preference, parse_accept
from archive.query import parse_parameters


def preferences(request: Request) -> tuple[Preference, ...]:
    """The media types of its query parameter `accept`, else those of its Accept headers. Raises BadRequest."""
    parameters = dict(parse_parameters(request.scope["query_string"]))
    return parse_accept(", ".join(request.headers.getlist("accept")), parameters.get("accept"))
