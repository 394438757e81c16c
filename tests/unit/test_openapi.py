"""The descriptions that machines read: true to the routes (OpenAPI 3.1; PS3.18 section 8.9 and annex H)."""

import re
from xml.etree import ElementTree

import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Mount, Route

from archive.federation_roles import Hub, write_role
from gateway.capabilities import NAMESPACE
from tests.unit import fake_site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A hub too: other nodes answer nothing of a federation."""
    made = fake_site.build(tmp_path_factory.mktemp("home"))
    write_role(made.settings, Hub("hub", "2026-03-01T12:00:00+00:00"))
    return made


@pytest.fixture(scope="module")
def paths(site):
    return site.client.get("/openapi.json").json()["paths"]


def served(routes, prefix=""):
    """Each method of each route that is no page for people, found by another way than the document is made."""
    for route in routes:
        if isinstance(route, Mount):
            yield from served(route.routes, prefix + route.path)
        elif isinstance(route, Route) and route.include_in_schema:
            classes = isinstance(route.endpoint, type) and issubclass(route.endpoint, HTTPEndpoint)
            methods = {
                name.upper() for name in ("get", "post", "put", "delete") if hasattr(route.endpoint, name)
            }
            for method in (methods if classes else route.methods) - {"HEAD", "OPTIONS"}:
                yield method.lower(), re.sub(r":\w+}", "}", prefix + route.path)


def test_each_route_is_in_the_document(site, paths):
    described = {(method, path) for path, methods in paths.items() for method in methods}
    application = site.client._application
    assert set(served(application.routes)) <= described
    assert ("get", "/dicom-web/studies/{study}/series/{series}/metadata") in described


def test_each_path_of_the_document_answers(site, paths):
    for path, methods in paths.items():
        concrete = re.sub(r"{\w+}", "1", path)
        for method in methods:
            answer = site.client.request(method.upper(), concrete, headers=site.bearer())
            assert answer.status_code not in (404, 405, 500), (method, path)


def test_operations_have_names_of_their_own(paths):
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for methods in paths.values() for operation in methods.values())


@pytest.mark.parametrize("accept", ["*/*", "application/vnd.sun.wadl+xml", "application/xml"])
def test_capabilities_are_a_tree_of_all_resources(site, paths, accept):
    answer = site.client.request("OPTIONS", "/dicom-web/", headers={"Accept": accept})
    assert answer.status_code == 200
    root = ElementTree.fromstring(answer.content)
    (resources,) = root.findall(f"{{{NAMESPACE}}}resources")
    assert resources.attrib["base"] == site.settings.dicomweb_url
    assert set(walk(resources)) == {
        (method.upper(), path.removeprefix("/dicom-web"))
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/dicom-web/")
    }


def walk(element, prefix=""):
    for method in element.findall(f"{{{NAMESPACE}}}method"):
        yield method.attrib["name"], prefix
    for resource in element.findall(f"{{{NAMESPACE}}}resource"):
        yield from walk(resource, f"{prefix}/{resource.attrib['path']}")


def test_capabilities_in_json_are_the_same_document(site, paths):
    answer = site.client.request("OPTIONS", "/dicom-web/", headers={"Accept": "application/json"})
    assert answer.json()["paths"] == paths


def test_a_type_that_is_none_of_them_is_406(site):
    answer = site.client.request("OPTIONS", "/dicom-web/", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.headers["content-type"]) == (406, "application/problem+json")


@pytest.mark.parametrize(("method", "path"), [("get", "questions"), ("post", "search")])
def test_what_a_hub_answers_in_lines_is_told_as_lines(paths, method, path):
    answer = paths[f"/federation/v1/{path}"][method]["responses"]["200"]
    assert list(answer["content"]) == ["application/x-ndjson"]
