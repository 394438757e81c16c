"""What a Store request carries (PS3.18 section 10.5.2), in whichever of its forms → Part 10 instances, one by one."""

from collections.abc import AsyncIterator

from anyio.to_thread import run_sync
from starlette.requests import Request

from archive.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from archive.media_type import MediaType, parse_media_type
from gateway.assembly import Assembly
from gateway.multipart import Parser, Part, boundary_of
from gateway.native_payload import parse_native_model

DICOM, DICOM_JSON, DICOM_XML = "application/dicom", "application/dicom+json", "application/dicom+xml"
KINDS = (DICOM, DICOM_JSON, DICOM_XML)
TAKEN = (
    f'multipart/related; type="{DICOM}", or with type="{DICOM_JSON}" or type="{DICOM_XML}" and bulk data, '
    f"or one of {', '.join(KINDS)} for what is in one part"
)


async def read_instances(request: Request, maximum: int) -> AsyncIterator[bytes]:
    """The request's instances as they arrive, each of `maximum` bytes at most; empty for a part that holds none.

    Raises BadRequest, PayloadTooLarge, and UnsupportedMediaType for a payload of another kind.
    """
    content_type = _content_type(request)
    if content_type.essence == "multipart/related":
        kind = (content_type.parameter("type") or DICOM).lower()
        parts = _parts(request, boundary_of(content_type), maximum)
    else:
        kind = content_type.essence
        parts = _single(request, content_type, maximum)
    if kind not in KINDS:
        raise UnsupportedMediaType(f"taken is: {TAKEN}")
    async for instance in _whole(parts) if kind == DICOM else _assembled(parts, kind, maximum):
        yield instance


async def _whole(parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    async for part in parts:
        is_instance = _essence(part, DICOM) == DICOM
        yield part.body if is_instance else b""


async def _assembled(parts: AsyncIterator[Part], kind: str, maximum: int) -> AsyncIterator[bytes]:
    """Instances from their attributes in JSON or XML and the bulk data that these name (PS3.18 section 8.7.1)."""
    assembly = Assembly(maximum)
    async for part in parts:
        if _essence(part, kind) == kind:
            await run_sync(_DESCRIBED[kind], assembly, part.body)
        else:
            assembly.add(part)
        for instance in await run_sync(list, assembly.completed()):
            yield instance
    for _ in range(assembly.unfinished):
        yield b""


def _describe_one(assembly: Assembly, document: bytes) -> None:
    """XML describes one instance in each part."""
    assembly.expect([parse_native_model(document)])


_DESCRIBED = {DICOM_JSON: Assembly.describe, DICOM_XML: _describe_one}


def _essence(part: Part, default: str) -> str:
    return part.headers.get("content-type", default).partition(";")[0].strip().lower()


def _content_type(request: Request) -> MediaType:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("a Content-Encoding is not taken")
    return parse_media_type(request.headers.get("content-type", "missing/missing"))


async def _parts(request: Request, boundary: bytes, maximum: int) -> AsyncIterator[Part]:
    parser = Parser(boundary, maximum)
    async for chunk in request.stream():
        for part in parser.feed(chunk):
            yield part
    parser.close()


async def _single(request: Request, content_type: MediaType, maximum: int) -> AsyncIterator[Part]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > maximum:
            raise PayloadTooLarge(f"an instance is larger than the {maximum} bytes that are taken")
    if not body:
        raise BadRequest("the request holds no instance")
    yield Part({"content-type": str(content_type)}, bytes(body))
