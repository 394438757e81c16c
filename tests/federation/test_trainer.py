"""A site's trainer between real Flower processes: what it answers, and what a work that goes wrong costs."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import psycopg
import pytest

pytest.importorskip("flwr")

from flwr.cli.build import build_fab_from_files

from archive import federation_keys, permits
from archive.permits import Terms, Wanted
from archive.purpose import Purpose
from archive.settings import Settings, load
from federation import fab
from federation.manifest import Manifest
from federation.message import read_reply
from federation.provenance import statement as statements
from federation.site.approval import NEEDED, Refusal
from federation.site.following import connected
from federation.training.weights import weights_hash
from tests import databases
from tests.federation import works
from tests.federation.flower import HUB, WEIGHTS, Link, Server, linked, manifest_of, offer, question
from tests.live import LiveSite, eventually


@pytest.fixture(scope="module")
def settings(site: LiveSite, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    environment = {
        "SENOGATE_HOME": str(tmp_path_factory.mktemp("home")),
        "SENOGATE_DATABASE_URL": databases.create(site.settings.database_url),
        "SENOGATE_FEDERATION_TRAINING_SECONDS": "3",
        "SENOGATE_FEDERATION_TRAINING_MEMORY": "1024",
    }
    settings = load(environment)
    Path(settings.secrets).mkdir(mode=0o700)
    return settings


@pytest.fixture(scope="module")
def link(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    with linked(settings, tmp_path_factory.mktemp("logs")) as made:
        yield made


@pytest.fixture(scope="module")
def trainer(link: Link) -> list[Popen[bytes]]:
    """The trainer that runs now, in a list, so that a test may put another in its place."""
    return [link.trainer()]


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def permit(settings: Settings) -> str:
    """The one permit for the hub to train on everything."""

    async def grant(connection: psycopg.AsyncConnection) -> str:
        wanted = Wanted(f"federation:{HUB}", ("everything",), Purpose.RESEARCH, "law", NEEDED)
        await revoke_all(connection)
        found = await permits.request(connection, wanted, by="test")
        await permits.grant(connection, found, Terms(), by="test")
        return found

    return connected(settings, grant)


@pytest.fixture
def run(database: psycopg.Connection, permit: str) -> Manifest:
    """A run that the site has approved."""
    manifest = manifest_of(f"R{uuid.uuid4().hex[:16]}")
    offer(database, manifest)
    approve(database, manifest)
    return manifest


def approve(database: psycopg.Connection, manifest: Manifest, decision: str = "approved") -> None:
    database.execute(
        "update offered_run set decision = %s, decided_by = 'steward' where run = %s",
        [decision, manifest.run],
    )


@contextmanager
def serving(link: Link, manifest: Manifest, bundle: bytes | None = None) -> Iterator[Server]:
    server = Server(link, manifest.run, bundle)
    yield server
    server.close()


def trail(database: psycopg.Connection, manifest: Manifest) -> list[dict[str, Any]]:
    rows = database.execute("select content from audit order by number").fetchall()
    found = [json.loads(content) for (content,) in rows]
    return [one for one in found if one["event"] == "training.round" and one["detail"]["run"] == manifest.run]


def test_each_work_that_goes_wrong_costs_its_own_round(link, trainer, database, run):
    rounds = [works.CRASH, works.HANG, works.RAISE, works.REFUSE, works.FILL, works.ANSWER]
    with serving(link, run) as server:
        answers = server.answers([server.ask(question(run, number), number) for number in rounds])
    codes = [answer.error.code if answer.has_error() else None for answer in answers]
    assert codes == [8, 8, 8, 6, 8, None]  # CLIENT_APP_CRASHED, MOD_FAILED_PRECONDITION (flwr, ErrorCode)
    assert trainer[0].poll() is None
    outcomes = [one["outcome"] for one in trail(database, run)]
    assert outcomes == ["failed"] * 5 + ["success"]
    assert "a value that no log may have" not in link.log("trainer")


def test_what_leaves_is_signed_and_on_record(link, trainer, settings, database, run, permit):
    with serving(link, run) as server:
        (answer,) = server.answers([server.ask(question(run, 9), 9)])
    reply = read_reply(answer.content, WEIGHTS)
    key = federation_keys.federation_key(settings).public_key()
    statements.verify(reply.statement, reply.signature, key)
    said = statements.parse_statement(reply.statement)
    assert reply.weights
    assert said.weights_out == weights_hash(reply.weights)
    assert (said.run, said.round, said.permit) == (run.run, 9, permit)
    learnt = database.execute("select patient_id, model, version from training_use where run = %s", [run.run])
    assert sorted(learnt) == [(patient, run.model, run.version) for patient in works.PATIENTS]


def test_a_statement_hangs_on_the_one_before(link, trainer, run):
    with serving(link, run) as server:
        answers = server.answers([server.ask(question(run, number), number) for number in (9, 10, 10)])
    texts = [read_reply(answer.content, WEIGHTS).statement for answer in answers]
    said = [statements.parse_statement(text) for text in texts]
    assert [one.previous for one in said] == [statements.FIRST, said[0].sha256, said[0].sha256]


def test_other_code_is_refused_and_nothing_of_it_runs(link, trainer, settings, database, run, tmp_path):
    canary = tmp_path / "canary"
    code = f"import pathlib\npathlib.Path({str(canary)!r}).touch()\napp = None\n"
    bundle = bundle_of(code)
    with serving(link, run, bundle) as server:
        (answer,) = server.answers([server.ask(question(run, 9), 9)])
    assert answer.error.code == 6
    assert answer.error.reason == str(Refusal.CODE)
    assert not canary.exists()
    assert not list(settings.home.rglob("bundle.py"))


def test_a_run_that_nobody_approved_gets_no_answer(link, trainer, database, permit):
    manifest = manifest_of(f"R{uuid.uuid4().hex[:16]}")
    offer(database, manifest)
    with serving(link, manifest) as server:
        (answer,) = server.answers([server.ask(question(manifest, 9), 9)])
    assert answer.error.reason == str(Refusal.UNDECIDED)
    assert trail(database, manifest)[0]["outcome"] == "refused"


def test_a_permit_that_is_revoked_ends_the_round_that_is_worked_on(
    link, trainer, settings, database, run, permit
):
    with serving(link, run) as server:
        sent = server.ask(question(run, works.WAIT), works.WAIT)
        eventually(lambda: list(settings.home.glob("begun-*")))
        connected(settings, revoke_all)
        (settings.home / "go-on").touch()
        (answer,) = server.answers([sent])
    assert answer.error.reason == str(Refusal.DATASET)
    assert [one["outcome"] for one in trail(database, run)] == ["refused"]
    assert not database.execute("select from training_use where run = %s", [run.run]).fetchone()


def test_a_trainer_that_is_killed_goes_on_where_it_was(link, trainer, settings, run):
    forget(settings)
    with serving(link, run) as server:
        sent = server.ask(question(run, works.WAIT), works.WAIT)
        (begun,) = eventually(lambda: list(settings.home.glob("begun-*")))
        trainer[0].kill()
        trainer[0].wait()
        worker = int(begun.name.partition("-")[2])
        eventually(lambda: not Path(f"/proc/{worker}").exists())
        (settings.home / "go-on").touch()
        trainer[0] = link.trainer()
        (answer,) = server.answers([sent])
    weights = read_reply(answer.content, WEIGHTS).weights
    assert weights
    assert np.array_equal(weights["layer"], WEIGHTS["layer"] + 1)


def forget(settings: Settings) -> None:
    for path in (*settings.home.glob("begun-*"), *settings.home.glob("go-on")):
        path.unlink()


async def revoke_all(connection: psycopg.AsyncConnection) -> None:
    for found in await permits.list_permits(connection, f"federation:{HUB}"):
        if found.state == "granted":
            await permits.revoke(connection, found.permit_id, "", by="test")


def bundle_of(code: str) -> bytes:
    """The hub's bundle with other code in it."""
    made, _ = build_fab_from_files({"pyproject.toml": fab._PROJECT.encode(), "bundle.py": code.encode()})
    return bytes(made)
