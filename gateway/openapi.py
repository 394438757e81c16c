"""`/openapi.json`: the gateway's operations as an OpenAPI 3.1 document."""

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archive.findings import Task
from archive.policy import Action
from archive.reviews import LONGEST, LONGEST_NAME, Decision
from gateway.operations import Operation, operations
from gateway.services import services_of

_UID = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "maxLength": 64}
_FRAMES = {"type": "string", "pattern": r"^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"}
_PATH_SCHEMAS: dict[str, dict[str, Any]] = dict.fromkeys(
    ("study", "series", "instance", "workitem"), _UID
) | {
    "frames": _FRAMES,
    "dataset": {"type": "string", "pattern": r"^[a-z0-9][a-z0-9._-]{0,63}(@[1-9][0-9]{0,8})?$"},
    "permit": {"type": "string", "pattern": r"^P[0-9]{1,9}$"},
    "task": {"type": "string", "enum": list(Task)},
    "modality": {"type": "string", "enum": ["MG", "US", "MR"]},
}
_PAYLOADS: dict[str, dict[str, Any]] = {
    "/api/studies/{study}/readings/{task}/{modality}/reviews": {
        "type": "object",
        "properties": {
            "decision": {"type": "string", "enum": list(Decision)},
            "lesion": {"type": "string", "maxLength": LONGEST_NAME},
            "comment": {"type": "string", "maxLength": LONGEST},
            "fingerprint": {"type": ["string", "null"]},
        },
        "required": ["decision"],
    }
}
_QUERY_SCHEMAS: dict[str, Any] = {
    "limit": {"type": "integer", "minimum": 0},
    "offset": {"type": "integer", "minimum": 0, "maximum": 10**9},
    "includefield": {"type": "string"},
    "accept": {"type": "string"},
} | {
    name: {"type": "string", "enum": ["true", "false"]}
    for name in ("fuzzymatching", "emptyvaluematching", "multiplevaluematching", "deletionlock")
}
_SCOPES = {
    Action.READ: "search and retrieve",
    Action.WRITE: "store",
    Action.WORKLIST: "use the worklist",
    Action.COUNT: "count",
    Action.INFER: "run models",
    Action.REVIEW: "say whether findings are right",
    Action.TRAIN: "train models",
    Action.MANAGE: "decide on datasets, permits and roles",
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status"],
}


async def openapi(request: Request) -> Response:
    """GET /openapi.json: this gateway's operations."""
    document = describe(tuple(operations(request.app.routes)), services_of(request).settings.public_url)
    return JSONResponse(document, headers={"cache-control": "no-cache"})


@lru_cache(8)
def describe(found: tuple[Operation, ...], public_url: str) -> dict[str, Any]:
    """The document of these operations (OpenAPI Specification 3.1)."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in found:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Senogate",
            "version": version("senogate"),
            "description": "DICOMweb (DICOM PS3.18) over a site's pseudonymous images. Research use only.",
        },
        "servers": [{"url": public_url}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "responses": {
                "Problem": {"description": "RFC 9457", "content": _content(["application/problem+json"])}
            },
            "securitySchemes": {
                "oauth": {
                    "type": "oauth2",
                    "flows": {
                        "clientCredentials": {
                            "tokenUrl": f"{public_url}/oauth/token",
                            "scopes": _SCOPES,
                        }
                    },
                }
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation),
    }
    if operation.scope is not None:
        described["security"] = [{"oauth": [str(operation.scope)] if operation.scope else []}]
    if operation.takes:
        described["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": _PAYLOADS.get(operation.path, {"type": "string"})}
                for kind in operation.takes
            },
        }
    return described


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", operation.path)
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(name, {"type": "string"})}
        for name in names
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [{"name": name, "in": "query", "schema": _QUERY_SCHEMAS[name]} for name in operation.query]
    attributes = {
        "name": "attributes",
        "in": "query",
        "description": "Attributes to match, by keyword or tag; those in sequences as a path (PS3.18 8.3.4.1)",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return [*parameters, attributes] if operation.matches else parameters


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "as asked"}
    if operation.produces:
        success["content"] = {kind: {} for kind in operation.produces}
    return {str(operation.status): success, "default": {"$ref": "#/components/responses/Problem"}}


def _content(kinds: Iterable[str]) -> dict[str, Any]:
    return {kind: {"schema": {"$ref": "#/components/schemas/Problem"}} for kind in kinds}


ROUTES = [Route("/openapi.json", openapi)]
