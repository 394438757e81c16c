"""`/catalogue/{dataset}/versions`: what everybody could see of a dataset before, what changed, and how it is cited."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.catalogue import Entry
from archive.errors import BadRequest, NotFound
from archive.record_versions import RecordVersion, compare
from gateway.catalogue.addresses import PATH
from gateway.catalogue.citation import FORMS, citation_of
from gateway.catalogue.pages import dataset_page, read_served, where_of
from gateway.catalogue.rendering import PAGE, choose, respond, respond_page, respond_text
from gateway.portal.pages import page


async def list_versions(request: Request) -> Response:
    """GET /catalogue/{dataset}/versions: all versions and what each has otherwise than the one before.

    As RDF the dataset's record, which leads to all of them.
    """
    chosen = choose(request)
    node, entry, versions = await read_served(request)
    if chosen != PAGE:
        from gateway.catalogue.versioned import current_record

        return respond(request, chosen, current_record(node, entry, versions, where_of(request)))
    changes = {
        after.number: compare(before, after) for after, before in zip(versions, versions[1:], strict=False)
    }
    return respond_page(
        request, lambda: page("catalogue_versions.html", entry=entry, versions=versions, changes=changes)
    )


async def show_version(request: Request) -> Response:
    """GET /catalogue/{dataset}/versions/{version}: the record as it was issued, as a page or as RDF."""
    chosen = choose(request)
    _, entry, versions = await read_served(request)
    version = _one(request, versions)
    then = entry_at(entry, version)
    if chosen != PAGE:
        from gateway.catalogue.versioned import version_record

        return respond(request, chosen, version_record(then, version, versions, where_of(request)))
    is_old = version.number != versions[0].number
    return respond_page(
        request, lambda: dataset_page(request, version.node, then, version.number, is_old=is_old)
    )


async def show_citation(request: Request) -> Response:
    """GET …/versions/{version}/citation: how the version is cited, as text, BibTeX, CSL-JSON or DataCite's JSON."""
    form = request.query_params.get("format", "text")
    if form not in FORMS:
        raise BadRequest(f"format takes {', '.join(FORMS)}")
    _, entry, versions = await read_served(request)
    version = _one(request, versions)
    address = where_of(request).at(version.number).dataset(entry.name)
    issued = version.issued_at.date()
    cited = citation_of(entry.name, version.node, version.written, version.version, issued, address)
    return respond_text(request, FORMS[form].media_type, FORMS[form].write(cited))


def entry_at(entry: Entry, version: RecordVersion) -> Entry:
    """A dataset as a version has it, with the numbers that everybody could know then."""
    return Entry(
        entry.number,
        entry.name,
        version.written,
        None,
        version.numbers,
        version.version,
        entry.created_at,
        version.issued_at,
        version.issued_at,
        frozen=version.frozen,
        sha256=version.sha256,
        notes=version.notes,
    )


def _one(request: Request, versions: list[RecordVersion]) -> RecordVersion:
    for version in versions:
        if str(version.number) == request.path_params["version"]:
            return version
    raise NotFound("no such version of the dataset")


_VERSIONS = f"{PATH}/{{dataset}}/versions"
ROUTES = [
    Route(_VERSIONS, list_versions, methods=["GET"]),
    Route(f"{_VERSIONS}/{{version}}", show_version, methods=["GET"]),
    Route(f"{_VERSIONS}/{{version}}/citation", show_citation, methods=["GET"]),
]
