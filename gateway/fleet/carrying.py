"""One hop of a fleet call: its body goes on as it comes, and so does the answer, with no more of either in memory than
the sockets' buffers hold. Of the headers only those go on that Flower needs.
"""

from collections.abc import AsyncIterator

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from archive import measures
from archive.errors import BadRequest, PayloadTooLarge, Unavailable
from gateway.body import BrokenOff

NODE_KEY = "flwr-public-key"
CALL_TIMEOUT = 300.0  # seconds for a whole call, in which 16 MiB come at 56 kB/s
LARGEST_ANSWER = 64 * 1024**2  # bytes
_REQUEST = frozenset(
    ["content-type", "accept", NODE_KEY, "flwr-signature", "flwr-timestamp"]
    + ["flwr-package-name", "flwr-package-version", "flwr-component-name"]
)
_ANSWER = frozenset(["content-type", "content-length", "flwr-version-incompatibility-message"])
_LONGEST_HEADER = 2048


def call_headers(request: Request) -> dict[str, str]:
    """The headers of a call that go on. Raises BadRequest where one comes twice, or is too long to be Flower's."""
    found: dict[str, str] = {}
    for raw, value in request.headers.raw:
        name = raw.decode("latin-1")
        if name not in _REQUEST:
            continue
        if name in found or len(value) > _LONGEST_HEADER or not value.isascii():
            raise BadRequest(f"the header {name} comes twice, or is none of Flower's")
        found[name] = value.decode("ascii")
    return found


def body_length(request: Request, most: int) -> int:
    """How long a call's body is. Raises BadRequest where it does not say so, PayloadTooLarge."""
    lengths = request.headers.getlist("content-length")
    if len(lengths) != 1 or not lengths[0].isdecimal() or "transfer-encoding" in request.headers:
        raise BadRequest("a call says how long it is")
    if len(lengths[0]) > 12 or int(lengths[0]) > most:
        raise PayloadTooLarge(f"a call of this kind has at most {most} bytes")
    return int(lengths[0])


class Upload:
    """A body on its way out. What went wrong with it here is in `error`, for the client reports it as its own."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                measures.FEDERATION_BYTES.labels("to_hub").inc(len(chunk))
                yield chunk
        except Exception as error:
            self.error = error
            raise


async def send_on(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], length: int, upload: Upload
) -> httpx.Response:
    """The answer to a call that is carried on, whose body is still to be read.

    Raises Unavailable where the other side does not answer, and whatever went wrong with the body.
    """
    own = headers | {"content-length": str(length), "accept-encoding": "identity"}
    request = client.build_request("POST", path, headers=own, content=upload)
    try:
        return await client.send(request, stream=True)
    except (httpx.HTTPError, OSError) as error:
        if upload.error is not None:
            raise upload.error from None
        raise Unavailable(f"the other side does not answer ({type(error).__name__})") from None


class Carried(Response):
    """An answer that is carried on as it comes."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(status_code=answer.status_code)
        self._answer = answer
        self.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower().decode() in _ANSWER
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            size = 0
            async for chunk in self._answer.aiter_raw():
                size += len(chunk)
                measures.FEDERATION_BYTES.labels("from_hub").inc(len(chunk))
                if size > LARGEST_ANSWER:
                    raise BrokenOff("an answer of the other side is too large")
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (httpx.HTTPError, OSError) as error:
            raise BrokenOff(f"the other side broke an answer off ({type(error).__name__})") from None
        finally:
            await self._answer.aclose()
