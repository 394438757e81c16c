"""The data set that a request to the worklist brings, as DICOM JSON or XML (PS3.18 section 11.1.3)."""

import json
import re
from typing import Any

from starlette.requests import Request

from archive.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from archive.json_values import Attributes
from archive.media_type import parse_media_type
from gateway.datasets import JSON, XML
from gateway.native_payload import parse_native_model

MAXIMUM = 256 * 1024  # bytes
MAXIMUM_DEPTH = 16  # sequences in each other
_TAG = re.compile(r"[0-9A-F]{8}")
_VR = re.compile(r"[A-Z]{2}")


async def read_dataset(request: Request, *, required: bool = True) -> Attributes:
    """The request's one data set. Raises UnsupportedMediaType, PayloadTooLarge, or BadRequest where it is none."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM:
            raise PayloadTooLarge(f"a workitem has at most {MAXIMUM} bytes")
    if not body and not required:
        return {}
    essence = parse_media_type(request.headers.get("content-type", "missing/missing")).essence
    if essence == XML:
        return _dataset(parse_native_model(bytes(body)), MAXIMUM_DEPTH)
    if essence not in [kind.essence for kind in JSON]:
        raise UnsupportedMediaType("taken is: application/dicom+json, or application/dicom+xml")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("the payload is not JSON") from None
    if isinstance(found, list) and len(found) == 1:
        (found,) = found
    return _dataset(found, MAXIMUM_DEPTH)


def _dataset(found: Any, depth: int) -> Attributes:
    """Checked as DICOM JSON (PS3.18 section F.2.2), empty values left out."""
    if not isinstance(found, dict) or not depth:
        raise BadRequest("the payload is no data set in DICOM JSON, or one too deep")
    return {_checked(name): _attribute(each, depth) for name, each in found.items()}


def _checked(name: str) -> str:
    if not _TAG.fullmatch(name):
        raise BadRequest("an attribute of the payload is not named by its tag")
    return name


def _attribute(each: Any, depth: int) -> dict[str, Any]:
    kind = each.get("vr") if isinstance(each, dict) else None
    given = each.get("Value", []) if isinstance(each, dict) else None
    if not isinstance(kind, str) or not _VR.fullmatch(kind) or not isinstance(given, list):
        raise BadRequest("an attribute of the payload has no vr, or a Value that is no list")
    values = [_dataset(value, depth - 1) if kind == "SQ" else _value(kind, value) for value in given]
    return {"vr": kind, "Value": values} if any(value is not None for value in values) else {"vr": kind}


def _value(kind: str, value: Any) -> Any:
    if kind == "PN" and isinstance(value, dict):
        return {name: _text(text) for name, text in value.items()}
    if isinstance(value, str):
        return _text(value)
    if value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63
    ):
        return value
    raise BadRequest("a value of the payload is neither text nor a number")


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or any(0xD800 <= ord(each) < 0xE000 for each in value):
        raise BadRequest("a value of the payload is no text")
    return value.replace("\x7f", "")
