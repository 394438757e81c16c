"""What a hub of 30 sites holds in memory, round after round, while one in five drops out of each.

The hub is a whole node. Its sites are simulated in a process of their own: their keys, tokens, statements and calls are
real, by Flower's own connection and the relay's code, but each learns by adding a little. Who drops out goes amid its
upload, or before it answers, and is back after a few seconds.
"""

import base64
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvicorn
from flwr.app import Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, pull_objects
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_connection import http_request_response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from archive import answer, federation_keys
from archive.answer import Answer, Decision
from archive.federation_roles import Joined, read_site
from archive.migration import migrate
from archive.settings import Settings
from benchmarks.report import family, keep
from federation.manifest import Manifest, parse_manifest
from federation.message import EVALUATE, Reply, read_question, reply_record
from federation.provenance import statement as statements
from federation.provenance.statement import FIRST, Statement
from federation.training.task import Weights, task_of
from federation.training.weights import weights_hash
from gateway.fleet import dialling, loopback
from gateway.fleet.outward import Outward
from tests.federation.live import HUB, Federation, federation
from tests.federation.nodes import Node
from tests.federation.teaching import is_over, look
from tests.live import eventually, find_free_ports

SITES, ROUNDS, DROPPING = 30, 15, 0.2
TASK = "lesions"
AWAY, PAUSE = 5.0, 1.0  # seconds
MIB = 1024**2


def main() -> None:
    with federation(0) as nodes:
        homes = _join(nodes)
        terms = f"--task {TASK} --dataset screening --rounds {ROUNDS} --min-sites {SITES * 2 // 3}"
        run = str(nodes.tell(HUB, "run", "start", *terms.split())[0]["run"])
        with subprocess.Popen([sys.executable, "-m", __spec__.name, run, *map(str, homes)]) as sites:
            try:
                rows = _watch(nodes, run)
            finally:
                sites.terminate()
        found = look(nodes, run)
        assert found["state"] == "done", found["message"]
        keep("many_sites", rows, sites=SITES, dropping=DROPPING, weights=_weights_bytes())


def _weights_bytes() -> int:
    return sum(each.nbytes for each in task_of(TASK).initial(0).values())


def _join(nodes: Federation) -> list[Path]:
    """Let so many sites ask, and be approved; their homes."""
    hub = nodes.hub
    with hub.database() as database:
        database.execute("create database sites")
    address = hub.settings.database_url.replace("/senogate?", "/sites?")
    migrate(address)
    authority = Path(hub.settings.tls_certificate).parent / "authority.pem"
    homes = []
    for number in range(SITES):
        node = Node(hub.home.parent / f"simulated-{number}", address)
        node.environment["SENOGATE_FEDERATION_AUTHORITIES"] = str(authority)
        line = nodes.tell(HUB, "invite", f"site-{number}")[0]["invitation"]
        asked = node.told("join", stdin=line)[0]
        nodes.tell(HUB, "approve", f"site-{number}", asked["fingerprint"])
        (node.settings.home / "authority").write_text(str(authority))
        homes.append(node.settings.home)
    return homes


def _watch(nodes: Federation, run: str) -> list[dict[str, Any]]:
    """Memory of the hub's parts as each round ends."""
    rows: list[dict[str, Any]] = []

    def is_next() -> bool:
        found = look(nodes, run)
        while len(rows) < found["round"]:
            sites = found["rounds"][len(rows) + 1][2]
            absent = sum("absent" in told for told in sites.values())
            rows.append({"round": len(rows) + 1, "absent": absent} | _memory(nodes.hub.pid))
            print(rows[-1], flush=True)
        return is_over(nodes, run)

    eventually(is_next, 3000)
    return rows


def _memory(pid: int) -> dict[str, float]:
    """MiB of each part's own: what it shares is counted in parts (PSS)."""
    held: dict[str, float] = {}
    for process in family(pid):
        try:
            part = _part(process)
            held[part] = held.get(part, 0.0) + process.memory_full_info().pss / MIB
        except psutil.NoSuchProcess:
            continue
    return {part: round(size, 1) for part, size in sorted(held.items())} | {
        "all_mib": round(sum(held.values()), 1)
    }


def _part(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    marks = ("postgres", "Orthanc", "superlink", "serverapp", "superexec", "conductor", "gateway", "worker")
    return next((mark for mark in marks if mark.lower() in line.lower()), "others")


@dataclass
class Simulated:
    """A site: it waits for questions, answers them, and goes away now and then."""

    settings: Settings
    joined: Joined
    relay: str
    authority: bytes
    manifest: Manifest
    chance: random.Random
    last: dict[int, str] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        key = federation_keys.node_key(self.settings)
        while not stop.is_set():
            with http_request_response(self.relay, False, self.authority, (key, key.public_key())) as calls:
                _, receive, send, _, _, pull, push, confirm = calls
                while not stop.wait(PAUSE):
                    if (told := receive()) is None:
                        continue
                    if not self._answer(told, send, pull, push, confirm):
                        break
            stop.wait(AWAY)

    def _answer(self, told: Any, send: Any, pull: Any, push: Any, confirm: Any) -> bool:
        """Take a question and answer it; False where the site goes amid it."""
        message, tree = told
        run, identifier = message.metadata.run_id, message.metadata.message_id
        wanted = [one.object_id for one in iterate_object_tree(tree)]
        contents = pull_objects(wanted, pull_object_fn=lambda one: pull(run, one))
        confirm(run, identifier)
        question = inflate_object_from_contents(identifier, contents)
        drops = self.chance.random()
        if drops < DROPPING / 2:
            return False
        reply = Message(self._record(question), reply_to=message)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        missing, session = send(reply, get_object_tree(reply), 0.1)
        for number, (name, one) in enumerate(get_all_nested_objects(reply).items()):
            if drops < DROPPING and number == 1:
                return False
            if name in missing:
                push(run, session, name, one.deflate())
        return True

    def _record(self, message: Message) -> RecordDict:
        like = task_of(self.manifest.task).initial(self.manifest.seed)
        asked = read_question(message.content, like)
        came = asked.weights or {}
        trains = message.metadata.message_type != EVALUATE
        change = np.float32(1e-4 if asked.round % 2 else -1e-4)
        goes = {name: one + change for name, one in came.items()} if trains else came
        metrics = {"primary": asked.round / 100, "loss": 1.0, "held_out": 10.0, "examples": 50.0}
        said = self._state(asked.round, came, goes, trains=trains, metrics=metrics)
        self.last[asked.round] = said.sha256
        signature = statements.sign(said, federation_keys.federation_key(self.settings))
        return reply_record(Reply(metrics, said.to_bytes(), signature, goes if trains else None))

    def _state(
        self, number: int, came: Weights, goes: Weights, *, trains: bool, metrics: Mapping[str, float]
    ) -> Statement:
        before = [one for one in self.last if one < number]
        return Statement(
            run=self.manifest.run, round=number, kind="train" if trains else EVALUATE, site=self.joined.name,
            manifest=self.manifest.sha256, permit="P1", dataset="screening", dataset_version="1" * 64,
            cohort="2" * 64, opt_outs="3" * 64, studies=50, patients=50, code=self.manifest.code,
            weights_in=weights_hash(came), weights_out=weights_hash(goes), metrics=metrics,
            at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            previous=self.last[max(before)] if before else FIRST,
        )  # fmt: skip


def _simulate(run: str, homes: list[str]) -> None:
    """All sites in this process, until it is ended."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    found = [_site(Path(home)) for home in homes]
    files = loopback.ensure(found[0][0])
    (port,) = find_free_ports(1)
    threading.Thread(target=_relay, args=(found, files, port), daemon=True).start()
    stop = threading.Event()
    for number, (settings, joined) in enumerate(found):
        manifest = _approve(settings, joined, run)
        one = Simulated(
            settings,
            joined,
            f"127.0.0.1:{port}",
            files.authority.read_bytes(),
            manifest,
            random.Random(number),
        )
        threading.Thread(target=one.run, args=(stop,), daemon=True).start()
    stop.wait()


def _site(home: Path) -> tuple[Settings, Joined]:
    settings = Settings(home=home, federation_authorities=(home / "authority").read_text())
    joined = read_site(settings)
    assert joined
    return settings, joined


def _approve(settings: Settings, joined: Joined, run: str) -> Manifest:
    with dialling.client(settings, joined) as client:
        manifest = parse_manifest(
            base64.b64decode(client.get(f"/federation/v1/runs/{run}").json()["manifest"])
        )
        said = Answer(run, manifest.sha256, joined.name, Decision.APPROVED, datetime.now(UTC))
        texts = {
            "answer": said.to_bytes(),
            "signature": answer.sign(said, federation_keys.federation_key(settings)),
        }
        sent = {name: base64.b64encode(text).decode() for name, text in texts.items()}
        client.post(f"/federation/v1/runs/{run}/answer", json=sent).raise_for_status()
    return manifest


def _relay(sites: list[tuple[Settings, Joined]], files: loopback.Loopback, port: int) -> None:
    """The relays of all sites as one, which knows them by their nodes' keys."""
    ways: dict[str, Outward] = {}

    async def call(request: Request) -> Response:
        name = request.headers["flwr-public-key"]
        if not ways:
            for settings, joined in sites:
                key = federation_keys.node_public_bytes(federation_keys.node_key(settings))
                text = base64.b64encode(key).decode()
                ways[text] = Outward(dialling.async_client(settings, joined), text)
        return await ways[name].call(request)

    app = Starlette(routes=[Route("/v1/fleet/{call:path}", call, methods=["POST"])])
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_config=None, lifespan="off",
        ssl_certfile=str(files.certificate), ssl_keyfile=str(files.key),
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:]:
        _simulate(sys.argv[1], sys.argv[2:])
    else:
        main()
