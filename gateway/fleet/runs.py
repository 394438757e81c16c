"""/federation/v1/runs: what a member is asked to take part in, and what it says."""

import base64
import binascii

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from archive import answer, runs
from archive.answer import Decision
from archive.errors import BadRequest, Forbidden
from archive.runs import Run
from gateway.api.payload import read_payload
from gateway.auditing import UNRECORDED
from gateway.fleet.identity import member_of
from gateway.services import services_of


async def list_runs(request: Request) -> Response:
    """The runs that have no end yet, the first first, and what the member said to each."""
    member = await member_of(request)
    async with services_of(request).connection() as connection:
        found = await runs.open_runs_async(connection)
        said = await runs.decisions_of(connection, member.name)
    request.scope[UNRECORDED] = True  # each site asks every few seconds, and nothing of patients is told
    return JSONResponse({"runs": [_shown(run, said.get(run.run)) for run in found]})


async def show(request: Request) -> Response:
    """One run, also one that has ended."""
    member = await member_of(request)
    async with services_of(request).connection() as connection:
        found = await runs.find_async(connection, request.path_params["run"])
        said = await runs.decisions_of(connection, member.name)
    return JSONResponse(_shown(found, said.get(found.run)))


async def take_answer(request: Request) -> Response:
    """What the member says to a run, signed by its key; it may say otherwise while the run goes on."""
    member = await member_of(request)
    payload = await read_payload(request)
    text, signature = _bytes(payload.text("answer")), _bytes(payload.text("signature"))
    answer.verify(text, signature, member.public_key)
    said = answer.parse_answer(text)
    if said.site != member.name:
        raise Forbidden("the answer is another site's")
    if said.run != request.path_params["run"]:
        raise BadRequest("the answer is to another run")
    async with services_of(request).connection() as connection, connection.transaction():
        await runs.answer(connection, said, signature)
        found = await runs.find_async(connection, said.run)
    return JSONResponse(_shown(found, said.decision))


def _shown(run: Run, decision: Decision | None) -> dict[str, str | int | None]:
    return {
        "run": run.run,
        "manifest": base64.b64encode(run.manifest).decode("ascii"),
        "signature": base64.b64encode(run.signature).decode("ascii"),
        "sha256": run.sha256,
        "state": str(run.state),
        "round": run.round,
        "answer": None if decision is None else str(decision),
    }


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("answer and signature are base64") from None


ROUTES = [
    Route("/federation/v1/runs", list_runs, methods=["GET"]),
    Route("/federation/v1/runs/{run}", show, methods=["GET"]),
    Route("/federation/v1/runs/{run}/answer", take_answer, methods=["POST"]),
]
