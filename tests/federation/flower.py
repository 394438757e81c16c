"""Flower's own processes on loopback, with this test in the place of the server of a run, and a site's trainer."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message, RecordDict
from flwr.common.serde import run_from_proto
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest, SendTaskHeartbeatRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid

from archive import federation_keys
from archive.errors import Unavailable
from archive.federation_roles import Joined, write_role
from archive.purpose import Purpose
from archive.settings import Settings
from federation import fab
from federation.code import code_hash
from federation.hub.control import Control
from federation.manifest import Kind, Manifest, sign
from federation.message import Question, question_record
from federation.training.task import Weights
from gateway.fleet import flower, loopback
from tests.live import eventually

HUB, SITE = "hub", "site-a"
HUB_KEY = Ed25519PrivateKey.from_private_bytes(b"the key of a hub of some tests..")
WEIGHTS: Weights = {"layer": np.arange(6, dtype=np.float32).reshape(2, 3)}


def manifest_of(run: str, **changes: Any) -> Manifest:
    """A run of everything that the site holds, by the program as it is."""
    made = Manifest(
        run=run,
        kind=Kind.TRAINING,
        task="density",
        dataset="everything",
        purpose=Purpose.RESEARCH,
        hub=HUB,
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        rounds=20,
        min_sites=1,
        code=code_hash(),
        initial="0" * 64,
    )
    return replace(made, **changes)


def become_site(settings: Settings) -> None:
    """Join a hub that nobody can reach."""
    federation_keys.make(settings)
    key = federation_keys.public_bytes(HUB_KEY)
    text = base64.b64encode(key).decode()
    write_role(settings, Joined(SITE, "https://127.0.0.1:9", HUB, text, "2026-11-23T00:00:00+00:00"))


def offer(database: psycopg.Connection, manifest: Manifest) -> None:
    """What the hub offers, as the trainer keeps it."""
    text = manifest.to_bytes()
    database.execute(
        "insert into offered_run (run, hub, manifest, signature, state) values (%s, %s, %s, %s, 'running')",
        [manifest.run, manifest.hub, text, sign(text, HUB_KEY)],
    )


class Link:
    """A SuperLink, and the SuperNode of a site that dials it without gateways."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self._folder = settings, folder
        self._files = loopback.ensure(settings)
        self._ports = flower.choose_ports(settings)
        self._stack = ExitStack()

    def start(self) -> "Link":
        files, address = self._files, f"{flower.HOST}:{self._ports.superlink}"
        superlink = flower.superlink_command(self.settings)
        place = superlink.index("--isolation")
        superlink[place + 1] = "process"
        self.spawn("superlink", superlink)
        self.control = eventually(self._control)
        self.control.register(federation_keys.node_public_bytes(federation_keys.node_key(self.settings)))
        supernode = flower.supernode_command(self.settings)
        supernode[supernode.index("--superlink") + 1] = address
        self.supernode = self.spawn("supernode", supernode)
        self.address, self.authority = address, files.authority.read_bytes()
        return self

    def _control(self) -> Control | None:
        control = Control(self.settings)
        try:
            control.nodes()
        except Unavailable:
            control.close()
            return None
        return control

    def spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Run a program that ends with this test."""
        log = (self._folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdout=log,
            stderr=log,
            env=flower.environment(self.settings, os.environ) | self.settings.environment,
            start_new_session=True,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def trainer(self, work: str = "tests.federation.works:work") -> subprocess.Popen[bytes]:
        """The site's trainer, doing another work in a round than the program's."""
        called = f"from tests.federation.works import main; main({work!r})"
        return self.spawn("trainer", [sys.executable, "-c", called])

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")

    def stop(self) -> None:
        self._stack.close()


class Server:
    """The server of a run, which asks the site what the test tells it to."""

    def __init__(self, link: Link, run: str, bundle: bytes | None = None) -> None:
        link.control.start(fab.build() if bundle is None else bundle, {"run": run})
        token = eventually(lambda: _acquire(link))
        self.grid = HttpGrid(link.address, root_certificates=link.authority, token=token)
        told = self.grid._runtime_client.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id = told.task_id
        TaskIdentity.run_id = told.run.run_id
        TaskIdentity.node_id = told.context.node_id
        self.grid.set_run(run_from_proto(told.run))

    def ask(self, record: RecordDict, number: int, kind: str = "train") -> str:
        """Send a message to the site; its identifier."""
        (node,) = eventually(lambda: list(self.grid.get_nodes()))
        message = Message(record, node.node_id, kind, ttl=600.0, group_id=str(number))
        (sent,) = self.grid.push_messages([message])
        return str(sent)

    def answers(self, sent: Sequence[str]) -> list[Message]:
        """What the site answered to the messages, in their order."""
        found: dict[str, Message] = {}

        def are_there() -> bool:
            self.grid._runtime_client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
            for one in self.grid.pull_messages([each for each in sent if each not in found]):
                found[one.metadata.reply_to_message_id] = one
            return len(found) == len(sent)

        eventually(are_there)
        return [found[each] for each in sent]

    def close(self) -> None:
        self.grid.close()


def question(manifest: Manifest, number: int, weights: Weights = WEIGHTS) -> RecordDict:
    """What a hub asks in a round of training."""
    return question_record(Question(manifest.run, manifest.sha256, number, weights=weights))


def _acquire(link: Link) -> str:
    client = RuntimeHttpClient.from_server_address(
        link.address, False, link.authority, [RuntimeVersionHttpInterceptor("SuperExec")]
    )
    with client:
        return str(client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])).token)


@contextmanager
def linked(settings: Settings, folder: Path) -> Iterator[Link]:
    """Flower's processes for a site that has joined."""
    become_site(settings)
    link = Link(settings, folder)
    try:
        yield link.start()
    finally:
        link.stop()
