"""The hub's side of an evaluation: a round for each package, and what sites tell is what they signed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr")

from flwr.app import RecordDict  # noqa: E402

from federation.evaluation.packages import join  # noqa: E402
from federation.evaluation.release import Seen, protect, to_text  # noqa: E402
from federation.evaluation.scoring import plan_of  # noqa: E402
from federation.hub.assessment import Assessment, Told, releases  # noqa: E402
from federation.hub.rounds import Held, Rounds  # noqa: E402
from federation.manifest import Kind  # noqa: E402
from federation.message import Reply, read_question, reply_record  # noqa: E402
from federation.provenance import passport  # noqa: E402
from federation.provenance.passport import Standing  # noqa: E402
from federation.provenance.record import Reason, Signed  # noqa: E402
from tests.federation import records  # noqa: E402
from tests.federation.grid import Clock, FakeGrid, FakeNode, Inline  # noqa: E402

TEXTS = (b"one passport", b"another")
PACKAGES = tuple(hashlib.sha256(text).hexdigest() for text in TEXTS)
MANIFEST = replace(
    records.MANIFEST, kind=Kind.EVALUATION, initial="", packages=PACKAGES, rounds=2, min_sites=2
)
SITES = ("north", "south", "west")
Kept = dict[str, Held[Told]]


@dataclass
class Ledger:
    """Checks statements as the hub does."""

    refused: list[tuple[str, int, Reason]] = field(default_factory=list)

    def standing(self, number: int, weights_in: str) -> Standing:
        return Standing(MANIFEST, number, weights_in, number, "head", None)

    def check(self, standing: Standing, site: str, reply: Reply, weights_out: str, kind: str) -> Signed:
        member = SimpleNamespace(name=site, site_key=records.key(site).public_key().public_bytes_raw())
        return passport.check(reply.statement, reply.signature, member, standing, weights_out, stage=kind)

    def refuse(self, site: str, number: int, reason: Reason) -> None:
        self.refused.append((site, number, reason))


def told_of(package: str, exams: int = 20) -> bytes:
    seen = [
        Seen({stratum: {10: 1}}, {"vendor": "GE", "age": "not told"})
        for stratum in ("negative", "positive")
        for _ in range(exams // 2)
    ]
    return to_text(protect(seen, 0, plan_of("density"), 5), task="density", package=package)


def site(name: str, changed: Callable[[bytes], bytes] = lambda release: release):
    """A site that states one release, and sends it, or what is made of it."""

    def do(content: RecordDict, kind: str) -> RecordDict:
        asked = read_question(content, None)
        assert asked.package is not None
        package = hashlib.sha256(asked.package[0]).hexdigest()
        release = told_of(package)
        said = records.state(
            name, asked.round, "0" * 64, MANIFEST, kind=kind, metrics={"exams": 20.0}, weights_in=package,
            weights_out=hashlib.sha256(release).hexdigest(),
        )  # fmt: skip
        signed = records.signed(said)
        return reply_record(Reply(said.metrics, said.to_bytes(), signed.signature, release=changed(release)))

    return do


def assess(done: int = 0, **works) -> tuple[Kept, Ledger]:
    clock, ledger, kept = Clock(), Ledger(), {}
    nodes = [
        FakeNode(number, name.encode(), works.get(name) or site(name), clock)
        for number, name in enumerate(SITES, 10)
    ]
    members = {name: name.encode() for name in SITES}
    rounds = Rounds(
        FakeGrid(nodes, clock), lambda: members, lambda _: None, lambda: clock.now, clock.pause, Inline()
    )
    texts = dict(zip(PACKAGES, TEXTS, strict=True))

    def keep(_: Standing, number: int, sha256: str, held: Held[Told]) -> None:
        kept[sha256] = held

    Assessment(MANIFEST, rounds, ledger, lambda sha256: (texts[sha256], b""), keep).run(done)
    return kept, ledger


def test_each_package_has_a_round_of_which_all_sites_are_joined():
    kept, ledger = assess()
    assert set(kept) == set(PACKAGES) and not ledger.refused
    for package, held in kept.items():
        joined = join(releases(held), task="density", package=package)
        assert joined["exams"] == 60 and set(joined["groups"]["site"]) == set(SITES)


def test_packages_that_are_done_are_not_evaluated_again():
    assert set(assess(done=1)[0]) == {PACKAGES[1]}


@pytest.mark.parametrize(
    "changed",
    [lambda _: told_of(PACKAGES[0], 40), lambda _: told_of(PACKAGES[1]), lambda _: b"", lambda _: b"{}"],
    ids=["other-counts", "another-package", "nothing", "no-release"],
)
def test_what_a_site_did_not_sign_counts_for_nothing(changed):
    kept, ledger = assess(west=site("west", changed))
    assert set(releases(kept[PACKAGES[0]])) == {"north", "south"}
    assert ("west", 1, Reason.STATEMENT) in ledger.refused
