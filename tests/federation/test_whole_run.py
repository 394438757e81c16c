"""A run across real nodes, each with a network to itself whose one way out leads to the hub's gateway alone."""

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("flwr")
pytest.importorskip("torch")

from federation.hub import checkpoint  # noqa: E402
from federation.hub.proposal import folder_of  # noqa: E402
from federation.training.weights import Vector  # noqa: E402
from tests.federation.live import HUB, Federation, apart  # noqa: E402
from tests.federation.teaching import is_over, look, propose, teach  # noqa: E402
from tests.federation.wire import Wire  # noqa: E402
from tests.live import eventually  # noqa: E402

SITES = 3
KILLS = (
    [("relay", "site-1"), ("supernode", "site-2"), ("gateway", "site-3")],
    [("gateway", HUB), ("trainer", "site-1")],
)
"""Parts that are killed at once in the first round, and in the second."""
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def joined() -> Iterator[tuple[Federation, Wire]]:
    with apart(SITES) as (nodes, wire):
        teach(nodes)
        yield nodes, wire


@pytest.fixture(scope="module")
def trained(joined: tuple[Federation, Wire]) -> tuple[Federation, Wire, str]:
    nodes, wire = joined
    run = propose(nodes, rounds=2, sites=SITES)
    eventually(lambda: is_over(nodes, run), 600)
    return nodes, wire, run


def test_it_trains_to_its_end(trained: tuple[Federation, Wire, str]) -> None:
    nodes, _, run = trained
    found = look(nodes, run)
    assert (found["state"], found["round"], found["submissions"]) == ("done", 2, 1), found
    assert all(set(sites) == set(nodes.sites) for _, _, sites in found["rounds"][1:])


def test_nothing_but_the_hubs_gateway_was_ever_contacted(trained: tuple[Federation, Wire, str]) -> None:
    """From before the nodes started: no name was looked up, nobody else was called, and the hub called nobody."""
    nodes, wire, _ = trained
    assert not wire.refused
    assert all(wire.carried[name, HUB] and wire.carried[HUB, name] for name in nodes.sites)


def test_a_site_fetches_the_model_and_tells_of_whom_it_learnt(trained: tuple[Federation, Wire, str]) -> None:
    nodes, _, run = trained
    site = nodes.sites["site-1"]
    rows = json.loads(site.run("federation", "models", "--json").stdout)
    (row,) = [one for one in rows if one["run"] == run]
    of_version = (row["name"], "--version", row["version"])
    site.run("model", "fetch", *of_version, "--trust", row["signed_by"])
    with site.database() as connection:
        statement = "select distinct patient_id from training_use where (model, version) = (%s, %s)"
        patients = connection.execute(statement, (row["name"], row["version"])).fetchall()
    told = json.loads(site.run("model", "trace", *of_version, "--patient", patients[0][0], "--json").stdout)
    assert [one["site"] for one in told["uses"] if one["kind"] == "train"] == list(nodes.sites)
    assert told["withdrawal"]["patient_was_learnt_from"] and told["withdrawal"]["studies"][0]["proofs"]


@pytest.mark.fault
def test_sites_and_gateways_that_are_killed_cost_nothing(trained: tuple[Federation, Wire, str]) -> None:
    """The same run again, while parts of it are killed, comes to the same weights."""
    nodes, wire, whole = trained
    run = propose(nodes, rounds=2, sites=SITES)
    for done, parts in enumerate(KILLS):
        eventually(
            lambda done=done: look(nodes, run)["flower_run"] and look(nodes, run)["round"] >= done, 300
        )
        for part, node in parts:
            nodes.kill(part, node)
    eventually(lambda: is_over(nodes, run), 600)
    assert look(nodes, run)["state"] == "done" and not wire.refused
    assert float(np.abs(weights(nodes, run) - weights(nodes, whole)).max()) <= 1e-6


def weights(nodes: Federation, run: str) -> Vector:
    """Those after the last round."""
    with nodes.hub.database() as database:
        row = database.execute("select sha256 from run where run = %s", [run]).fetchone()
    found = checkpoint.latest(folder_of(nodes.hub.settings, run), row[0]) if row else None
    assert found and found.round == 2
    return found.weights


@pytest.mark.parametrize(
    ("node", "attempt"),
    [
        ("site-1", "socket.getaddrinfo('flower.ai', 443)"),
        ("site-1", "socket.create_connection(('192.0.2.1', 443), 0.5)"),
        ("site-1", "socket.create_connection(('10.77.0.1', 4242), 0.5)"),
        ("site-1", "socket.create_connection(('10.77.0.3', 8443), 0.5)"),
        (HUB, "socket.create_connection(('10.77.0.2', 8443), 0.5)"),
    ],
    ids=["a-name", "elsewhere", "another-port", "another-site", "from-the-hub"],
)
def test_the_wire_sees_and_stops_what_else_is_tried(
    trained: tuple[Federation, Wire, str], node: str, attempt: str
) -> None:
    _, wire, _ = trained
    before = len(wire.refused)
    script = f"import socket; {attempt}"
    environment = {"RES_OPTIONS": "timeout:1 attempts:1"}
    done = subprocess.run(
        [*wire.inside(node), sys.executable, "-c", script], env=environment, capture_output=True
    )
    assert done.returncode and len(wire.refused) > before
    del wire.refused[before:]
