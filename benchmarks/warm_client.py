"""What a round costs beside the training: a site's warm client, and Flower's own process for each message.

SuperLink, SuperNode and client on loopback, without gateways; 4 MB of weights; training that takes no time. Both
clients have PyTorch loaded when they begin to train.
"""

import argparse
import json
import logging
import signal
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg
from flwr.app import Message
from flwr.cli.build import build_fab_from_files
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from archive import permits
from archive.federation_roles import read_site
from archive.permits import Terms, Wanted
from archive.purpose import Purpose
from archive.settings import load
from federation import fab
from federation.message import read_question
from federation.site.approval import NEEDED
from federation.site.following import connected
from federation.site.trainer import Trainer
from federation.site.work import Figures, Order, Outcome
from federation.training.weights import weights_hash
from gateway.fleet import flower
from tests.federation.flower import HUB, Link, Server, linked, manifest_of, offer, question
from tests.live import LiveSite, find_free_ports, temporary_home

NUMBERS = 1_000_000
LIKE = {"layer": np.zeros(NUMBERS, np.float32)}
_PRELOADED = ("torch", "benchmarks.warm_client")
_CLIENT = """
import torch
from flwr.app import ArrayRecord, Array, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    weights = message.content["weights"]["all"].numpy() + 1
    return Message(RecordDict({"weights": ArrayRecord({"all": Array(weights)})}), reply_to=message)
"""


def work(order: Order) -> list[bytes]:
    """Train for no time at all."""
    message = inflate_object_from_contents(order.head, dict(order.contents))
    assert isinstance(message, Message)
    came = read_question(message.content, LIKE).weights
    assert came
    go = {name: one + 1 for name, one in came.items()}
    figures = Figures(
        metrics={"loss": 1.0},
        weights_in=weights_hash(came),
        weights_out=weights_hash(go),
        dataset_version="1" * 64,
        cohort="2" * 64,
        opt_outs="3" * 64,
        studies=8,
        patients=("SGA",),
        number_of_patients=8,
        shapes=[(name, one.shape) for name, one in go.items()],
    )
    return Outcome(figures, go).to_parts()


def train() -> None:
    """A trainer that is told of no runs."""
    logging.basicConfig(level="INFO")
    logging.getLogger("httpx").setLevel("ERROR")
    settings, stop = load(), threading.Event()
    joined = read_site(settings)
    assert joined
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Trainer(
        settings, joined.name, lambda: None, stop, work="benchmarks.warm_client:work", preloaded=_PRELOADED
    ).run()


def _warm(link: Link) -> bytes:
    link.spawn("trainer", [sys.executable, "-c", "from benchmarks.warm_client import train; train()"])
    return fab.build()


def _cold(link: Link) -> bytes:
    """Flower's superexec, which starts a process for each message."""
    settings = link.settings
    link.spawn("superexec", [
        str(Path(sys.executable).with_name("flower-superexec")),
        *("--runtime-api-address", f"{flower.HOST}:{flower.read_ports(settings).supernode}"),
        *("--root-certificates", str(settings.federation / "tls" / "authority.pem")),
        *("--superexec-auth-secret-file", str(flower.runtime_secret(settings))),
    ])  # fmt: skip
    project = fab.build.__globals__["_PROJECT"]
    made, _ = build_fab_from_files({"pyproject.toml": project.encode(), "bundle.py": _CLIENT.encode()})
    return bytes(made)


async def _permit(connection: psycopg.AsyncConnection) -> None:
    wanted = Wanted(f"federation:{HUB}", ("everything",), Purpose.RESEARCH, "none", NEEDED)
    await permits.grant(
        connection, await permits.request(connection, wanted, by="bench"), Terms(), by="bench"
    )


def _rounds(link: Link, bundle: bytes, rounds: int) -> list[float]:
    """Seconds from a question to its answer, as the hub sees them; the first is not counted."""
    manifest = manifest_of(f"R{uuid.uuid4().hex[:16]}")
    with psycopg.connect(link.settings.database_url, autocommit=True) as database:
        offer(database, manifest)
        database.execute("update offered_run set decision = 'approved', decided_by = 'bench'")
    server, taken = Server(link, manifest.run, bundle), []
    for number in range(1, rounds + 2):
        began = time.perf_counter()
        sent = server.ask(question(manifest, number, {"layer": LIKE["layer"] + number}), number)
        (answer,) = server.answers([sent])
        assert not answer.has_error(), answer.error
        taken.append(time.perf_counter() - began)
    server.close()
    return taken[1:]


def _measure(database_url: str, client: Callable[[Link], bytes], rounds: int) -> list[float]:
    with temporary_home() as home:
        home.mkdir()
        settings = load({"SENOGATE_HOME": str(home), "SENOGATE_DATABASE_URL": database_url})
        Path(settings.secrets).mkdir(mode=0o700)
        with linked(settings, home) as link:
            taken = _rounds(link, client(link), rounds)
        for line in (home / "trainer.log").read_text().splitlines() if client is _warm else []:
            print(line, file=sys.stderr)
        return taken


def main() -> None:
    """Print the seconds of each round, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    with temporary_home() as home:
        site = LiveSite(home, find_free_ports(3)).start()
        try:
            connected(site.settings, _permit)
            for name, client in (("warm client", _warm), ("process for each message", _cold)):
                taken = _measure(site.settings.database_url, client, rounds)
                print(json.dumps({name: {"median": statistics.median(taken), "seconds": taken}}), flush=True)
        finally:
            site.stop()


if __name__ == "__main__":
    main()
