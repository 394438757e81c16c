"""`/admin/catalogue`: stewards write records, see what is wrong with them, and publish them; without any script."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import catalogue
from archive.catalogue import Entry
from archive.catalogue_fields import Node, Written, find_faults, parse_fields
from archive.errors import BadRequest, Forbidden, PreconditionFailed
from gateway.api.management import require_manager
from gateway.api.payload import Payload
from gateway.catalogue import guidance, publishing
from gateway.catalogue.findings import Finding
from gateway.catalogue.guidance import Guide
from gateway.catalogue.pages import dataset_page
from gateway.portal.forms import Handler, answering, back_to, read_form, refusal, signed_page
from gateway.portal.languages import gettext, marked, told
from gateway.services import services_of

PATH = "/admin/catalogue"
_LISTS = tuple(guide.name for guide in guidance.DATASET if guide.kind == "checks")
_CHANGED = marked(
    "Somebody else changed the record meanwhile. Nothing of yours is lost: compare, and save again to keep it."
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form with its value as it is entered, what is wrong with it, and what another stored meanwhile."""

    guide: Guide
    value: str | Sequence[str]
    told: Sequence[str] = ()
    theirs: str | None = None


async def show_records(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """GET /admin/catalogue: all records and what is wrong with them; what the node says of itself."""
    require_manager(request)
    async with services_of(request).connection() as connection:
        node, revision = await catalogue.node_to_edit(connection)
    return await _records(request, fields_of(guidance.NODE, asdict(node)), revision, problem, status)


def _translated(faults: Mapping[str, BadRequest]) -> dict[str, str]:
    """What is said at each field, beginning with its name as it is."""
    return {
        name: gettext(fault.message) % fault.values if fault.values else gettext(fault.message)
        for name, fault in faults.items()
    }


async def save_node(request: Request) -> Response:
    """Replace what the node says of itself, unless somebody else did meanwhile."""
    by, form = require_manager(request), await read_form(request)
    content, services = entered(guidance.NODE, form), services_of(request)
    if faults := find_faults(Node, content):
        fields = fields_of(guidance.NODE, content, _translated(faults))
        return await _records(request, fields, _revision(form), "", HTTPStatus.BAD_REQUEST)
    async with services.connection() as connection:
        try:
            record = parse_fields(Node, content)
            await publishing.edit_node(connection, services.settings, record, by=by, revision=_revision(form))
        except (PreconditionFailed, BadRequest) as error:
            stored, revision = await catalogue.node_to_edit(connection)
            is_lost = isinstance(error, PreconditionFailed)
            fields = fields_of(guidance.NODE, content, theirs=asdict(stored) if is_lost else None)
            status = HTTPStatus.PRECONDITION_FAILED if is_lost else HTTPStatus.BAD_REQUEST
            return await _records(
                request,
                fields,
                revision if is_lost else _revision(form),
                gettext(_CHANGED) if is_lost else told(error),
                status,
            )
    return back_to(PATH)


async def show_record(request: Request, problem: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    """GET /admin/catalogue/{dataset}: what is written, what is counted, and what is wrong with it."""
    require_manager(request)
    entry = await _written(request)
    return await _record(request, entry, asdict(entry.written), entry.revision, problem, status)


async def save_record(request: Request) -> Response:
    """Replace what is written of a dataset, unless somebody else did meanwhile."""
    by, form = require_manager(request), await read_form(request, lists=_LISTS)
    content, name = entered(guidance.DATASET, form), request.path_params["dataset"]
    if faults := find_faults(Written, content):
        entry = await _written(request)
        return await _record(
            request, entry, content, _revision(form), "", HTTPStatus.BAD_REQUEST, faults=_translated(faults)
        )
    async with services_of(request).connection() as connection:
        try:
            written = parse_fields(Written, content)
            await catalogue.edit(connection, name, written, by=by, revision=_revision(form))
        except PreconditionFailed:
            entry = await catalogue.entry(connection, name, published=False)
            status = HTTPStatus.PRECONDITION_FAILED
            return await _record(
                request, entry, content, entry.revision, gettext(_CHANGED), status, is_lost=True
            )
    return back_to(f"{PATH}/{name}")


async def preview(request: Request) -> Response:
    """GET /admin/catalogue/{dataset}/preview: the page as everybody would see what is saved."""
    require_manager(request)
    async with services_of(request).connection() as connection:
        node = await catalogue.node(connection)
        entry = await catalogue.entry(connection, request.path_params["dataset"], published=False)
    return dataset_page(request, node, entry, 0, is_preview=True)


async def publish(request: Request) -> Response:
    """Let everybody see what is saved, if it conforms and is what the steward saw."""
    by, form, services = require_manager(request), await read_form(request), services_of(request)
    name = request.path_params["dataset"]
    async with services.connection() as connection:
        await publishing.publish(
            connection,
            services.settings,
            name,
            by=by,
            notes=form.text("notes", "")[:2000],
            revision=_revision(form),
        )
    return back_to(f"{PATH}/{name}")


async def withdraw(request: Request) -> Response:
    """Let stewards alone see a record again."""
    by, name = require_manager(request), request.path_params["dataset"]
    async with services_of(request).connection() as connection:
        await catalogue.withdraw(connection, name, by=by)
    return back_to(f"{PATH}/{name}")


def entered(guides: Sequence[Guide], form: Payload) -> dict[str, Any]:
    """What a form holds, as fields of a record; a tier that is no number stays what it is."""
    content: dict[str, Any] = {}
    for guide in guides:
        if guide.kind == "checks":
            content[guide.name] = form.texts(guide.name, ())
        elif guide.kind == "lines":
            content[guide.name] = tuple(form.text(guide.name, "").splitlines())
        else:
            content[guide.name] = form.text(guide.name, "").replace("\r\n", "\n")
    if content.get("tier", "").isdecimal():
        content["tier"] = int(content["tier"][:9])
    return content


def fields_of(
    guides: Sequence[Guide],
    content: Mapping[str, Any],
    faults: Mapping[str, str] | None = None,
    findings: Sequence[Finding] = (),
    theirs: Mapping[str, Any] | None = None,
) -> list[Field]:
    """A form's fields with what is entered in them and what is to be said at each."""
    made = []
    for guide in guides:
        told = [(faults or {})[guide.name]] if guide.name in (faults or {}) else []
        told += [one.told for one in findings if guide.name in one.about.split(" or ")]
        value, other = _shown(guide, content[guide.name]), None
        if theirs is not None and (stored := _shown(guide, theirs[guide.name])) != value:
            other = stored if isinstance(stored, str) else ", ".join(stored)
        made.append(Field(guide, value, told, other))
    return made


def _shown(guide: Guide, value: Any) -> str | Sequence[str]:
    if guide.kind == "checks":
        return tuple(value)
    return "\n".join(value) if guide.kind == "lines" else str(value)


def _revision(form: Payload) -> int:
    """The revision that was shown with the form. Raises BadRequest."""
    told = form.text("revision", "")
    if not (told.isascii() and told.isdigit() and len(told) < 10):
        raise BadRequest("revision is the number that came with the form")
    return int(told)


async def _written(request: Request) -> Entry:
    async with services_of(request).connection() as connection:
        return await catalogue.entry(connection, request.path_params["dataset"], published=False)


async def _records(
    request: Request, fields: Sequence[Field], revision: int, problem: str, status: HTTPStatus
) -> Response:
    async with services_of(request).connection() as connection:
        entries = await catalogue.entries(connection, published=False)
        served = {each.name: each.written for each in await catalogue.entries(connection, published=True)}
    return signed_page(
        request,
        "catalogue_admin.html",
        status,
        problem=problem,
        entries=entries,
        unpublished={each.name for each in entries if served.get(each.name, each.written) != each.written},
        fields=fields,
        revision=revision,
    )


async def _record(
    request: Request,
    entry: Entry,
    content: Mapping[str, Any],
    revision: int,
    problem: str,
    status: HTTPStatus,
    *,
    faults: Mapping[str, str] | None = None,
    is_lost: bool = False,
) -> Response:
    services = services_of(request)
    async with services.connection() as connection:
        node = await catalogue.node(connection)
        served = await catalogue.entries(connection, published=True, name=entry.name)
    findings = await run_sync(publishing.problems, services.settings, node, entry)
    theirs = asdict(entry.written) if is_lost else None
    known = {guide.name for guide in guidance.DATASET}
    return signed_page(
        request,
        "catalogue_edit.html",
        status,
        problem=problem,
        entry=entry,
        fields=fields_of(guidance.DATASET, content, faults, () if faults else findings, theirs),
        others=[str(one) for one in findings if not known & set(one.about.split(" or "))],
        is_ready=not findings,
        is_unpublished=bool(served) and served[0].written != entry.written,
        alarms=entry.findings if served else (),
        revision=revision,
    )


def _for_managers(show: Handler) -> Handler:
    @wraps(show)
    async def shown(request: Request) -> Response:
        try:
            return await show(request)
        except Forbidden:
            return refusal(request, gettext("Stewards write the catalogue's records here."))

    return shown


_form, _of_all = partial(answering, show_record), partial(answering, show_records)
ROUTES = [
    Route(PATH, _for_managers(show_records), methods=["GET"]),
    Route(PATH, _of_all(save_node), methods=["POST"]),
    Route(f"{PATH}/{{dataset}}", _for_managers(show_record), methods=["GET"]),
    Route(f"{PATH}/{{dataset}}", _form(save_record), methods=["POST"]),
    Route(f"{PATH}/{{dataset}}/preview", _for_managers(preview), methods=["GET"]),
    Route(f"{PATH}/{{dataset}}/publish", _form(publish), methods=["POST"]),
    Route(f"{PATH}/{{dataset}}/withdraw", _form(withdraw), methods=["POST"]),
]
