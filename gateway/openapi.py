"""`/openapi.json`: the gateway's operations as an OpenAPI 3.1 document."""

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archive.consents import LONGEST as LONGEST_EVIDENCE
from archive.consents import Decision as Decided
from archive.consents import Scope
from archive.findings import Task
from archive.job_questions import (
    DIMENSIONS,
    FEATURES,
    LABELS,
    MOST_FEATURES,
    MOST_GROUPINGS,
    JobKind,
)
from archive.policy import Action
from archive.proposals import LONGEST_PROTOCOL, LONGEST_TITLE
from archive.purpose import Purpose
from archive.reviews import LONGEST, LONGEST_NAME, Decision
from gateway.operations import Operation, operations
from gateway.search.beacon_request import Granularity, Include
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
    "run": {"type": "string", "pattern": "^R[0-9a-f]{16}$"},
    "consent": {"type": "string", "format": "uuid"},
    "job": {"type": "string", "pattern": "^J[0-9]{1,9}$"},
    "package": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
_APPLICATION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": LONGEST_TITLE},
        "protocol": {"type": "string", "maxLength": LONGEST_PROTOCOL},
        **{name: {"type": "string"} for name in ("subject", "people", "legal_basis", "rules")},
        **{name: {"type": "string"} for name in ("hdab_identifier", "conditions")},
        **{name: {"type": "string", "format": "date"} for name in ("starts", "ends")},
        "datasets": {"type": "array", "items": {"type": "string"}},
        "purpose": {"type": "string", "enum": list(Purpose)},
        "actions": {"type": "array", "items": {"enum": list(Action)}},
    },
    "required": ["datasets", "purpose", "legal_basis", "title", "protocol", "people"],
}
_PAYLOADS: dict[str, dict[str, Any]] = {
    "/api/jobs": {
        "type": "object",
        "properties": {
            "dataset": {"type": "string"},
            "permit": {"type": "string"},
            "kind": {"type": "string", "enum": list(JobKind)},
            "package": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "features": {"type": "array", "items": {"enum": list(FEATURES)}, "maxItems": MOST_FEATURES},
            "labels": {"type": "array", "items": {"enum": list(LABELS)}},
            "groups": {"type": "array", "items": {"enum": list(DIMENSIONS)}, "maxItems": MOST_GROUPINGS},
            "filters": {"type": "object", "propertyNames": {"enum": list(DIMENSIONS)}},
        },
        "required": ["dataset", "kind"],
    },
    "/api/studies/{study}/readings/{task}/{modality}/reviews": {
        "type": "object",
        "properties": {
            "decision": {"type": "string", "enum": list(Decision)},
            "lesion": {"type": "string", "maxLength": LONGEST_NAME},
            "comment": {"type": "string", "maxLength": LONGEST},
            "fingerprint": {"type": ["string", "null"]},
        },
        "required": ["decision"],
    },
    "/api/applications": _APPLICATION,
    "/api/applications/{permit}": _APPLICATION,
    "/api/consents": {
        "type": "object",
        "properties": {
            "patient_id": {"type": "string"},
            "issuer": {"type": "string"},
            "decision": {"type": "string", "enum": list(Decided)},
            "scope": {"type": "string", "enum": list(Scope)},
            "text_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "evidence": {"type": "string", "maxLength": LONGEST_EVIDENCE},
            "stated_at": {"type": "string", "format": "date-time"},
        },
        "required": ["patient_id", "decision", "scope", "text_sha256", "evidence"],
    },
    "/federation/v1/members": {
        "type": "object",
        "properties": {
            name: {"type": "string", "contentEncoding": "base64"}
            for name in ("request", "signature", "node_signature")
        },
        "required": ["request", "signature", "node_signature"],
    },
    "/federation/v1/runs/{run}/answer": {
        "type": "object",
        "properties": {
            name: {"type": "string", "contentEncoding": "base64"} for name in ("answer", "signature")
        },
        "required": ["answer", "signature"],
    },
}
_PAYLOADS |= {
    "/api/search": {
        "type": "object",
        "properties": {
            "question": {"type": "object", "examples": [{"is": "modality", "in": ["MG"]}]},
            "ast": {"type": "object"},
            "federated": {"type": "boolean"},
        },
    },
    "/api/datasets/eucaimSearch": {
        "type": "object",
        "properties": {"ast": {"type": "object"}, "id": {"type": "string"}},
        "required": ["ast"],
    },
}
_BEACON: dict[str, Any] = {
    "type": "object",
    "properties": {"meta": {"type": "object"}, "query": {"type": "object"}},
}
_PAYLOADS |= dict.fromkeys(("/api/beacon/individuals", "/api/beacon/datasets/{dataset}/individuals"), _BEACON)
_JOIN = "/federation/v1/members"  # the only thing that a hub is asked by who is no member
_QUERY_SCHEMAS: dict[str, Any] = {
    "limit": {"type": "integer", "minimum": 0},
    "offset": {"type": "integer", "minimum": 0, "maximum": 10**9},
    "includefield": {"type": "string"},
    "accept": {"type": "string"},
    "format": {"type": "string", "enum": ["json", "csv", "txt"]},
    "skip": {"type": "integer", "minimum": 0},
    "includeResultsetResponses": {"type": "string", "enum": list(Include)},
    "requestedGranularity": {"type": "string", "enum": list(Granularity)},
    **{
        name: {"type": "string"}
        for name in ("gender", "diagnosis", "bodyPart", "manufacturer", "modality")
        + ("filters", "requestedSchema")
    },
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
    Action.JOB: "have jobs run over datasets, whose aggregates alone come out",
    Action.METRICS: "read what is measured of the site",
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
                },
                "member": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
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
    elif operation.path.startswith("/federation/") and operation.path != _JOIN:
        described["security"] = [{"member": []}]
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
