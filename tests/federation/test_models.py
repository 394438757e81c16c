"""A model of the federation: registered at the hub, fetched by a site, and what it was made of."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import cohorts, federation_keys, provenance, runs, secrets
from archive.errors import NotFound
from archive.runs import Run
from federation.hub import registration
from federation.manifest import Manifest, sign
from federation.provenance import cohort, passport
from federation.provenance.record import Reason, Refused, Signed
from federation.provenance.verification import verify
from federation.site_key import derive
from federation.training.task import Weights
from federation.training.weights import weights_hash
from inference.density import CATEGORIES
from inference.network import build_classifier
from inference.nyu import _passport
from inference.package import Package
from senogate.deidentifier import deidentifier_of
from senogate.optout import pseudonyms_of
from tests import commands
from tests.federation.nodes import Node, serve_node
from tests.federation.records import MANIFEST, key, sha, signed, state
from tests.live import PATIENCE

NETWORK = build_classifier([(np.eye(4, 200, dtype=np.float32), np.zeros(4, np.float32))], "test")
STUDIES = [f"1.2.3.{number}" for number in range(1, 9)]  # original UIDs
SITES = ("aachen", "breda")
assert len(CATEGORIES) == 4


class Task:
    """As much of a task as the end of a run asks for."""

    def export(self, weights: Weights) -> tuple[bytes, dict[str, Any]]:
        tables = {name: table for name, table in _passport(published=False).items() if name != "training"}
        return NETWORK, tables


def weights(number: int) -> Weights:
    return {"layer": np.full((2, 3), number, np.float32)}


@dataclass
class Hub:
    """A hub's node, where a run goes on round by round as a server of runs has it."""

    node: Node
    run: Run
    manifest: Manifest
    keys: dict[str, Ed25519PrivateKey]
    cohorts: dict[str, str]

    @property
    def private(self) -> Ed25519PrivateKey:
        return federation_keys.federation_key(self.node.settings)

    def state(self, site: str, standing: passport.Standing, **changed: Any) -> Signed:
        """What a site has to state of a round that begins so."""
        number = standing.round
        one = state(site, number, standing.hangs_on(site) or "0" * 64, self.manifest, permit=f"P{len(site)}")
        trains = number <= self.manifest.rounds
        came, cohort_of = standing.weights_in, self.cohorts.get(site, one.cohort)
        left = weights_hash(weights(number)) if trains else came
        one = replace(one, weights_in=came, weights_out=left, cohort=cohort_of, **changed)
        return signed(one, self.keys[site])

    def check(self, one: Signed, standing: passport.Standing) -> Signed:
        said = one.statement
        member = _Member(said.site, self.keys[said.site].public_key().public_bytes_raw())
        return passport.check(
            said.to_bytes(), one.signature, member, standing, said.weights_out, stage=said.kind
        )

    def round(self, connection: psycopg.Connection, number: int) -> str:
        trains = number <= self.manifest.rounds
        standing = passport.standing(connection, self.run.run, number, weights_hash(weights(number - 1)))
        told = [self.check(self.state(site, standing), standing) for site in reversed(self.keys)]
        out = weights_hash(weights(number if trains else number - 1))
        absent = {"celle": Reason.NO_ANSWER}
        return passport.record_round(
            *(connection, self.private, standing, told, absent, out, {"primary": 0.5}),
            stage="train" if trains else "evaluate",
        )


@dataclass(frozen=True)
class _Member:
    name: str
    site_key: bytes


@pytest.fixture(scope="module")
def nodes(site, tmp_path_factory) -> Iterator[tuple[Node, Node]]:
    """A hub and a site that it has approved."""
    with ExitStack() as stack:
        hub, node = (stack.enter_context(serve_node(site, tmp_path_factory.mktemp("node"))) for _ in "hs")
        for one in (hub, node):
            secrets.write(secrets.model_key(one.settings), Ed25519PrivateKey.generate().private_bytes_raw())
            secrets.write(Path(one.settings.secrets, secrets.SITE_KEY), bytes(32))
        hub.run("init", "hub")
        fingerprint = node.told("join", stdin=hub.invite("aachen"))[0]["fingerprint"]
        hub.run("approve", "aachen", fingerprint)
        yield hub, node


@pytest.fixture(scope="module")
def begun(nodes: tuple[Node, Node]) -> "type[_Runs]":
    _Runs.hub, _Runs.node = nodes
    return _Runs


class _Runs:
    """Makes runs at the hub, one after the other."""

    hub: Node
    node: Node
    number = 0

    @classmethod
    def begin(cls, **changed: Any) -> Hub:
        cls.number += 1
        initial = weights_hash(weights(0))
        manifest = replace(MANIFEST, run=f"R{cls.number:016x}", rounds=2, initial=initial, **changed)
        private = federation_keys.federation_key(cls.hub.settings)
        pseudonyms = map(deidentifier_of(cls.node.settings).uid, STUDIES)
        leaves = cohort.leaves(derive(cls.node.settings, "cohort"), pseudonyms)
        own = federation_keys.federation_key(cls.node.settings)
        with cls.hub.database() as connection:
            text = manifest.to_bytes()
            runs.add(connection, manifest.run, text, sign(text, private), by="test")
            run = runs.find(connection, manifest.run)
            passport.begin(connection, run, private)
        with cls.node.database() as connection:
            cohorts.keep(connection, cohort.root(leaves), leaves)
        return Hub(
            cls.hub, run, manifest, {"aachen": own, "breda": key("breda")}, {"aachen": cohort.root(leaves)}
        )


@pytest.fixture
def hub(begun) -> Hub:
    return begun.begin()


@pytest.fixture(scope="module")
def registered(begun) -> tuple[Hub, Package]:
    """A model of a whole run."""
    hub = begun.begin()
    with pytest.MonkeyPatch.context() as patch, hub.node.database() as connection:
        patch.setattr(registration, "task_of", lambda _: Task())
        for number in (1, 2, 3):
            hub.round(connection, number)
        made = registration.register(hub.node.settings, connection, hub.run, weights(2), hub.private)
    return hub, made


def model(node: Node, *arguments: str, check: bool = True) -> CompletedProcess[str]:
    done = commands.run(("model", *arguments), node.environment, "", PATIENCE)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


class TestRounds:
    def test_are_chained_and_verify(self, hub):
        with hub.node.database() as connection:
            head = [hub.round(connection, number) for number in (1, 2, 3)][-1]
            lines = passport.lines(connection, head)
        found = verify(b"".join(line.to_bytes() for line in lines))
        assert [(one.round, one.stage) for one in found.rounds] == [
            (1, "train"), (2, "train"), (3, "evaluate"),
        ]  # fmt: skip
        assert [one.statement.site for one in found.rounds[0].statements] == list(SITES)

    def test_that_are_done_again_hang_on_the_one_that_went_on(self, hub):
        with hub.node.database() as connection:
            hub.round(connection, 1)
            again = hub.round(connection, 1)
            lines = passport.lines(connection, hub.round(connection, 2))
        assert lines[1].sha256 == again and len(lines) == 3

    def test_can_not_be_changed_or_removed(self, hub):
        with hub.node.database() as connection:
            hub.round(connection, 1)
            for statement in ("update provenance set content = ''", "delete from provenance"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)

    def test_hang_on_one_of_their_own_run(self, hub, begun):
        other = begun.begin()
        with hub.node.database() as connection:
            head = provenance.latest(connection, other.run.run)
            standing = passport.standing(connection, hub.run.run, 1, hub.manifest.initial)
            moved = replace(standing, head=head.sha256)
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                passport.record_round(connection, hub.private, moved, [], {}, sha("out"), {})

    def test_do_not_begin_with_weights_of_no_round(self, hub):
        with hub.node.database() as connection, pytest.raises(NotFound):
            passport.standing(connection, hub.run.run, 2, sha("other"))

    def test_a_run_begins_once(self, hub):
        with hub.node.database() as connection:
            passport.begin(connection, hub.run, hub.private)
            assert provenance.latest(connection, hub.run.run).number == 0


class TestCheck:
    def test_a_statement_of_another_site_is_refused(self, hub):
        with hub.node.database() as connection:
            standing = passport.standing(connection, hub.run.run, 1, hub.manifest.initial)
        one = hub.state("aachen", standing)
        with pytest.raises(Refused) as refused:
            passport.check(
                *(one.statement.to_bytes(), one.signature, _Member("breda", one.key), standing),
                one.statement.weights_out,
            )
        assert refused.value.reason == Reason.STATEMENT

    def test_one_that_another_key_signed_is_refused(self, hub):
        with hub.node.database() as connection:
            standing = passport.standing(connection, hub.run.run, 1, hub.manifest.initial)
        forged = signed(hub.state("aachen", standing).statement, key("mallory"))
        with pytest.raises(Refused) as refused:
            hub.check(forged, standing)
        assert refused.value.reason == Reason.SIGNATURE

    def test_one_that_does_not_hang_on_its_last_is_refused(self, hub):
        with hub.node.database() as connection:
            hub.round(connection, 1)
            standing = passport.standing(connection, hub.run.run, 2, weights_hash(weights(1)))
        with pytest.raises(Refused, match="previous"):
            hub.check(hub.state("aachen", standing, previous=sha("another")), standing)

    @pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b"[" * 5000])
    def test_what_is_no_statement_is_refused(self, hub, text):
        with hub.node.database() as connection:
            standing = passport.standing(connection, hub.run.run, 1, hub.manifest.initial)
        with pytest.raises(Refused):
            passport.check(text, "", _Member("aachen", bytes(32)), standing, sha("out"))


class TestRegistration:
    def test_makes_a_package_whose_record_verifies(self, registered):
        hub, made = registered
        found = verify(made.read_record() or b"", hub.private.public_key().public_bytes_raw())
        assert found.end is not None and found.end.network == made.passport.network_sha256

    def test_figures_are_those_that_sites_held_out(self, registered):
        (loss,) = [one for one in registered[1].passport.metrics if one.name == "loss"]
        assert (loss.value, loss.low, loss.high) == (1, 1, 1) and "18 exams" in loss.measured_on

    def test_is_done_once(self, registered):
        hub, made = registered
        with hub.node.database() as connection:
            again = registration.register(hub.node.settings, connection, hub.run, weights(2), hub.private)
            assert len(provenance.models(connection, made.model.name, made.model.version)) == 1
        assert again.signed == made.signed

    def test_of_weights_of_no_round_is_refused(self, hub, monkeypatch):
        monkeypatch.setattr(registration, "task_of", lambda _: Task())
        with hub.node.database() as connection:
            hub.round(connection, 1)
            with pytest.raises(NotFound):
                registration.register(hub.node.settings, connection, hub.run, weights(7), hub.private)

    def test_is_on_record(self, registered):
        hub, made = registered
        with hub.node.database() as connection:
            rows = connection.execute("select content from audit").fetchall()
        events = [json.loads(content) for (content,) in rows]
        told = [one["detail"] for one in events if one["event"] == "model.registered"]
        assert made.reference in [one["model"] for one in told]

    @pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (10, 2.228), (30, 2.042), (120, 1.980)])
    def test_intervals_are_students(self, freedom, expected):
        assert registration.quantile(freedom) == pytest.approx(expected, abs=2e-3)


class TestFetching:
    def test_is_for_members_alone(self, registered, nodes):
        hub, made = registered
        name, version = made.model.name, made.model.version
        paths = ("/federation/v1/models", f"/federation/v1/models/{name}/{version}/passport.toml")
        assert {hub.node.ask("GET", path).status_code for path in paths} == {401}
        assert {hub.node.ask("GET", path, nodes[1].token()).status_code for path in paths} == {200}

    @pytest.mark.parametrize(
        "path", ["x/1.0.0/passport.toml", "{}/{}/secrets.toml", "{}/{}/..%2Fenabled.json"]
    )
    def test_what_is_no_file_of_a_model_is_not_sent(self, registered, nodes, path):
        hub, made = registered
        named = path.format(made.model.name, made.model.version)
        assert hub.node.ask("GET", f"/federation/v1/models/{named}", nodes[1].token()).status_code == 404

    def test_asks_for_trust_of_the_hubs_key(self, registered, nodes):
        refused = model(nodes[1], "fetch", registered[1].model.name, check=False)
        signed_by = registered[1].passport.signature.key
        assert refused.returncode == 1 and f"--trust {signed_by}" in " ".join(refused.stderr.split())

    def test_with_another_key_is_refused(self, registered, nodes):
        refused = model(nodes[1], "fetch", "--trust", "0" * 64, check=False)
        assert refused.returncode == 1 and "not by the one" in refused.stderr

    def test_brings_the_very_package_into_the_site(self, fetched, registered):
        files = {path.name: path.read_bytes() for path in registered[1].folder.iterdir()}
        assert {path.name: path.read_bytes() for path in fetched.folder.iterdir()} == files

    def test_the_hubs_models_are_listed_at_both(self, registered, nodes):
        lists = [json.loads(one.run("models", "--json").stdout) for one in nodes]
        assert lists[0] == lists[1] and registered[1].model.version in {row["version"] for row in lists[0]}


@pytest.fixture(scope="module")
def fetched(registered, nodes) -> Package:
    """The model at the site, which trusts the hub's key."""
    from inference import installed

    hub, made = registered
    model(nodes[1], "fetch", made.model.name, "--version", made.model.version,
          "--trust", made.passport.signature.key)  # fmt: skip
    return installed.look_up(nodes[1].settings.home, made.model.name, made.model.version).runnable()


class TestTrace:
    def trace(self, node: Node, made: Package, *arguments: str) -> dict[str, Any]:
        done = model(node, "trace", made.model.name, "--version", made.model.version, "--json", *arguments)
        return json.loads(done.stdout)

    def test_tells_which_data_under_which_permits(self, fetched, nodes):
        uses = self.trace(nodes[1], fetched)["uses"]
        learnt = [(one["site"], one["permits"], one["rounds"]) for one in uses if one["kind"] == "train"]
        assert learnt == [("aachen", ["P6"], [1, 2]), ("breda", ["P5"], [1, 2])]

    def test_tells_who_was_missing_and_why(self, fetched, nodes):
        assert self.trace(nodes[1], fetched)["rounds"][0]["absent"] == {"celle": "no-answer"}

    def test_reads_as_text(self, fetched, nodes):
        text = model(nodes[1], "trace", fetched.model.name).stdout
        assert "research use only" in text and "learnt from breda, rounds 1, 2: screening@1" in text

    def test_verifies_without_a_database(self, fetched, nodes):
        nowhere = {"SENOGATE_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
        arguments = ("model", "trace", str(fetched.folder), "--verify-offline")
        done = commands.run(arguments, nodes[1].environment | nowhere, "", PATIENCE)
        assert done.returncode == 0 and "are whole" in done.stdout

    def test_a_changed_record_does_not_verify(self, fetched, nodes, tmp_path):
        for path in fetched.folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes().replace(b'"round":1', b'"round":2'))
        refused = model(nodes[1], "trace", str(tmp_path), "--verify-offline", check=False)
        assert refused.returncode == 1 and "not the record" in refused.stderr

    def test_proves_that_a_study_was_learnt_from(self, fetched, nodes):
        told = self.trace(nodes[1], fetched, "--study", STUDIES[3])["withdrawal"]
        (found,) = told["studies"]
        assert told["touched"] and found["rounds"] == [1, 2] and len(found["proofs"]) == 1

    def test_tells_of_a_study_that_was_not(self, fetched, nodes):
        assert not self.trace(nodes[1], fetched, "--study", "1.2.3.77")["withdrawal"]["touched"]

    def test_tells_of_a_patients_withdrawal(self, fetched, nodes, registered):
        node, patient = nodes[1], "patient-1"
        with node.database() as connection:
            row = (
                pseudonyms_of(node.settings, patient, "")[0],
                *(fetched.model.name, fetched.model.version, registered[0].run.run),
            )
            connection.execute(
                "insert into training_use (patient_id, model, version, run) values (%s, %s, %s, %s)", row
            )
        out = commands.run(("optout", "add", patient, "--json"), node.environment, "", PATIENCE)
        named = [(one["model"], one["version"]) for one in json.loads(out.stdout)["trained"]]
        assert named == [(fetched.model.name, fetched.model.version)]
        told = self.trace(node, fetched, "--patient", patient)["withdrawal"]
        assert told["touched"] and told["patient_was_learnt_from"] and told["opted_out"]

    def test_still_tells_of_a_patient_who_was_erased(self, fetched, nodes):
        node, patient = nodes[1], "patient-2"
        row = (pseudonyms_of(node.settings, patient, ""), deidentifier_of(node.settings).uid(STUDIES[0]))
        with node.database() as connection:
            connection.execute(
                "insert into erasure (id, kind, pseudonyms, asked_by, reason, studies, completed_at) "
                "values ('e', 'patient', %s, 'test', '', array[%s], now())",
                (list(row[0]), row[1]),
            )
        told = self.trace(node, fetched, "--patient", patient)["withdrawal"]
        assert [one["rounds"] for one in told["studies"]] == [[1, 2]]


def test_is_no_network_of_another_run(registered, tmp_path):
    """Who holds the hub's model key, and not its federation key, can't pass another network as the run's."""
    from federation.provenance.trace import read_provenance
    from inference.errors import PackageError
    from inference.package import save
    from inference.toml_table import read_toml

    hub, made = registered
    tables = dict(read_toml((made.folder / "passport.toml").read_bytes(), "passport.toml").content)
    tables.pop("signature")
    path = secrets.model_key(hub.node.settings)
    private = Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    other = build_classifier([(np.ones((4, 200), np.float32), np.zeros(4, np.float32))], "test")
    package = save(tmp_path / "m", other, tables, private, made.read_record())
    with pytest.raises(PackageError, match="another network"):
        read_provenance(package)
