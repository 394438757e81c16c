"""Flower's grid without Flower's processes: nodes answer when they are told to, as its SuperLink has them answer."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from flwr.app import Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

Work = Callable[[RecordDict, str], RecordDict | Error | None]


@dataclass
class Clock:
    """Time that passes only where somebody waits; what is due happens then."""

    now: float = 0.0
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def at(self, moment: float, what: Callable[[], None]) -> None:
        self.due.append((moment, what))

    def pause(self, seconds: float) -> None:
        self.now += seconds
        ready = [one for one in self.due if one[0] <= self.now]
        self.due = [one for one in self.due if one[0] > self.now]
        for _, what in ready:
            what()


class Inline:
    """Does at once what it is given."""

    def submit(self, fn: Any, argument: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(argument))
        return done


@dataclass
class FakeNode:
    """A SuperNode: `work` answers what it is asked, or None for never; `delay` in seconds."""

    number: int
    key: bytes
    work: Work
    clock: Clock
    delay: float = 0.0
    is_online: bool = True
    activation: int = 1

    def restart(self) -> None:
        self.activation += 1
        self.is_online = True


class FakeGrid(Grid):
    """Messages wait for replies; an unknown one, and one to a node that went, is answered with Flower's errors."""

    def __init__(self, nodes: Iterable[FakeNode], clock: Clock) -> None:
        self.nodes = {node.number: node for node in nodes}
        self.asked: list[tuple[int, str, str]] = []
        self._clock, self._ids = clock, count(1)
        # What Flower tells its process before it runs a server: messages name it.
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
        self._sent: dict[str, tuple[FakeNode, float, RecordDict | Error | None, int]] = {}

    def set_run(self, run: Any) -> None: ...

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *_: Any, **__: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(self, *_: Any, **__: Any) -> Iterable[Message]:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return [node.node_id for node in self.get_nodes()]

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [
            NodeInfo(node_id=one.number, public_key=one.key, last_activated_at=str(one.activation))
            for one in self.nodes.values()
            if one.is_online
        ]

    def node_of(self, message_id: str) -> FakeNode | None:
        """Which node a message was sent to, whose reply was not fetched."""
        return self._sent[message_id][0] if message_id in self._sent else None

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        node = self.nodes[message.metadata.dst_node_id]
        self.asked.append((node.number, message.metadata.message_type, message.metadata.group_id))
        message_id = f"m{next(self._ids)}"
        reply = node.work(message.content, message.metadata.message_type)
        self._sent[message_id] = (node, self._clock.now + node.delay, reply, node.activation)
        return message_id

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [found for one in message_ids if (found := self._pull(one)) is not None]

    def _pull(self, message_id: str) -> Message | None:
        if message_id not in self._sent:
            return _message(message_id, Error(ErrorCode.MESSAGE_UNAVAILABLE, "unknown"))
        node, ready, reply, activation = self._sent[message_id]
        if not node.is_online:
            reply, ready, activation = Error(ErrorCode.NODE_UNAVAILABLE, "away"), 0.0, node.activation
        if reply is None or self._clock.now < ready or activation != node.activation:
            return None  # a node that was started anew knows nothing of it
        del self._sent[message_id]
        return _message(message_id, reply)

    @property
    def outstanding(self) -> int:
        return len(self._sent)


def _message(reply_to: str, reply: RecordDict | Error) -> Message:
    metadata = Metadata(1, "reply", 2, 1, reply_to, "", 0.0, 60.0, "train")
    if isinstance(reply, Error):
        return make_message(metadata, error=reply)
    return make_message(metadata, content=reply)
