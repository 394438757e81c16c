"""/api/jobs: jobs over datasets and the packages that they evaluate; what comes out are aggregates.

Who asks needs a permit with the action `jobs.run`; stewards see all jobs and decide on them.
"""

import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import IO, Any

from anyio.to_thread import run_sync
from psycopg import AsyncConnection
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import job_packages, jobs
from archive.errors import Forbidden, NotFound, PayloadTooLarge
from archive.job_packages import LARGEST_NETWORK, LARGEST_PASSPORT
from archive.job_questions import JobQuestion, read_question
from archive.jobs import Job
from archive.persons import hers
from archive.policy import Action
from archive.state_item import marked
from gateway.api.management import is_manager, require_manager
from gateway.api.payload import read_payload, respond
from gateway.services import grants_of, principal_of, services_of

_IN_MEMORY = 1024**2  # bytes of an upload
_NOT_ALLOWED = marked("no permit of yours allows jobs.run on this dataset")


class AllJobs(HTTPEndpoint):
    """/api/jobs: list and ask for."""

    async def get(self, request: Request) -> Response:
        """The newest jobs, one's own unless one decides on them."""
        require_user(request)
        async with services_of(request).connection() as connection:
            return respond(await visible(connection, request))

    async def post(self, request: Request) -> Response:
        """Ask for a job under a permit; the same question again is the same job as long as that is under way."""
        payload = await read_payload(request)
        dataset, permit = payload.text("dataset"), payload.text("permit", "")
        members = {
            name: value for name, value in payload.members.items() if name not in ("dataset", "permit")
        }
        async with services_of(request).connection() as connection:
            job_id = await ask(connection, request, dataset, permit, read_question(members))
            return respond((await jobs.show(connection, job_id)).told(), HTTPStatus.CREATED)


async def ask(
    connection: AsyncConnection, request: Request, dataset: str, permit: str, question: JobQuestion
) -> str:
    """Submit a job for who asks, under the permit or the first that allows it. Raises Forbidden; as `jobs.submit`."""
    principal = principal_of(request)
    if Action.JOB not in principal.actions:
        raise Forbidden("the token lacks the scope %(scope)s", scope=str(Action.JOB))
    allowed: Sequence[str] = ()
    with suppress(NotFound):  # a dataset that is not there is one that no permit names
        allowed = await jobs.permits_for(connection, principal, grants_of(request), dataset)
    if not allowed or (permit and permit not in allowed):
        raise Forbidden(_NOT_ALLOWED)
    chosen = permit or allowed[0]
    request.scope["permits_used"] = (chosen,)
    most = services_of(request).settings.jobs_per_permit
    return await jobs.submit(
        connection, principal.subject, chosen, dataset, question, most=most, by=principal.subject
    )


def require_user(request: Request) -> None:
    """Raises Forbidden for a token that is neither for jobs nor for decisions."""
    if not is_manager(request) and Action.JOB not in principal_of(request).actions:
        raise Forbidden("the token lacks the scope %(scope)s", scope=str(Action.JOB))


async def visible(connection: AsyncConnection, request: Request) -> list[Job]:
    """All jobs to who decides on them, to others their own as they see them."""
    if is_manager(request):
        every = await jobs.list_jobs(connection)
        own = await hers(connection, principal_of(request).subject, (one.subject for one in every))
        return [one.told() if one.subject in own else one for one in every]
    found = await jobs.list_jobs(connection, principal_of(request).subject)
    return [one.told() for one in found if _is_own(request, one)]


async def find(connection: AsyncConnection, request: Request) -> Job:
    """The job that the address names. Raises NotFound, also for another's."""
    require_user(request)
    found = await jobs.show(connection, request.path_params["job"])
    if await decides(connection, request, found):
        return found
    if not is_manager(request) and not _is_own(request, found):
        raise NotFound("no such job")
    return found.told()


async def decides(connection: AsyncConnection, request: Request, job: Job) -> bool:
    """Whether the principal decides on a job: nobody does on her own, by none of her identities.

    Of her own she sees what a requester sees.
    """
    return is_manager(request) and not await hers(connection, principal_of(request).subject, (job.subject,))


def _is_own(request: Request, job: Job) -> bool:
    """Whether a job is the principal's, and its token is not for another permit than the job's."""
    principal = principal_of(request)
    return job.subject == principal.subject and principal.permit in (None, job.permit)


async def answer_of(connection: AsyncConnection, request: Request, job: Job) -> dict[str, Any]:
    """The answer, for its requester as long as the permit is valid, for a steward also before its release.

    Raises NotFound where there is none, Forbidden.
    """
    manages = await decides(connection, request, job)
    text = await jobs.result(connection, job.job_id, checked=manages)
    if not manages and not await jobs.is_allowed(connection, job.subject, job.permit, job.dataset):
        raise Forbidden(_NOT_ALLOWED)
    request.scope["permits_used"] = (job.permit,)
    found: dict[str, Any] = json.loads(text)
    return found


async def show(request: Request) -> Response:
    """Where a job is."""
    async with services_of(request).connection() as connection:
        return respond(await find(connection, request))


async def result(request: Request) -> Response:
    """The aggregates that a job came to, once they are released."""
    async with services_of(request).connection() as connection:
        job = await find(connection, request)
        return respond(await answer_of(connection, request, job))


async def cancel(request: Request) -> Response:
    """End a job of one's own."""
    async with services_of(request).connection() as connection:
        job = await find(connection, request)
        if job.subject != principal_of(request).subject:
            raise Forbidden("a job is cancelled by who asked for it; a steward refuses it")
        await jobs.cancel(connection, job.job_id, by=principal_of(request).subject)
        return respond(await find(connection, request))


async def approve(request: Request) -> Response:
    """Let a job run that waits for a steward."""
    by, job_id = require_manager(request), request.path_params["job"]
    async with services_of(request).connection() as connection:
        await jobs.approve(connection, job_id, by=by)
        return respond(await jobs.show(connection, job_id))


async def refuse(request: Request) -> Response:
    """End a job, or keep its answer in."""
    by, reason = require_manager(request), (await read_payload(request)).text("reason", "")
    async with services_of(request).connection() as connection:
        await jobs.refuse(connection, request.path_params["job"], reason, by=by)
        return respond(await jobs.show(connection, request.path_params["job"]))


async def release(request: Request) -> Response:
    """Let a checked answer out; one of whose studies went meanwhile begins anew."""
    by, job_id = require_manager(request), request.path_params["job"]
    async with services_of(request).connection() as connection:
        await jobs.release(connection, job_id, by=by)
        return respond(await jobs.show(connection, job_id))


async def list_packages(request: Request) -> Response:
    """The packages that were sent in, one's own unless one decides on them."""
    require_user(request)
    by = None if is_manager(request) else principal_of(request).subject
    async with services_of(request).connection() as connection:
        return respond(await job_packages.list_packages(connection, by))


class OnePackage(HTTPEndpoint):
    """/api/jobs/packages/{package}: show, and send in the passport."""

    async def get(self, request: Request) -> Response:
        """Whether a package is whole and approved."""
        require_user(request)
        async with services_of(request).connection() as connection:
            found = await job_packages.show(connection, request.path_params["package"])
        if found.sent_by != principal_of(request).subject and not is_manager(request):
            raise NotFound("no such package")
        return respond(found)

    async def put(self, request: Request) -> Response:
        """Send in a passport, under its SHA-256."""
        by = require_sender(request)
        passport = await _read(request, LARGEST_PASSPORT)
        async with services_of(request).connection() as connection:
            package = request.path_params["package"]
            return respond(await job_packages.add(connection, package, passport, by=by), HTTPStatus.CREATED)


async def put_network(request: Request) -> Response:
    """Send in the network that a passport names."""
    by = require_sender(request)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as held:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_NETWORK:
                raise PayloadTooLarge("a network has %(most)s bytes at most", most=LARGEST_NETWORK)
            await run_sync(held.write, chunk)
        held.seek(0)
        async with services_of(request).connection() as connection:
            package, content = request.path_params["package"], chunks(held)
            return respond(await job_packages.add_network(connection, package, content, by=by))


async def approve_package(request: Request) -> Response:
    """Let jobs evaluate a package whoever signed it, by its hash."""
    async with services_of(request).connection() as connection:
        await approve_sent(connection, request)
        return respond(await job_packages.show(connection, request.path_params["package"]))


async def approve_sent(connection: AsyncConnection, request: Request) -> None:
    """Approve the package that the address names. Raises NotFound, Forbidden for one's own."""
    by, package = require_manager(request), request.path_params["package"]
    if (await job_packages.show(connection, package)).sent_by == by:
        raise Forbidden("nobody decides on her own package")
    await job_packages.approve(connection, package, by=by)


def require_sender(request: Request) -> str:
    """The subject of who has a permit for any jobs, and may send in what they evaluate. Raises Forbidden."""
    principal = principal_of(request)
    named = [one for one in grants_of(request).permits if principal.permit in (None, one.permit_id)]
    if Action.JOB not in principal.actions or not any(Action.JOB in one.actions for one in named):
        raise Forbidden("no permit of yours allows jobs.run")
    return principal.subject


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise PayloadTooLarge("taken are %(most)s bytes at most", most=most)
    return bytes(body)


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """A file's bytes, read in threads."""
    while chunk := await run_sync(file.read, _IN_MEMORY):
        yield chunk


PATH = "/api/jobs"
ROUTES = [
    Route(PATH, AllJobs),
    Route(f"{PATH}/packages", list_packages),
    Route(f"{PATH}/packages/{{package}}", OnePackage),
    Route(f"{PATH}/packages/{{package}}/network", put_network, methods=["PUT"]),
    Route(f"{PATH}/packages/{{package}}/approve", approve_package, methods=["POST"]),
    Route(f"{PATH}/{{job}}", show),
    Route(f"{PATH}/{{job}}/result", result),
    Route(f"{PATH}/{{job}}/cancel", cancel, methods=["POST"]),
    Route(f"{PATH}/{{job}}/approve", approve, methods=["POST"]),
    Route(f"{PATH}/{{job}}/refuse", refuse, methods=["POST"]),
    Route(f"{PATH}/{{job}}/release", release, methods=["POST"]),
]
