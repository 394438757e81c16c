"""The course of a run: from round to round, cut off anywhere and taken up again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, RecordDict  # noqa: E402

from federation.hub import checkpoint  # noqa: E402
from federation.hub.checkpoint import Checkpoint  # noqa: E402
from federation.hub.course import Kept, Training, is_stale  # noqa: E402
from federation.hub.rounds import Rounds  # noqa: E402
from federation.manifest import Aggregation, Manifest, Strategy  # noqa: E402
from federation.message import Reply, read_question, reply_record  # noqa: E402
from federation.provenance.passport import Standing  # noqa: E402
from federation.provenance.record import Reason, Refused, Signed  # noqa: E402
from federation.provenance.statement import Statement  # noqa: E402
from tests.federation.grid import Clock, FakeGrid, FakeNode, Inline  # noqa: E402
from tests.federation.test_aggregate import MANIFEST  # noqa: E402

INITIAL = {"a": np.zeros((2, 2), np.float32), "b": np.ones(3, np.float32)}
GOALS = {"north": 1.0, "south": 2.0, "west": 4.0}
EXAMPLES = {"north": 10, "south": 20, "west": 30}


class Killed(BaseException):
    """The process ends here."""


@dataclass
class MemoryLedger:
    """Keeps what it is told; `before` runs before each call, and may kill."""

    before: Callable[[], None] = lambda: None
    kept: list[Kept] = field(default_factory=list)
    refused: list[tuple[str, int, Reason]] = field(default_factory=list)

    def standing(self, number: int, weights_in: str) -> Standing:
        self.before()
        return Standing(MANIFEST, number, weights_in, number, "head", None)

    def check(self, standing: Standing, site: str, reply: Reply, weights_out: str, kind: str) -> Signed:
        hashes = {"dataset_version": "", "cohort": "", "opt_outs": "", "code": ""}
        said = Statement(
            MANIFEST.run, standing.round, kind, site, "", "P1", "screening", studies=0, patients=0, at="",
            weights_in=standing.weights_in, weights_out=weights_out, metrics=reply.metrics, **hashes,
        )  # fmt: skip
        return Signed(said, "", b"")

    def refuse(self, site: str, number: int, reason: Reason) -> None:
        self.refused.append((site, number, reason))

    def keep(self, standing: Standing, kept: Kept) -> None:
        self.before()
        self.kept.append(kept)
        self.before()


def work(site: str, changed: Callable[[RecordDict, int], None] = lambda *_: None):
    """A site that goes half of the way to its goal, by a step that hangs on the round alone."""

    def do(content: RecordDict, kind: str) -> RecordDict:
        asked = read_question(content, INITIAL)
        assert asked.weights is not None
        distance = float(np.mean([np.abs(array - 2.5).mean() for array in asked.weights.values()]))
        metrics = {"primary": -distance, "loss": distance, "held_out": 5.0}
        if kind == "evaluate":
            return reply_record(Reply(metrics, b"", ""))
        random = np.random.default_rng([len(site), asked.round])
        made = {
            name: (array + (GOALS[site] - array) / 2 + random.normal(0, 0.01, array.shape)).astype(np.float32)
            for name, array in asked.weights.items()
        }
        metrics |= {"examples": float(EXAMPLES[site]), "train_loss": GOALS[site]}
        record = reply_record(Reply(metrics, b"", "", made))
        changed(record, asked.round)
        return record

    return do


def training(folder: Path, manifest: Manifest, ledger: MemoryLedger, **works) -> tuple[Training, FakeGrid]:
    clock = Clock()
    nodes = [
        FakeNode(number, site.encode(), works.get(site) or work(site), clock)
        for number, site in enumerate(GOALS, start=10)
    ]
    grid, members = FakeGrid(nodes, clock), {site: site.encode() for site in GOALS}
    rounds = Rounds(grid, lambda: members, lambda _: None, lambda: clock.now, clock.pause, Inline())
    return Training(manifest, INITIAL, rounds, ledger, folder), grid


def run(
    folder: Path, manifest: Manifest = MANIFEST, ledger: MemoryLedger | None = None, **works
) -> Checkpoint:
    return training(folder, manifest, ledger or MemoryLedger(), **works)[0].run()


@pytest.mark.parametrize("strategy", Strategy)
def test_a_run_that_is_cut_off_anywhere_ends_with_the_weights_of_one_that_is_not(
    tmp_path: Path, strategy
) -> None:
    manifest = replace(MANIFEST, strategy=strategy, rounds=4)
    whole = run(tmp_path / "whole", manifest)
    calls = iter(range(1000))

    def die_now_and_then() -> None:
        if next(calls) % 4 == 3:
            raise Killed

    ledger, cut = MemoryLedger(die_now_and_then), 0
    while True:
        try:
            found = run(tmp_path / "cut", manifest, ledger)
            break
        except Killed:
            cut += 1
    assert cut >= 3
    assert found.weights.tobytes() == whole.weights.tobytes()
    assert (found.best.tobytes(), found.best_round) == (whole.best.tobytes(), whole.best_round)


def test_a_round_is_on_record_before_it_is_on_disk(tmp_path: Path, monkeypatch) -> None:
    ledger, seen = MemoryLedger(), []
    monkeypatch.setattr(checkpoint, "write", lambda _, state: seen.append((state.round, len(ledger.kept))))
    run(tmp_path, MANIFEST, ledger)
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_weights_travel_once_each_way_a_round_and_once_more_to_be_judged(tmp_path: Path) -> None:
    made, grid = training(tmp_path, MANIFEST, MemoryLedger())
    made.run()
    assert [(kind, number) for node, kind, number in grid.asked if node == 10] == [
        ("train", "1"), ("train", "2"), ("train", "3"), ("evaluate", "4"),
    ]  # fmt: skip


def test_the_figures_of_a_round_are_those_of_the_weights_that_it_ended_with(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    run(tmp_path, MANIFEST, ledger)
    first, second = ledger.kept[:2]
    assert first.rows[0].figures["loss"] > 2 * second.rows[1].figures["loss"]
    assert set(first.rows) == {0, 1} and set(second.rows) == {1, 2}
    assert second.rows[1].figures.keys() == {"train_loss", "examples", "primary", "loss", "held_out"}


def test_figures_of_training_are_weighted_by_examples(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    run(tmp_path, MANIFEST, ledger)
    assert ledger.kept[0].rows[1].figures["train_loss"] == pytest.approx((10 * 1 + 20 * 2 + 30 * 4) / 60)


def test_the_best_weights_come_of_a_run_also_where_they_are_not_the_last(tmp_path: Path) -> None:
    def worse(record: RecordDict, number: int) -> None:
        if number == 3:
            record["weights"] = ArrayRecord({"all": Array(np.full(7, 1000, np.float32))})

    made, _ = training(tmp_path, MANIFEST, MemoryLedger(), north=work("north", worse))
    state = made.run()
    assert state.best_round == 2
    assert float(made.best(state)["a"].max()) < 5 < float(state.weights.max())


def test_a_run_ends_early_where_it_gets_no_better(tmp_path: Path) -> None:
    def worse(record: RecordDict, number: int) -> None:
        record["weights"] = ArrayRecord({"all": Array(np.full(7, 10.0 * number, np.float32))})

    works = {site: work(site, worse) for site in GOALS}
    state = run(tmp_path, replace(MANIFEST, rounds=50, patience=2), **works)
    assert (state.round, state.best_round) == (4, 1)


def test_what_a_run_begins_with_never_comes_of_it(tmp_path: Path) -> None:
    def worse(record: RecordDict, number: int) -> None:
        record["weights"] = ArrayRecord({"all": Array(np.full(7, 10.0 * number, np.float32))})

    made, _ = training(tmp_path, MANIFEST, MemoryLedger(), **{site: work(site, worse) for site in GOALS})
    state = made.run()
    assert state.best_round == 1
    assert float(made.best(state)["a"].min()) == 10


def test_without_any_figure_a_run_does_not_end_early() -> None:
    state = Checkpoint("R", "", 9, np.zeros(1, np.float32))
    assert not is_stale(replace(MANIFEST, rounds=50, patience=2), state)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.full(7, np.nan, np.float32), Reason.NOT_FINITE),
        (np.full(7, 1e6, np.float32), Reason.NORM),
    ],
)
def test_a_poisoned_answer_is_left_out_and_on_record(tmp_path: Path, vector, reason: Reason) -> None:
    def poison(record: RecordDict, _: int) -> None:
        record["weights"] = ArrayRecord({"all": Array(vector)})

    ledger, manifest = MemoryLedger(), replace(MANIFEST, norm_bound=100.0)
    state = run(tmp_path, manifest, ledger, west=work("west", poison))
    assert ledger.refused == [("west", number, reason) for number in (1, 2, 3)]
    assert [kept.absent for kept in ledger.kept[:3]] == [{"west": reason}] * 3
    assert float(state.weights.max()) < 3


def test_weights_of_another_shape_are_left_out_and_on_record(tmp_path: Path) -> None:
    def cut(record: RecordDict, _: int) -> None:
        record["weights"] = ArrayRecord({"all": Array(np.zeros(3, np.float32))})

    ledger = MemoryLedger()
    run(tmp_path, MANIFEST, ledger, west=work("west", cut))
    assert ledger.refused[0] == ("west", 1, Reason.SHAPE)


def test_what_the_statement_says_counts_and_not_what_stands_beside_it(tmp_path: Path) -> None:
    class Stated(MemoryLedger):
        def check(self, *given) -> Signed:
            signed = super().check(*given)
            return replace(signed, statement=replace(signed.statement, metrics={"examples": 1.0}))

    ledger = Stated()
    run(tmp_path, MANIFEST, ledger)
    assert ledger.kept[0].rows[1].sites["west"] == {"examples": 1.0}


def test_a_statement_that_is_refused_leaves_its_site_out(tmp_path: Path) -> None:
    class Strict(MemoryLedger):
        def check(self, standing: Standing, site: str, *rest) -> Signed:
            if site == "south":
                raise Refused(Reason.SIGNATURE, "not signed")
            return super().check(standing, site, *rest)

    ledger = Strict()
    run(tmp_path, replace(MANIFEST, aggregation=Aggregation.MEDIAN), ledger)
    assert ledger.kept
    assert all(kept.absent == {"south": Reason.SIGNATURE} for kept in ledger.kept)
