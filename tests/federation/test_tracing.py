"""What EUCAIM's tracing service (API v2) is told: its very form, in order, once the service takes it."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg import AsyncConnection

from archive import datasets, tracing
from archive.errors import ConfigurationError
from archive.tracing import Details
from inference.notification.tracing import Tracer
from tests.federation.nodes import Node, serve_node
from tests.live import eventually
from tests.receiver import Receiver, receiving

FORMS: dict[str, dict[str, type]] = {
    "CREATE_DATASET": {"userId": str, "datasetId": str, "resources": list},
    "UPDATE_DATASET": {"userId": str, "datasetId": str, "details": str},
    "USE_DATASETS": {"userId": str, "datasetsIds": list, "toolName": str, "toolVersion": str},
}
RESOURCE = {"id": str, "contentHash": str, "contentHashType": str}


def check_form(body: dict[str, Any]) -> None:
    """As the service has it: extra fields are forbidden, nothing is empty."""
    form = FORMS[body["userAction"]] | {"userAction": str}
    assert {name: type(value) for name, value in body.items()} == form
    assert all(body.values())
    for resource in body.get("resources", []):
        assert {name: type(value) for name, value in resource.items()} == RESOURCE
        size = {"SHA3_256": 32, "SHA3_512": 64}[resource["contentHashType"]]
        assert len(base64.b64decode(resource["contentHash"], validate=True)) == size


@pytest.fixture(scope="module")
def node(site, tmp_path_factory) -> Iterator[Node]:
    with serve_node(site, tmp_path_factory.mktemp("node")) as made:
        yield made


@pytest.fixture
def service(node) -> Iterator[Receiver]:
    """A tracing service that takes what comes; nothing waits for it yet."""
    with node.database() as connection:
        connection.execute("delete from dataset_trace")
    with receiving() as receiver:
        receiver.status, receiver.body = 200, json.dumps({"ids": [str(uuid.uuid4())], "group": "g"}).encode()
        yield receiver


def do(node: Node, work: Callable[[AsyncConnection], Any]) -> Any:
    async def connected() -> Any:
        address = node.settings.database_url
        async with await AsyncConnection.connect(address, autocommit=True) as connection:
            return await work(connection)

    return asyncio.run(connected())


def deliver(node: Node, service: Receiver, until: Callable[[], object], token: str = "secret") -> None:  # noqa: S107
    """Run what delivers until something is so."""
    url = f"http://127.0.0.1:{service.port}"
    tracer = Tracer(replace(node.settings, tracing_url=url, tracing_token=token))

    async def run() -> None:
        ended = asyncio.Event()
        running = asyncio.create_task(tracer.run(ended))
        await asyncio.to_thread(eventually, until)
        ended.set()
        await running

    asyncio.run(run())


async def freeze(connection: AsyncConnection) -> str:
    name = f"d{uuid.uuid4().hex[:8]}"
    await datasets.create(connection, name, "Modality=MG", by="steward")
    return (await datasets.freeze(connection, name, by="steward")).full_name


def traces(node: Node) -> list[dict[str, Any]]:
    return json.loads(node.run("traces", "--json").stdout)


def test_a_frozen_dataset_is_told_with_the_hash_of_its_instances(node, service):
    name = do(node, freeze)
    deliver(node, service, lambda: service.came)
    (body,) = service.messages()
    check_form(body)
    assert body["datasetId"] == f"{node.settings.public_url}/datasets/{name.replace('@', '%40')}"
    assert base64.b64decode(body["resources"][0]["contentHash"]) == hashlib.sha3_256().digest()


def test_it_goes_to_the_services_path_with_the_token(node, service):
    do(node, freeze)
    deliver(node, service, lambda: service.came)
    ((path, headers, _),) = service.came
    sent = {name.lower(): value for name, value in headers.items()}
    assert path == "/api/v2/traces/" and sent["authorization"] == "Bearer secret"
    assert sent["content-type"] == "application/json"


def test_deleting_a_dataset_invalidates_its_versions(node, service):
    name = do(node, freeze)
    do(node, lambda connection: datasets.delete(connection, name.partition("@")[0], by="steward"))
    deliver(node, service, lambda: len(service.came) == 2)
    created, invalidated = service.messages()
    check_form(invalidated)
    assert invalidated["details"] == "INVALIDATE" and invalidated["datasetId"] == created["datasetId"]


def test_a_run_uses_its_dataset_once(node, service):
    async def twice(connection: AsyncConnection) -> None:
        for _ in range(2):
            await tracing.used(
                connection, ["screening@1"], "federated-density", "1.0.0", by="federation:hub", key="run R1"
            )

    do(node, twice)
    deliver(node, service, lambda: service.came and traces(node)[0]["delivered_at"])
    (body,) = service.messages()
    check_form(body)
    assert body["toolName"] == "federated-density" and len(body["datasetsIds"]) == 1


def test_what_was_delivered_is_shown_with_the_services_identifiers(node, service):
    do(node, lambda connection: tracing.updated(connection, "d", Details.PUBLISH, by="steward"))
    deliver(node, service, lambda: traces(node)[0]["delivered_at"])
    (row,) = traces(node)
    assert row["ids"] == json.loads(service.body)["ids"] and row["attempts"] == 1
    assert "delivered" in node.run("traces").stdout


def test_an_older_service_answers_with_one_identifier(node, service):
    service.body = b'{"id": "one"}'
    do(node, lambda connection: tracing.updated(connection, "d", Details.PUBLISH, by="steward"))
    deliver(node, service, lambda: traces(node)[0]["delivered_at"])
    assert traces(node)[0]["ids"] == ["one"]


@pytest.mark.parametrize("status", [401, 403, 500, 302])
def test_what_it_does_not_take_waits_and_is_told_again(node, service, status, monkeypatch):
    monkeypatch.setattr(tracing, "FIRST_PAUSE", 0.01)
    service.status = status
    do(node, lambda connection: tracing.updated(connection, "d", Details.PUBLISH, by="steward"))
    deliver(node, service, lambda: traces(node)[0]["attempts"])
    assert not traces(node)[0]["delivered_at"] and str(status) in traces(node)[0]["failure"]
    service.status = 200
    deliver(node, service, lambda: traces(node)[0]["delivered_at"])


def test_what_it_will_never_take_holds_up_nothing(node, service):
    service.status = 422
    do(node, lambda connection: tracing.updated(connection, "d", Details.PUBLISH, by="steward"))
    deliver(node, service, lambda: traces(node)[0]["refused"])
    service.status = 200
    do(node, lambda connection: tracing.updated(connection, "e", Details.PUBLISH, by="steward"))
    deliver(node, service, lambda: traces(node)[0]["delivered_at"])
    assert "refused" in node.run("traces").stdout


def test_what_waits_holds_up_what_follows(node, service):
    do(node, lambda connection: tracing.updated(connection, "d", Details.PUBLISH, by="steward"))
    do(node, lambda connection: tracing.updated(connection, "d", Details.UNPUBLISH, by="steward"))
    deliver(node, service, lambda: len(service.came) == 2)
    assert [one["details"] for one in service.messages()] == ["PUBLISH", "UNPUBLISH"]


def test_nothing_goes_to_an_address_in_the_clear(node):
    with pytest.raises(ConfigurationError, match="https"):
        Tracer(replace(node.settings, tracing_url="http://tracing.example"))
