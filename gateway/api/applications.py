"""/api/applications: what is asked for and why, its review and the committee's votes; and /api/rules.

An application bears the identifier of its permit, which is granted and rejected at /api/permits.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from http import HTTPStatus
from typing import Any

from psycopg import AsyncConnection
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import applications, rules
from archive.errors import BadRequest, Forbidden, NotFound
from archive.permits import Wanted
from archive.persons import hers
from archive.policy import Action
from archive.proposals import Case, Proposal, Told, count_votes, public, steps
from archive.purpose import Purpose
from gateway.api.management import is_manager, reads_applications, require_committee, require_manager
from gateway.api.payload import Payload, is_told, read_payload, respond
from gateway.downloads import manifest
from gateway.services import principal_of, services_of


class AllApplications(HTTPEndpoint):
    """/api/applications: list and apply."""

    async def get(self, request: Request) -> Response:
        """One's own applications; stewards and the committee see all."""
        principal = principal_of(request)
        subject = None if reads_applications(request) else principal.subject
        async with services_of(request).connection() as connection:
            found = await applications.list_cases(connection, subject)
        return respond([_plain(each) for each in found if principal.permit in (None, each.permit.permit_id)])

    async def post(self, request: Request) -> Response:
        """Apply for a permit, for oneself unless one manages them."""
        by = require_asker(request)
        proposal = read_proposal(await read_payload(request), by, is_manager=is_manager(request))
        async with services_of(request).connection() as connection:
            permit_id = await applications.apply(connection, proposal, by=by)
        return await _shown(request, permit_id, HTTPStatus.CREATED)


class OneApplication(HTTPEndpoint):
    """/api/applications/{permit}: look and change."""

    async def get(self, request: Request) -> Response:
        """An application with what was said of it."""
        return await _shown(request, request.path_params["permit"])

    async def put(self, request: Request) -> Response:
        """Change what one asked for, where changes were asked for."""
        (case, _), by = await visible(request), require_asker(request)
        proposal = read_proposal(await read_payload(request), case.permit.subject, is_manager=True)
        async with services_of(request).connection() as connection:
            await applications.change(connection, case.permit.permit_id, proposal, by=by)
        return await _shown(request, case.permit.permit_id)

    async def delete(self, request: Request) -> Response:
        """Take one's application back."""
        (case, _), by = await visible(request), require_asker(request)
        async with services_of(request).connection() as connection:
            await applications.withdraw(connection, case.permit.permit_id, by=by)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def require_asker(request: Request) -> str:
    """The subject of who asks. Raises Forbidden for a token that is for using one permit, or one purpose."""
    principal = principal_of(request)
    if not principal.has_roles:
        raise Forbidden("a token for one permit or one purpose asks for nothing, and takes nothing back")
    return principal.subject


def read_proposal(payload: Payload, subject: str, *, is_manager: bool) -> Proposal:
    """What is asked for, for `subject` where nobody else is named. Raises BadRequest, Forbidden."""
    wanted = Wanted(
        subject=payload.text("subject", subject),
        datasets=payload.texts("datasets", ()),
        purpose=payload.choice("purpose", Purpose),
        legal_basis=payload.text("legal_basis", ""),
        actions=payload.choices("actions", Action, [Action.READ]),
        hdab_identifier=payload.text("hdab_identifier", ""),
        conditions=payload.text("conditions", ""),
    )
    if wanted.subject != subject and not is_manager:
        raise Forbidden("a permit is asked for by its holder, or by a steward")
    texts = {name: payload.text(name, "") for name in ("title", "protocol", "people", "rules")}
    return Proposal(wanted, **texts, starts=_day(payload, "starts"), ends=_day(payload, "ends"))


def _day(payload: Payload, name: str) -> date | None:
    if not payload.text(name, ""):
        return None
    try:
        day = date.fromisoformat(payload.text(name))
    except ValueError:
        raise BadRequest("%(name)s is a day as in ISO 8601", name=name) from None
    if not is_told(day):
        raise BadRequest("%(name)s is a day as in ISO 8601", name=name)
    return day


async def visible(request: Request) -> tuple[Case, list[Told]]:
    """The application that the address names, and what was said of it. Raises NotFound for who may not see it."""
    permit_id = request.path_params["permit"]
    async with services_of(request).connection() as connection:
        case = await applications.find(connection, permit_id)
        told = await applications.told(connection, permit_id)
        if await judges(connection, request, case):
            return case, told
    principal = principal_of(request)
    is_own = case.is_of(principal.subject) and principal.permit in (None, permit_id)
    if not is_own and not reads_applications(request):
        raise NotFound("no such permit")
    return case, public(told)


async def judges(connection: AsyncConnection, request: Request, case: Case) -> bool:
    """Whether the principal reads what others ask for, and none of her identities asked for this, or is to have it."""
    asked = (case.permit.subject, case.permit.requested_by)
    return reads_applications(request) and not await hers(connection, principal_of(request).subject, asked)


async def say(request: Request) -> Response:
    """Write to the applicant, or to the stewards and the committee."""
    (case, _), by = await visible(request), require_asker(request)
    text = (await read_payload(request)).text("text")
    async with services_of(request).connection() as connection:
        await applications.say(connection, case.permit.permit_id, text, by=by)
    return await _shown(request, case.permit.permit_id)


async def review(request: Request) -> Response:
    """Begin the review."""
    by, permit_id = require_manager(request), request.path_params["permit"]
    async with services_of(request).connection() as connection:
        await applications.review(connection, permit_id, by=by)
    return await _shown(request, permit_id)


async def ask_changes(request: Request) -> Response:
    """Ask the applicant back."""
    by, permit_id = require_manager(request), request.path_params["permit"]
    text = (await read_payload(request)).text("text")
    async with services_of(request).connection() as connection:
        await applications.ask_changes(connection, permit_id, text, by=by)
    return await _shown(request, permit_id)


async def vote(request: Request) -> Response:
    """Vote for an application, or against it."""
    by, permit_id = require_committee(request), request.path_params["permit"]
    payload = await read_payload(request)
    in_favour, reason = payload.members.get("in_favour"), payload.text("reason", "")
    read = payload.number("revision")
    if not isinstance(in_favour, bool):
        raise BadRequest("in_favour is true or false")
    async with services_of(request).connection() as connection:
        await applications.vote(connection, permit_id, in_favour=in_favour, reason=reason, read=read, by=by)
    return await _shown(request, permit_id)


async def _shown(request: Request, permit_id: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    request.path_params["permit"] = permit_id
    case, told = await visible(request)
    members = _plain(case) | {
        "steps": [each._asdict() for each in steps(case, told)],
        "told": [each._asdict() for each in told],
    }
    async with services_of(request).connection() as connection:
        if await judges(connection, request, case):
            members["votes"] = count_votes(case, told)._asdict()
    return respond(members, status)


def _plain(case: Case) -> dict[str, Any]:
    days = {"starts": case.starts and str(case.starts), "ends": case.ends and str(case.ends)}
    return asdict(case) | days | {"state": case.state}


class AllRules(HTTPEndpoint):
    """/api/rules: the rules of participation."""

    async def get(self, request: Request) -> Response:
        """All versions, the newest first."""
        async with services_of(request).connection() as connection:
            return respond(await rules.list_rules(connection))

    async def post(self, request: Request) -> Response:
        """Publish a version, to which applications agree from now on."""
        by, payload = require_manager(request), await read_payload(request)
        version = payload.text("version")
        async with services_of(request).connection() as connection:
            await rules.publish(connection, version, payload.text("text"), by=by)
            return respond(await rules.show(connection, version), HTTPStatus.CREATED)


_ONE = "/api/applications/{permit}"
ROUTES: Sequence[Route] = [
    Route("/api/applications", AllApplications),
    Route(_ONE, OneApplication),
    Route(f"{_ONE}/messages", say, methods=["POST"]),
    Route(f"{_ONE}/review", review, methods=["POST"]),
    Route(f"{_ONE}/changes", ask_changes, methods=["POST"]),
    Route(f"{_ONE}/votes", vote, methods=["POST"]),
    Route("/api/permits/{permit}/manifest", manifest, methods=["GET"]),
    Route("/api/rules", AllRules),
]
