"""Flower's control API, which the hub's SuperLink answers on loopback: nodes and runs as Flower has them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import httpx
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    StreamLogsRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.proto.transport_pb2 import Scalar
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from archive.errors import Conflict, Unavailable
from archive.settings import Settings
from gateway.fleet import flower, loopback

T = TypeVar("T")
_LATEST = 50  # runs that are looked at, the last ones


class Status(StrEnum):
    """Where Flower's run is."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Node:
    """A SuperNode whose key the SuperLink takes. `is_online`: its heartbeats come."""

    node: int
    is_online: bool


class Control:
    """The control API of this node's SuperLink. Its methods raise Unavailable, and Conflict for what it refuses."""

    def __init__(self, settings: Settings) -> None:
        address = f"{flower.HOST}:{flower.read_ports(settings).superlink}"
        self._client = ControlHttpClient.from_server_address(
            address,
            insecure=False,
            root_certificates=loopback.ensure(settings).authority.read_bytes(),
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-cli")],
        )

    def nodes(self) -> dict[bytes, Node]:
        """By their public keys the nodes that are registered."""
        found = _do(lambda: self._client.ListNodes(ListNodesRequest())).nodes_info
        return {
            bytes(one.public_key): Node(one.node_id, one.status == "online")
            for one in found
            if one.status != "unregistered"
        }

    def register(self, key: bytes) -> None:
        """Let a node in."""
        _do(lambda: self._client.RegisterNode(RegisterNodeRequest(public_key=key)))

    def unregister(self, node: int) -> None:
        """Let a node in no more."""
        _do(lambda: self._client.UnregisterNode(UnregisterNodeRequest(node_id=node)))

    def runs(self) -> dict[int, Status]:
        """The last runs."""
        found = _do(lambda: self._client.ListRuns(ListRunsRequest(limit=_LATEST))).run_dict
        return {number: Status(one.status.status) for number, one in found.items()}

    def start(self, bundle: bytes, configuration: dict[str, str]) -> int:
        """Start a run; its number."""
        told = {name: Scalar(string=value) for name, value in configuration.items()}
        request = StartRunRequest(fab=Fab(content=bundle), override_config=told)
        number: int = _do(lambda: self._client.StartRun(request)).run_id
        if not number:
            raise Conflict("Flower did not take the run")
        return number

    def stop(self, number: int) -> None:
        """Stop a run."""
        _do(lambda: self._client.StopRun(StopRunRequest(run_id=number)))

    def logs(self, number: int, *, follow: bool) -> Iterator[str]:
        """What a run's server wrote; with `follow` until the run ends."""
        stream = self._client.StreamLogs(StreamLogsRequest(run_id=number))
        for answer in _each(stream):
            yield answer.log_output
            if not follow:
                return

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()


def _each(stream: Iterator[T]) -> Iterator[T]:
    while (found := _do(lambda: next(stream, None))) is not None:
        yield found


def _do(call: Callable[[], T]) -> T:
    try:
        return call()
    except httpx.HTTPStatusError as error:
        if error.response.is_client_error:
            raise Conflict(f"Flower refused ({error.response.status_code})") from error
        raise Unavailable(f"the SuperLink failed ({error.response.status_code})") from error
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"the SuperLink does not answer ({type(error).__name__})") from error
