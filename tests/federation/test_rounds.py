"""One round over Flower's grid: quorum, stragglers, sites that go and come back."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("flwr")

from flwr.app import ConfigRecord, Error, Message, RecordDict  # noqa: E402
from flwr.common.constant import ErrorCode  # noqa: E402
from google.protobuf.message import DecodeError  # noqa: E402

from archive.errors import BadRequest  # noqa: E402
from federation.hub.replies import STUCK  # noqa: E402
from federation.hub.rounds import Held, NoQuorum, Patience, Rounds  # noqa: E402
from federation.provenance.record import Reason, Refused  # noqa: E402
from tests.federation.grid import Clock, FakeGrid, FakeNode, Inline, Work  # noqa: E402

PATIENCE = Patience(quorum=2, grace=100, timeout=1000, rejoin=60, again=60)


def says(text: str) -> RecordDict:
    return RecordDict({"said": ConfigRecord({"text": text})})


def reads(_: str, record: RecordDict) -> str:
    return str(record.config_records["said"]["text"])


class Sites:
    """Sites a, b, c by their names, behind a fake grid."""

    def __init__(self, **works: Work | None) -> None:
        self.clock = Clock()
        self.members = {name: name.encode() for name in works}
        self.nodes = {
            name: FakeNode(number, name.encode(), work or (lambda *_: says("done")), self.clock)
            for number, (name, work) in enumerate(works.items(), start=10)
        }
        self.grid = FakeGrid(self.nodes.values(), self.clock)
        self.told: list[str] = []
        self.polls: dict[str, int] = {}
        self.rounds = Rounds(
            self.grid,
            lambda: self.members,
            self.told.append,
            lambda: self.clock.now,
            self.clock.pause,
            Inline(),
            lambda: self.polls,
        )

    def hold(self, accept: Callable[[str, RecordDict], str] = reads, number: int = 1, **rest) -> Held[str]:
        return self.rounds.hold(number, "train", says("go"), accept, rest.pop("patience", PATIENCE), **rest)


def test_a_round_is_over_when_all_have_answered() -> None:
    sites = Sites(a=None, b=None, c=None)
    held = sites.hold()
    assert (list(held.answers), dict(held.absent)) == (["a", "b", "c"], {})
    assert sites.clock.now < 1


def test_after_the_quorum_who_still_works_has_the_grace() -> None:
    sites = Sites(a=None, b=None, c=None)
    sites.nodes["c"].delay = 99
    assert list(sites.hold().answers) == ["a", "b", "c"]


def test_who_works_longer_than_the_grace_is_left_out_and_back_in_the_next_round() -> None:
    sites = Sites(a=None, b=None, c=None)
    sites.nodes["c"].delay = 150
    assert dict(sites.hold().absent) == {"c": Reason.NO_ANSWER}
    sites.nodes["c"].delay = 0
    assert list(sites.hold(number=2).answers) == ["a", "b", "c"]


def test_what_comes_too_late_is_fetched_and_dropped() -> None:
    sites = Sites(a=None, b=None, c=None)
    sites.nodes["c"].delay = 150
    sites.hold()
    assert sites.grid.outstanding == 1
    sites.nodes["a"].delay = 80
    sites.hold(number=2)
    assert sites.grid.outstanding == 0


def test_a_round_waits_for_the_quorum_beyond_the_grace() -> None:
    sites = Sites(a=None, b=None, c=None)
    sites.nodes["b"].delay = sites.nodes["c"].delay = 500
    assert list(sites.hold().answers) == ["a", "b", "c"]


def test_without_a_quorum_in_time_the_round_fails() -> None:
    sites = Sites(a=None, b=lambda *_: None)
    with pytest.raises(NoQuorum):
        sites.hold()


def test_a_round_that_needs_nobody_is_over_when_all_have_said_no() -> None:
    no = Error(ErrorCode.MOD_FAILED_PRECONDITION, "no")
    sites = Sites(a=lambda *_: no, b=lambda *_: no)
    held = sites.hold(patience=replace(PATIENCE, quorum=0))
    assert not held.answers and set(held.absent.values()) == {Reason.DECLINED}
    assert sites.clock.now < 10


def test_a_site_that_is_dead_is_waited_for_a_while_and_no_longer() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: None)
    sites.clock.at(5, lambda: setattr(sites.nodes["c"], "is_online", False))
    assert dict(sites.hold().absent) == {"c": Reason.UNREACHABLE}
    assert 60 < sites.clock.now < 75


def test_a_site_that_was_not_in_the_last_round_either_is_not_waited_for() -> None:
    sites = Sites(a=None, b=None, c=None)
    sites.nodes["c"].is_online = False
    assert dict(sites.hold(expected=["a", "b"]).absent) == {"c": Reason.UNREACHABLE}
    assert sites.clock.now < 1


def test_a_site_that_comes_back_is_asked_again_in_the_same_round() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: None)
    node = sites.nodes["c"]
    sites.clock.at(5, lambda: setattr(node, "is_online", False))
    sites.clock.at(30, lambda: (setattr(node, "work", lambda *_: says("back")), node.restart()))
    assert sites.hold().answers["c"] == "back"


def test_a_node_that_was_started_anew_before_it_was_missed_is_asked_again() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: None)
    node = sites.nodes["c"]
    sites.clock.at(5, lambda: (setattr(node, "work", lambda *_: says("anew")), node.restart()))
    assert sites.hold().answers["c"] == "anew"


def test_a_site_that_fails_is_asked_three_times() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: Error(ErrorCode.CLIENT_APP_CRASHED, "killed"))
    assert dict(sites.hold().absent) == {"c": Reason.FAILED}
    assert sum(number == 12 for number, *_ in sites.grid.asked) == 3


def test_a_site_that_says_no_is_not_asked_again_where_it_is_done_without_it() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: Error(ErrorCode.MOD_FAILED_PRECONDITION, "no permit"))
    assert dict(sites.hold().absent) == {"c": Reason.DECLINED}
    assert sum(number == 12 for number, *_ in sites.grid.asked) == 1


def test_a_site_without_which_it_is_not_done_is_asked_anew_after_a_while() -> None:
    answers = iter([Error(ErrorCode.MOD_FAILED_PRECONDITION, "no permit"), says("permitted")])
    sites = Sites(a=None, b=lambda *_: next(answers))
    assert sites.hold().answers["b"] == "permitted"
    assert sites.clock.now > 60


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Refused(Reason.NORM, "far"), Reason.NORM), (BadRequest("malformed"), Reason.STATEMENT)],
)
def test_an_answer_that_is_not_taken_leaves_its_site_out(error: Exception, reason: Reason) -> None:
    def accept(name: str, record: RecordDict) -> str:
        if name == "b":
            raise error
        return reads(name, record)

    held = Sites(a=None, b=None, c=None).hold(accept)
    assert (list(held.answers), dict(held.absent)) == (["a", "c"], {"b": reason})


@pytest.mark.parametrize(
    "error", [AttributeError("endswith"), DecodeError("truncated"), KeyError("no such object")]
)
def test_a_reply_that_flower_can_not_read_leaves_its_site_out(error: Exception, monkeypatch) -> None:
    sites = Sites(a=None, b=None, c=None)
    pull = sites.grid._pull

    def read(message_id: str) -> Message | None:
        found = pull(message_id)
        if message_id == "m2":
            raise error
        return found

    monkeypatch.setattr(sites.grid, "_pull", read)
    held = sites.hold()
    assert (list(held.answers), dict(held.absent)) == (["a", "c"], {"b": Reason.STATEMENT})


def test_the_answer_of_a_site_that_is_revoked_meanwhile_counts_for_nothing() -> None:
    sites = Sites(a=None, b=None, c=None, d=None)
    sites.nodes["d"].delay = 20
    sites.clock.at(5, lambda: sites.members.pop("b"))
    held = sites.hold()
    assert (list(held.answers), dict(held.absent)) == (["a", "c", "d"], {"b": Reason.REVOKED})


def test_a_site_that_approves_while_the_round_is_open_is_asked() -> None:
    sites = Sites(a=None, b=None, c=None)
    late = sites.members.pop("c")
    sites.nodes["b"].delay = 20
    sites.clock.at(5, lambda: sites.members.update(c=late))
    assert list(sites.hold().answers) == ["a", "b", "c"]


def test_a_node_whose_key_is_no_member_is_never_asked() -> None:
    sites = Sites(a=None, b=None, c=None)
    del sites.members["c"]
    sites.hold()
    assert {number for number, *_ in sites.grid.asked} == {10, 11}


def test_what_is_waited_for_is_told() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: Error(ErrorCode.MOD_FAILED_PRECONDITION, "no"))
    sites.nodes["b"].delay = 10
    sites.hold()
    assert "round 1: 1 of 2 needed; waits for b; without c (declined)" in sites.told


def answers_the_second(first: list[str]) -> Work:
    """Loses the first message that it is given, and answers others."""

    def work(*_: object) -> RecordDict | None:
        first.append("asked")
        return says("done") if len(first) > 1 else None

    return work


def test_a_site_that_asks_for_messages_while_it_was_given_one_is_asked_again() -> None:
    """Flower's SuperNode works on one at a time: it has lost it."""
    asked: list[str] = []
    sites = Sites(a=None, b=answers_the_second(asked))
    for moment in range(3, 60, 3):
        sites.clock.at(moment, lambda: sites.polls.update(b=sites.polls.get("b", 0) + 1))
    assert list(sites.hold().answers) == ["a", "b"]
    assert len(asked) == 2
    assert sites.clock.now < 40


def test_a_site_that_works_long_is_not_asked_again() -> None:
    """It asked once while the message came, and once to take it."""
    sites = Sites(a=None, b=None)
    sites.nodes["b"].delay = 500
    for moment in (0.1, 3):
        sites.clock.at(moment, lambda: sites.polls.update(b=sites.polls.get("b", 0) + 1))
    assert list(sites.hold().answers) == ["a", "b"]
    assert len(sites.grid.asked) == 2


def test_a_site_that_loses_whatever_it_is_given_is_left_out() -> None:
    sites = Sites(a=None, b=None, c=lambda *_: None)
    for moment in range(3, 400, 3):
        sites.clock.at(moment, lambda: sites.polls.update(c=sites.polls.get("c", 0) + 1))
    assert dict(sites.hold().absent) == {"c": Reason.FAILED}
    assert len(sites.grid.asked) == 5


class Stalling(Inline):
    """Never comes to an end with what a site uploads, of which it keeps the identifiers."""

    def __init__(self, node: FakeNode, grid: FakeGrid) -> None:
        self.begun: list[str] = []
        self._node, self._grid = node, grid

    def submit(self, fn: Any, argument: Any) -> Future[Any]:
        if self._grid.node_of(argument) is not self._node:
            return super().submit(fn, argument)
        self.begun.append(argument)
        return Future()


def test_a_site_whose_uploads_stop_half_way_has_few_of_them_waited_for() -> None:
    sites = Sites(a=None, b=None, c=None)
    sites.rounds.replies.executor = stalling = Stalling(sites.nodes["c"], sites.grid)
    for number in range(1, 6):
        held = sites.hold(number=number)
        assert (list(held.answers), dict(held.absent)) == (["a", "b"], {"c": Reason.NO_ANSWER})
    assert len(stalling.begun) == STUCK
