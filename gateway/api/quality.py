"""/api/datasets/{dataset}/quality and /api/exams/{study}/quality: whether data are fit for use; for stewards."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import quality
from gateway.api.management import require_manager
from gateway.api.payload import respond


async def of_dataset(request: Request) -> Response:
    """The report on a dataset, or on a version of one, as the keeper made it last; `made_at` is null before it did."""
    require_manager(request)
    found, kept = await quality.of_dataset(request, request.path_params["dataset"])
    return respond({"dataset": found.full_name} | (kept.to_json() if kept else {"made_at": None}))


async def of_exam(request: Request) -> Response:
    """What was found in an exam."""
    require_manager(request)
    return respond((await quality.of_study(request, request.path_params["study"])).to_json())


ROUTES = [
    Route("/api/datasets/{dataset}/quality", of_dataset, methods=["GET"]),
    Route("/api/exams/{study}/quality", of_exam, methods=["GET"]),
]
