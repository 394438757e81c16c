"""The SuperNode's runtime API, by which a trainer takes its tasks and hands in what came of them.

A task stays one's own while heartbeats come, and may be taken up again by who knows its token: so a trainer that was
killed goes on where it was. What the hub sent is parsed nowhere here.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from flwr.app import Context, Message, RecordDict
from flwr.app.error import Error
from flwr.common.constant import SubStatus
from flwr.common.serde import message_from_proto, run_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest
from flwr.proto.message_pb2 import Message as MessageText
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TASK_TOKEN_HEADER, TaskType
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import push_message

from archive.errors import BadRequest, SenogateError, Unavailable
from federation.manifest import RUN

HEARTBEAT = 10.0
"""Seconds between two heartbeats; a task that has none for 60 is taken for lost (Flower's own figures)."""
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"


class TaskGone(Unavailable):
    """The SuperNode knows nothing of the task any more: it is another process, or the run has ended."""


class ContentGone(SenogateError):
    """The task is still to be answered, and what was asked is not known any more."""


@dataclass(frozen=True, slots=True)
class Task:
    """A message that is to be answered, without its content. `run` is what the hub calls the run, `bundle` the
    SHA-256 of the code that it sent along.
    """

    token: str
    node: int
    flower_run: int
    run: str
    bundle: str
    message: bytes
    tree: bytes
    tries: int = 0

    @property
    def kind(self) -> str:
        return str(self.head.metadata.message_type)

    @property
    def round(self) -> int:
        """Its round; 0 where the message names none."""
        text = str(self.head.metadata.group_id)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0

    @property
    def head(self) -> Message:
        """The message as Flower has it."""
        return message_from_proto(MessageText.FromString(self.message))

    @property
    def object_id(self) -> str:
        return str(ObjectTree.FromString(self.tree).object_id)

    def to_text(self) -> bytes:
        """As a trainer keeps it. It holds the token."""
        told = {name: getattr(self, name) for name in self.__slots__}
        told |= {name: base64.b64encode(told[name]).decode() for name in ("message", "tree")}
        return json.dumps(told).encode()


def read_task(text: bytes) -> Task:
    """Raises BadRequest."""
    try:
        told = json.loads(text)
        return Task(**told | {name: base64.b64decode(told[name]) for name in ("message", "tree")})
    except (ValueError, TypeError, KeyError) as error:
        raise BadRequest("this is no task") from error


class Runtime:
    """A SuperNode's runtime API. Where it does not answer methods raise Unavailable, for a lost task TaskGone."""

    def __init__(self, address: str, authority: bytes, secret: bytes) -> None:
        self._token = _Token()
        self._client = RuntimeHttpClient.from_server_address(
            address,
            insecure=False,
            root_certificates=authority,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperExec"),
                SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=frozenset({_ACQUIRE})),
                self._token,
            ],
        )

    def close(self) -> None:
        self._client.close()

    def acquire(self) -> Task | None:
        """The next task, None where there is none."""
        with self._as(""):
            found = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        if not found.HasField("task") or not found.token:
            return None
        with self._as(found.token):
            told = self._client.PullTaskInput(PullTaskInputRequest())
            sent = self._client.PullMessages(PullAppMessagesRequest())
        if not sent.messages_list:
            raise TaskGone("the task has no message")
        run = run_from_proto(told.run)
        return Task(
            token=str(found.token),
            node=int(told.context.node_id),
            flower_run=int(run.run_id),
            run=_named(run.override_config.get("run", "")),
            bundle=hashlib.sha256(told.fab.content).hexdigest(),
            message=bytes(sent.messages_list[0].SerializeToString()),
            tree=bytes(sent.message_object_trees[0].SerializeToString()),
        )

    def beat(self, task: Task) -> None:
        """Say that the task is worked on."""
        with self._as(task.token):
            if not self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success:
                raise TaskGone("the task is over")

    def content(self, task: Task, wait: Callable[[], None]) -> dict[str, bytes]:
        """What the message brings, by the hashes of its parts, as it came; `wait` is called until all of it is here.

        A task may be answered only after that: the SuperNode would lose a message that is confirmed too soon. Raises
        ContentGone.
        """
        wanted = [str(one.object_id) for one in iterate_object_tree(ObjectTree.FromString(task.tree))]
        found: dict[str, bytes] = {}
        while missing := [each for each in wanted if each not in found]:
            for each in missing:
                with self._as(task.token):
                    told = self._client.PullObject(
                        PullObjectRequest(
                            node=Node(node_id=task.node), run_id=task.flower_run, object_id=each
                        )
                    )
                if not told.object_found:
                    raise ContentGone("the SuperNode has the message no more")
                if told.object_available:
                    found[each] = told.object_content
                else:
                    wait()
        return found

    def answer(self, task: Task, answer: RecordDict | Error) -> None:
        """Hand in what came of a task, and be done with it."""
        failed = isinstance(answer, Error)
        context = Context(task.flower_run, task.node, {}, RecordDict(), {}, series_id=0)
        with self._as(task.token):
            self._client.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(
                    node=Node(node_id=task.node), run_id=task.flower_run, message_object_id=task.object_id
                )
            )
            push_message(self._client, Message(answer, reply_to=self._head(task)), context)
            self._client.PushTaskOutput(
                PushTaskOutputRequest(sub_status=SubStatus.FAILED if failed else SubStatus.COMPLETED)
            )

    @staticmethod
    def _head(task: Task) -> Message:
        head = task.head
        head.metadata.__dict__["_message_id"] = task.object_id
        return head

    @contextmanager
    def _as(self, token: str) -> Iterator[None]:
        """Speak of a task, and tell the SuperNode's silence and its refusals as errors of ours."""
        self._token.value = token
        try:
            yield
        except (httpx.HTTPStatusError, ObjectPushError) as error:
            raise TaskGone(f"the SuperNode does not go on with the task ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"the SuperNode does not answer ({type(error).__name__})") from None


def _named(run: object) -> str:
    """A run as the hub names it; empty for what can be none."""
    return run if isinstance(run, str) and RUN.fullmatch(run) else ""


class _Token:
    """Adds the token of the task that is spoken of."""

    value = ""

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        if self.value:
            context.request.headers[TASK_TOKEN_HEADER] = self.value
        return call_next(context)
