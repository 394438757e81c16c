"""The record of a run verifies from its own bytes, and nothing in it can be another than it was."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import BadRequest
from federation.manifest import Privacy
from federation.provenance.passport import Standing, check, keys
from federation.provenance.record import Line, Reason, Refused, Round, Signed, parse_entry, write
from federation.provenance.verification import Duty, check_statement, verify
from tests.federation.records import HUB, MANIFEST, Written, key, sha, signed, state, whole


class Member(NamedTuple):
    name: str
    site_key: bytes


WHOLE = whole()
CONTENT = WHOLE.content
HUB_KEY = HUB.public_key().public_bytes_raw()


def joined(*lines: Line) -> bytes:
    return b"".join(line.to_bytes() for line in lines)


class TestWholeRecord:
    def test_verifies_with_the_hubs_key(self) -> None:
        found = verify(CONTENT, HUB_KEY)
        assert [one.round for one in found.rounds] == [1, 2, 3, 4]
        assert found.end is not None and found.end.network == sha("network")

    def test_names_the_key_that_signed_it(self) -> None:
        assert verify(CONTENT).hub_key == HUB_KEY

    def test_is_refused_as_another_hubs(self) -> None:
        with pytest.raises(BadRequest, match="another hub"):
            verify(CONTENT, key("other").public_key().public_bytes_raw())

    def test_of_a_run_that_goes_on_has_no_end(self) -> None:
        assert verify(Written().round(1).content).end is None

    def test_rounds_after_the_best_have_taught_the_model_nothing(self) -> None:
        written = Written().round(1).round(2).round(3).end(best=2)
        assert [one.round for one in verify(written.content).learnt] == [1, 2]

    def test_a_site_that_was_away_may_come_back(self) -> None:
        three = Written(sites=("aachen", "breda", "celle"))
        three.round(1).round(2, absent={"celle": Reason.UNREACHABLE}).round(3)
        assert verify(three.content).rounds[1].absent == {"celle": Reason.UNREACHABLE}


class TestTampering:
    @given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
    def test_of_any_byte_is_found(self, place: int, change: int) -> None:
        altered = bytearray(CONTENT)
        altered[place] ^= change
        with pytest.raises(BadRequest):
            verify(bytes(altered), HUB_KEY)

    @given(st.integers(0, len(CONTENT) - 1))
    def test_by_cutting_within_a_line_is_found(self, length: int) -> None:
        cut = CONTENT[:length]
        ends = [len(joined(*WHOLE.lines[:count])) for count in range(1, len(WHOLE.lines))]
        if length not in ends:
            with pytest.raises(BadRequest):
                verify(cut, HUB_KEY)

    @given(st.permutations(range(len(WHOLE.lines))))
    def test_by_another_order_is_found(self, order: list[int]) -> None:
        if order != sorted(order):
            with pytest.raises(BadRequest):
                verify(joined(*(WHOLE.lines[one] for one in order)), HUB_KEY)

    @pytest.mark.parametrize("changed", [{"best": []}, {"best": 3.0}, {"network": 1}, {"at": None}], ids=str)
    def test_by_the_hub_with_values_of_another_kind_is_found(self, changed: dict[str, Any]) -> None:
        written = Written().round(1).round(2).round(3).end(**{"best": 3} | changed, weights=sha("weights 3"))
        with pytest.raises(BadRequest):
            verify(written.content, HUB_KEY)

    @pytest.mark.parametrize("changed", [{"at": 1}, {"figures": {"primary": "high"}}], ids=str)
    def test_by_the_hub_in_a_round_with_values_of_another_kind_is_found(
        self, changed: dict[str, Any]
    ) -> None:
        with pytest.raises(BadRequest):
            verify(Written().round(1, **changed).content, HUB_KEY)

    def test_by_the_hub_with_a_site_without_a_name_is_found(self) -> None:
        def alter(one: Signed) -> Signed:
            return replace(one, statement=replace(one.statement, site=["aachen"]))

        nameless = tuple(map(alter, parse_entry(Written().round(1).lines[1]).statements))
        with pytest.raises(BadRequest):
            verify(Written().round(1, statements=nameless).content, HUB_KEY)

    @pytest.mark.parametrize("dropped", range(len(WHOLE.lines) - 1))
    def test_by_leaving_out_an_entry_is_found(self, dropped: int) -> None:
        kept = [line for number, line in enumerate(WHOLE.lines) if number != dropped]
        with pytest.raises(BadRequest):
            verify(joined(*kept), HUB_KEY)

    @pytest.mark.parametrize("repeated", range(len(WHOLE.lines)))
    def test_by_repeating_an_entry_is_found(self, repeated: int) -> None:
        lines = WHOLE.lines[: repeated + 1] + WHOLE.lines[repeated:]
        with pytest.raises(BadRequest):
            verify(joined(*lines), HUB_KEY)


class TestHubThatLies:
    """The hub can sign anything, but not for its sites."""

    def test_about_a_statement_is_found(self) -> None:
        def better(one: Signed) -> Signed:
            return replace(one, statement=replace(one.statement, metrics={"primary": 1.0}))

        with pytest.raises(BadRequest, match="line 2 .* has not signed its statement"):
            verify(Written(alter=better).round(1).content)

    def test_about_a_sites_key_is_found_in_the_next_round(self) -> None:
        def forged(one: Signed) -> Signed:
            is_mine = (one.statement.site, one.statement.round) == ("breda", 2)
            return signed(one.statement, key("hub's own")) if is_mine else one

        with pytest.raises(BadRequest, match="line 3 .* own key"):
            verify(Written(alter=forged).round(1).round(2).content)

    def test_with_another_sites_key_is_found(self) -> None:
        def swapped(one: Signed) -> Signed:
            return signed(one.statement, key("aachen"))

        with pytest.raises(BadRequest, match="own key"):
            verify(Written(alter=swapped).round(1).content)

    def test_by_leaving_out_a_round_is_found_by_the_statements(self) -> None:
        written = Written()
        written.last = {"aachen": sha("another round"), "breda": sha("another round")}
        with pytest.raises(BadRequest, match="another previous"):
            verify(written.round(1).content)

    def test_with_a_round_that_begins_with_other_weights_is_found(self) -> None:
        written = Written().round(1).round(2, weights_in=sha("others"))
        with pytest.raises(BadRequest, match="line 3 .* weights"):
            verify(written.content)

    def test_with_a_round_done_twice_is_found(self) -> None:
        with pytest.raises(BadRequest, match="not the next round"):
            verify(Written().round(1).round(1).content)

    def test_with_fewer_sites_than_promised_is_found(self) -> None:
        with pytest.raises(BadRequest, match="fewer sites"):
            verify(Written(sites=("aachen",)).round(1).content)

    def test_with_statements_in_another_order_is_found(self) -> None:
        with pytest.raises(BadRequest, match="order of their names"):
            verify(Written(sites=("breda", "aachen")).round(1).content)

    def test_with_a_site_both_there_and_not_is_found(self) -> None:
        written = Written().round(1)
        entry = parse_entry(written.lines[1])
        assert isinstance(entry, Round)
        there_and_not = replace(entry, absent={"aachen": Reason.FAILED})
        with pytest.raises(BadRequest, match="once"):
            verify(joined(written.lines[0], write(there_and_not, HUB)))

    def test_with_a_model_of_other_weights_is_found(self) -> None:
        written = Written().round(1).end(best=1, weights=sha("others"))
        with pytest.raises(BadRequest, match="what came of the run"):
            verify(written.content)

    def test_with_a_model_of_another_name_is_found(self) -> None:
        with pytest.raises(BadRequest, match="model is not the one"):
            verify(Written().round(1).end(best=1, model="another").content)

    def test_with_more_after_the_end_is_found(self) -> None:
        with pytest.raises(BadRequest, match="follows the end"):
            verify(whole().end().content)


class TestStatement:
    DUTY = Duty(MANIFEST, 1, "train", sha("weights 0"), sha("aachen 1"))

    def test_that_says_what_was_to_be_done_counts(self) -> None:
        check_statement(signed(state("aachen", 1, "0" * 64)), self.DUTY, "0" * 64)

    @pytest.mark.parametrize(
        "changed",
        [
            {"run": "R" + "f" * 16},
            {"manifest": sha("another")},
            {"code": sha("another")},
            {"dataset": "screening2"},
            {"round": 2},
            {"kind": "evaluate"},
            {"weights_in": sha("another")},
            {"weights_out": sha("another")},
            {"previous": sha("another")},
            {"cohort": "none"},
            {"studies": -1},
            {"studies": True},
            {"at": "yesterday"},
            {"metrics": {"loss": "low"}},
            {"metrics": {"primary": 10**400}},  # no float
            {"metrics": {"primary": 1e200}},  # its square is no number
            {"metrics": {"held_out": 1e18}},
            {"metrics": {"held_out": 1e-18}},
            {"metrics": {"examples": -1}},
            {"metrics": {"loss\0": 1.0}},  # which PostgreSQL does not keep
            {"metrics": {"\ud800": 1.0}},
            {"permit": "P7\x1b[2J"},
            {"patients": 10**400},
            {"permit": ""},
            {"permit": "P" * 300},
        ],
        ids=str,
    )
    def test_that_says_another_thing_is_refused(self, changed: dict[str, Any]) -> None:
        with pytest.raises(Refused) as refused:
            check_statement(signed(replace(state("aachen", 1, "0" * 64), **changed)), self.DUTY, "0" * 64)
        assert refused.value.reason == Reason.STATEMENT

    def test_that_another_signed_is_refused(self) -> None:
        one = replace(signed(state("aachen", 1, "0" * 64)), key=signed(state("breda", 1, "0" * 64)).key)
        with pytest.raises(Refused) as refused:
            check_statement(one, self.DUTY, None)
        assert refused.value.reason == Reason.SIGNATURE

    def test_of_a_site_that_joined_anew_with_another_key_does_not_spoil_the_record(self) -> None:
        known = keys(WHOLE.lines)
        start = Standing(MANIFEST, 1, sha("weights 0"), 1, "", None, known)
        one = signed(state("aachen", 1, "0" * 64), key("aachen anew"))
        again = signed(state("aachen", 1, "0" * 64))
        for each, is_taken in ((one, False), (again, True)):
            member = Member("aachen", each.key)
            with nullcontext() if is_taken else pytest.raises(Refused, match="another key"):
                check(each.statement.to_bytes(), each.signature, member, start, sha("aachen 1"))

    def test_of_a_private_run_says_what_it_spent(self) -> None:
        private = replace(MANIFEST, privacy=Privacy(noise_multiplier=1.0))
        one = signed(state("aachen", 1, "0" * 64, private))
        with pytest.raises(Refused, match="epsilon"):
            check_statement(one, Duty(private, 1, "train", sha("weights 0")), None)
