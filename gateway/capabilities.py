"""The Retrieve Capabilities transaction: `OPTIONS /` answers a WADL document (PS3.18 section 8.9 and annex H)."""

from functools import lru_cache
from xml.etree import ElementTree

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive.media_type import media_type, select
from gateway.negotiation import preferences
from gateway.openapi import openapi
from gateway.operations import Operation, operations
from gateway.services import services_of

WADL = media_type("application/vnd.sun.wadl+xml")
JSON = media_type("application/json")
NAMESPACE = "http://wadl.dev.java.net/2009/02"
ROOT = "/dicom-web"


async def capabilities(request: Request) -> Response:
    """What DICOMweb is here: WADL, or the OpenAPI document for who wants JSON."""
    chosen = select(preferences(request), [WADL, media_type("application/xml"), JSON])
    if chosen == JSON:
        return await openapi(request)
    document = describe(tuple(operations(request.app.routes)), services_of(request).settings.dicomweb_url)
    headers = {"content-type": str(chosen), "allow": "OPTIONS", "cache-control": "no-cache"}
    return Response(document, headers=headers)


@lru_cache(8)
def describe(found: tuple[Operation, ...], base_url: str) -> bytes:
    """The WADL document of the operations below ROOT: a tree of resources and their methods."""
    ElementTree.register_namespace("", NAMESPACE)
    application = ElementTree.Element(_name("application"))
    top = ElementTree.SubElement(application, _name("resources"), base=base_url)
    places = {"": top}
    for operation in found:
        if operation.path.startswith(f"{ROOT}/"):
            _add_method(_place(operation.path.removeprefix(ROOT), places), operation)
    ElementTree.indent(application)
    return ElementTree.tostring(application, encoding="utf-8", xml_declaration=True)


def _place(path: str, places: dict[str, ElementTree.Element]) -> ElementTree.Element:
    """The resource of a path, its parents made where they are not there yet."""
    if path not in places:
        parent, _, name = path.rpartition("/")
        resource = ElementTree.SubElement(_place(parent, places), _name("resource"), path=name)
        if name.startswith("{"):
            ElementTree.SubElement(
                resource, _name("param"), name=name.strip("{}"), style="template", required="true"
            )
        places[path] = resource
    return places[path]


def _add_method(resource: ElementTree.Element, operation: Operation) -> None:
    method = ElementTree.SubElement(resource, _name("method"), name=operation.method, id=operation.name)
    ElementTree.SubElement(method, _name("doc"), title=operation.summary)
    request = ElementTree.SubElement(method, _name("request"))
    for name in operation.query:
        ElementTree.SubElement(request, _name("param"), name=name, style="query")
    if operation.matches:
        ElementTree.SubElement(request, _name("param"), name="{attributeID}", style="query", repeating="true")
    for kind in operation.takes:
        ElementTree.SubElement(request, _name("representation"), mediaType=kind)
    response = ElementTree.SubElement(method, _name("response"), status=str(operation.status))
    for kind in operation.produces:
        ElementTree.SubElement(response, _name("representation"), mediaType=kind)


def _name(local: str) -> str:
    return f"{{{NAMESPACE}}}{local}"


ROUTES = [Route("/", capabilities, methods=["OPTIONS"], include_in_schema=False)]
