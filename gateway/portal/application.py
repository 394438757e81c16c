"""`/access/{permit}`: one application, as its applicant, the stewards and the committee see it and act on it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time
from functools import partial
from http import HTTPStatus

from psycopg import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import applications, permits
from archive.errors import Conflict, Forbidden, NotFound
from archive.permits import Terms
from archive.persons import hers
from archive.policy import Action
from archive.proposals import Case, count_votes, steps, voters_on
from gateway.api.applications import judges, require_asker, visible
from gateway.api.management import is_manager, require_committee, require_manager, votes
from gateway.api.payload import Payload
from gateway.downloads import TOKEN_LIFE, personal_token, script
from gateway.portal.access import PATH, STATES, choices, filled_in, read_application
from gateway.portal.forms import absent, answering, back_to, last_day, read_form, signed_page
from gateway.portal.languages import marked
from gateway.services import principal_of, services_of

SAID = {
    "message": marked("wrote"),
    "in-review": marked("began the review"),
    "changes-asked": marked("asked for changes"),
    "changed": marked("changed the application"),
    "for": marked("voted for it"),
    "against": marked("voted against it"),
}


async def case_page(
    request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK, *, token: str = ""
) -> Response:
    """Show an application; to who may not see it there is none. `token` is shown this once."""
    try:
        case, told = await visible(request)
    except NotFound:
        return absent(request)
    subject = principal_of(request).subject
    async with services_of(request).connection() as connection:
        reviews = await judges(connection, request, case)
        voters = await hers(connection, subject, voters_on(case, told))
    settings = services_of(request).settings
    values = await choices(request, getattr(request.state, "given", None) or filled_in(case))
    return signed_page(
        request,
        "access_case.html",
        status,
        problem=problem,
        case=case,
        permit=case.permit,
        told=told,
        said=SAID,
        steps=steps(case, told),
        states=STATES,
        is_own=case.is_of(subject),
        reviews=reviews,
        decides=is_manager(request) and reviews,
        may_vote=votes(request) and reviews and not voters,
        votes=count_votes(case, told),
        votes_needed=settings.committee_votes,
        is_holder=case.permit.subject == subject,
        downloads=is_valid(case) and Action.READ in case.permit.actions,
        in_place=is_valid(case) and Action.JOB in case.permit.actions,
        token=token,
        minutes=TOKEN_LIFE // 60,
        site=settings.public_url,
        dicomweb=settings.dicomweb_url,
        **values,
    )


def is_valid(case: Case) -> bool:
    """Whether the permit is granted and has begun."""
    since = case.permit.valid_from
    return case.permit.state == "granted" and (since is None or since <= datetime.now(UTC))


def doing(
    act: Callable[..., Awaitable[None]], *, who: Callable[[Request], str]
) -> Callable[..., Awaitable[Response]]:
    """The endpoint that does something with the application of the address, by who may, and shows it again."""

    async def answer(request: Request) -> Response:
        by, permit_id = who(request), request.path_params["permit"]
        await visible(request)
        form = await read_form(request, lists=("actions",))
        async with services_of(request).connection() as connection:
            await act(connection, permit_id, form, by, services_of(request).settings.committee_votes)
        return back_to(f"{PATH}/{permit_id}")

    return answering(case_page, answer)


async def say(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    await applications.say(connection, permit_id, form.text("text", ""), by=by)


async def review(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    await applications.review(connection, permit_id, by=by)


async def ask_changes(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    await applications.ask_changes(connection, permit_id, form.text("text", ""), by=by)


async def vote(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    in_favour, reason = form.text("vote") == "for", form.text("reason", "")
    read = form.number("revision")
    await applications.vote(connection, permit_id, in_favour=in_favour, reason=reason, read=read, by=by)


async def withdraw(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    await applications.withdraw(connection, permit_id, by=by)


async def grant(connection: AsyncConnection, permit_id: str, form: Payload, by: str, needed: int) -> None:
    """As asked for, or narrower; until the end of a day."""
    since = form.moment("since")
    terms = Terms(
        since=since and datetime.combine(since.date(), time.min, UTC),
        until=last_day(form, "until"),
        conditions=form.text("conditions", ""),
        actions=form.choices("actions", Action, ()) or None,
        reason=form.text("reason", ""),
    )
    read = form.number("revision")
    await applications.grant(connection, permit_id, terms, votes_needed=needed, read=read, by=by)


async def reject(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    await applications.reject(connection, permit_id, form.text("reason"), by=by)


async def revoke(connection: AsyncConnection, permit_id: str, form: Payload, by: str, _: int) -> None:
    await permits.revoke(connection, permit_id, form.text("reason", ""), by=by)


async def change(request: Request) -> Response:
    """POST /access/{permit}/change: change what one asked for."""
    by, (case, _) = require_asker(request), await visible(request)
    permit_id = case.permit.permit_id
    proposal = await read_application(request, case.permit.subject, is_manager=False)
    async with services_of(request).connection() as connection:
        await applications.change(connection, permit_id, proposal, by=by)
    return back_to(f"{PATH}/{permit_id}")


async def give_token(request: Request) -> Response:
    """POST /access/{permit}/token: a token for the person's own programs, shown this once.

    Nobody gets one by a token: it would never end, and would do all that the permit allows.
    """
    if "session" not in request.scope:
        raise Forbidden("a token is given to a person who is signed in")
    case, _ = await visible(request)
    if case.permit.subject != principal_of(request).subject or not is_valid(case):
        raise Conflict("a token is for who holds a permit that is valid")
    actions = frozenset(map(Action, case.permit.actions))
    return await case_page(request, token=await personal_token(request, case.permit.permit_id, actions))


_ONE = f"{PATH}/{{permit}}"
_form = partial(answering, case_page)
ROUTES = [
    Route(_ONE, case_page, methods=["GET"]),
    Route(f"{_ONE}/change", _form(change), methods=["POST"]),
    Route(f"{_ONE}/token", _form(give_token), methods=["POST"]),
    Route(f"{_ONE}/download.sh", script, methods=["GET"]),
    *(
        Route(f"{_ONE}/{name}", doing(act, who=who), methods=["POST"])
        for name, act, who in (
            ("messages", say, require_asker),
            ("withdraw", withdraw, require_asker),
            ("review", review, require_manager),
            ("changes", ask_changes, require_manager),
            ("votes", vote, require_committee),
            ("grant", grant, require_manager),
            ("reject", reject, require_manager),
            ("revoke", revoke, require_manager),
        )
    ),
]
