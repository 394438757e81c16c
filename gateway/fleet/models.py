"""/federation/v1/models: the models that came of the federation's runs, for its members to fetch."""

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from archive import provenance
from archive.audit import Event, write_async
from archive.errors import NotFound, Unavailable
from archive.provenance import FederationModel
from gateway.fleet.identity import member_of, subject_of
from gateway.services import services_of

FILES = {
    "passport.toml": "application/toml",
    "provenance.jsonl": "application/x-ndjson",
    "model.onnx": "application/octet-stream",
}


async def list_models(request: Request) -> Response:
    """The models, the last first, with the hashes of their files and the key that signed them."""
    await member_of(request)
    async with services_of(request).connection() as connection:
        found = await provenance.models_async(connection)
    return JSONResponse({"models": [one.to_json() for one in found]}, headers={"cache-control": "no-store"})


async def send_file(request: Request) -> Response:
    """A file of a model's package: passport.toml, provenance.jsonl or model.onnx."""
    settings = services_of(request).settings
    member = await member_of(request)
    asked = {name: request.path_params[name] for name in ("name", "version", "file")}
    if asked["file"] not in FILES:
        raise NotFound("a model has no such file")
    async with services_of(request).connection() as connection, connection.transaction():
        found = await provenance.models_async(connection, asked["name"], asked["version"])
        if not found:
            raise NotFound("no such model of the federation")
        detail = {"model": f"{found[0].name}-{found[0].version}", "file": asked["file"]}
        await write_async(connection, Event.MODEL_SENT, subject=subject_of(member.name), detail=detail)
    path = settings.home / "models" / found[0].task / detail["model"] / asked["file"]
    if not path.is_file():
        raise Unavailable("the model's package is not where it was kept")
    headers = {"cache-control": "no-store", "etag": f'"{_hash(found[0], asked["file"])}"'}
    return FileResponse(path, headers=headers, media_type=FILES[asked["file"]])


def _hash(model: FederationModel, file: str) -> str:
    return {
        "passport.toml": model.passport,
        "provenance.jsonl": model.record,
        "model.onnx": model.network,
    }[file]


ROUTES = [
    Route("/federation/v1/models", list_models, methods=["GET"]),
    Route("/federation/v1/models/{name}/{version}/{file}", send_file, methods=["GET"]),
]
