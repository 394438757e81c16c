"""`/access`: people ask for data and see how their applications stand; stewards and the committee see all."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import applications, datasets, rules
from archive.errors import BadRequest
from archive.policy import Action
from archive.proposals import Proposal
from archive.purpose import ARTICLES, Purpose
from gateway.api.applications import read_proposal, require_asker
from gateway.api.management import is_manager, reads_applications, require_manager
from gateway.api.payload import Payload
from gateway.portal.forms import absent, answering, back_to, read_form, signed_page
from gateway.portal.languages import marked
from gateway.services import principal_of, services_of

PATH = "/access"
STATES = {
    "received": marked("Received"),
    "in-review": marked("In review"),
    "changes-asked": marked("Changes asked for"),
    "changed": marked("Changed"),
    "granted": marked("Granted"),
    "rejected": marked("Rejected"),
    "withdrawn": marked("Withdrawn"),
    "revoked": marked("Revoked"),
    "expired": marked("Ended"),
}
USES = {
    Action.READ: marked("Download the images over DICOMweb"),
    Action.JOB: marked("Process them in place: only checked results leave the node"),
}
"""The kinds of use that the form offers."""


async def show(request: Request) -> Response:
    """GET /access; with a `dataset`, to the form that asks for it."""
    if dataset := request.query_params.get("dataset"):
        return back_to(f"{PATH}/new?dataset={dataset}" if _is_name(dataset) else f"{PATH}/new")
    subject, reads = principal_of(request).subject, reads_applications(request)
    async with services_of(request).connection() as connection:
        found = await applications.list_cases(connection, None if reads else subject)
        has_rules = await rules.newest(connection) is not None
    return signed_page(
        request,
        "access.html",
        states=STATES,
        reads=reads,
        has_rules=has_rules,
        own=[each for each in found if each.is_of(subject)],
        waiting=[each for each in found if each.permit.state == "requested" and not each.is_of(subject)],
        decided=[each for each in found if each.permit.state != "requested" and not each.is_of(subject)],
    )


def _is_name(text: str) -> bool:
    try:
        datasets.parse_name(text)
    except BadRequest:
        return False
    return True


async def form_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """GET /access/new: the form, with the dataset that the address names, or with what was sent and is not right."""
    named = [name for name in request.query_params.getlist("dataset") if name]
    given = getattr(request.state, "given", None) or Payload({"datasets": named})
    return signed_page(request, "access_new.html", status, problem=problem, **await choices(request, given))


async def choices(request: Request, given: Payload) -> dict[str, object]:
    """What the form offers, and what is filled in."""
    async with services_of(request).connection() as connection:
        named, newest = await datasets.list_datasets(connection), await rules.newest(connection)
    return {
        "given": given.members,
        "datasets": named,
        "purposes": ARTICLES,
        "other_purposes": [each for each in Purpose if each not in ARTICLES],
        "uses": USES,
        "rules": newest,
    }


async def read_application(request: Request, subject: str, *, is_manager: bool) -> Proposal:
    """What the form says. It is kept, to be shown again where it is not right. Raises BadRequest, Forbidden."""
    form = await read_form(request, lists=("datasets", "actions"))
    request.state.given = form
    return read_proposal(form, subject, is_manager=is_manager)


def filled_in(case: applications.Case) -> Payload:
    """The form as the newest revision of an application filled it in."""
    permit = case.permit
    return Payload(
        {
            "datasets": permit.datasets,
            "purpose": permit.purpose,
            "legal_basis": permit.legal_basis,
            "hdab_identifier": permit.hdab_identifier,
            "conditions": permit.conditions,
            "actions": permit.actions,
            "title": case.title,
            "protocol": case.protocol,
            "people": case.people,
            "starts": str(case.starts or ""),
            "ends": str(case.ends or ""),
        }
    )


async def ask(request: Request) -> Response:
    """POST /access/new: ask, for oneself unless one decides on permits."""
    by = require_asker(request)
    proposal = await read_application(request, by, is_manager=is_manager(request))
    async with services_of(request).connection() as connection:
        permit_id = await applications.apply(connection, proposal, by=by)
    return back_to(f"{PATH}/{permit_id}")


async def rules_page(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """GET /access/rules: the newest rules, or those of the parameter `version`; managers publish here."""
    version = request.query_params.get("version")
    async with services_of(request).connection() as connection:
        versions = await rules.list_rules(connection)
    shown = [each for each in versions if version in (None, each.version)]
    if version and not shown:
        return absent(request)
    return signed_page(
        request, "access_rules.html", status, problem=problem, shown=shown[:1], versions=versions
    )


async def publish_rules(request: Request) -> Response:
    """POST /access/rules: publish a version."""
    by, form = require_manager(request), await read_form(request)
    async with services_of(request).connection() as connection:
        await rules.publish(connection, form.text("version", ""), form.text("text", ""), by=by)
    return back_to(f"{PATH}/rules")


ROUTES = [
    Route(PATH, show, methods=["GET"]),
    Route(f"{PATH}/new", form_page, methods=["GET"]),
    Route(f"{PATH}/new", answering(form_page, ask), methods=["POST"]),
    Route(f"{PATH}/rules", rules_page, methods=["GET"]),
    Route(f"{PATH}/rules", answering(rules_page, publish_rules), methods=["POST"]),
]
