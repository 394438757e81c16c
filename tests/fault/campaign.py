"""Rounds of a campaign: exams arrive over four associations, one thing goes wrong, and what is left of it is judged.

A seed says it all but the times that processes take: which fault, when, for how long, and what is sent meanwhile.
"""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from senogate import scu
from tests.fault.exams import Arrivals, write
from tests.fault.faults import FAULTS, Fault
from tests.fault.ground import Ground
from tests.fault.invariants import Ledger, find_identity, find_identity_in_tables, judge, unfinished
from tests.fault.wire import Wire
from tests.live import PATIENCE

ASSOCIATIONS = 4
EXAMS = 2  # of four views each, in a round
_AGAIN = 0.3  # seconds after which senders try again what was not accepted


@dataclass
class Round:
    """What became of one: how often senders were told no, and what was wrong afterwards."""

    number: int
    fault: str
    moment: str  # when it came
    sent: int = 0
    accepted: int = 0
    refusals: int = 0  # and associations that broke off
    wrong: list[str] = field(default_factory=list)


def draw(count: int, missing: frozenset[str], chance: random.Random) -> list[str]:
    """The faults of so many rounds: each that this machine allows about equally often, in a random order."""
    allowed = [name for name, fault in FAULTS.items() if not fault.needs & missing]
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += chance.sample(allowed, len(allowed))
    return drawn[:count]


class Senders:
    """Four associations over which instances are sent until each was accepted; damaged ones are sent once."""

    def __init__(self, arrivals: Arrivals, receiver: scu.Receiver) -> None:
        self.receiver = receiver
        self.accepted: set[str] = set()
        self.refusals = 0
        self.reached = threading.Condition()
        self._waiting = [*arrivals.sound, *arrivals.damaged]
        self._sound = {item.path for item in arrivals.sound}
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._answers = 0
        self._most, self._gate = 0, threading.Event()
        self._ended = threading.Event()

    def start(self, answers: int, *, hold: bool) -> None:
        """Begin, and wait until so many instances were answered; then hold the senders until they may `go_on`."""
        self._most = answers if hold else len(self._waiting)
        self._thread.start()
        with self.reached:
            self.reached.wait_for(lambda: self._answers >= answers or self.is_done, PATIENCE)

    def go_on(self) -> None:
        """Let what was answered since `wait_for` go on."""
        self._gate.set()

    def finish(self) -> bool:
        """Wait until all are accepted; whether they are."""
        self._thread.join(PATIENCE)
        self._ended.set()
        return self.is_done

    @property
    def is_done(self) -> bool:
        return not self._waiting

    def _send(self) -> None:
        while self._waiting and not self._ended.is_set():
            scu.send(self._waiting, self.receiver, ASSOCIATIONS, self._note)
            with self.reached:
                self._waiting = [
                    item
                    for item in self._waiting
                    if item.path in self._sound and item.sop_instance_uid not in self.accepted
                ]
                self.reached.notify_all()
            if self._waiting:
                self._ended.wait(_AGAIN)

    def _note(self, outcome: scu.Outcome) -> None:
        with self.reached:
            self._answers += 1
            if outcome.is_stored:
                self.accepted.add(outcome.item.sop_instance_uid)
            elif outcome.item.path in self._sound:
                self.refusals += 1
            is_held = self._answers >= self._most
            self.reached.notify_all()
        if is_held:
            self._gate.wait(PATIENCE)


class Campaign:
    """Rounds on one site, one after the other. `judged` tells of each what was wrong."""

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground = ground
        self._seed = seed
        self._ledger = Ledger(ground.site.pseudonyms())

    def rounds(self, names: Sequence[str]) -> Iterator[Round]:
        for number, name in enumerate(names, 1):
            yield self.run(number, name)

    def run(self, number: int, name: str) -> Round:
        """One round. Nothing that is wrong is raised: it is told."""
        chance = random.Random(f"{self._seed} {number} {name}")
        with tempfile.TemporaryDirectory(prefix="senogate-fault-") as folder:
            fault = FAULTS[name]
            arrivals = write(Path(folder), chance, EXAMS, fault.damaged)
            moment = chance.choice(("sending", "sending", "reading"))
            if fault.pace or fault.length:  # there is a network while something is sent
                moment = "sending"
            made = Round(number, name, moment, len(arrivals.sound))
            began = time.time()
            senders = self._strike(made, fault, arrivals, chance)
            made.accepted, made.refusals = len(senders.accepted), senders.refusals
            if not senders.is_done:
                made.wrong.append("not everything was accepted in the end")
            self._ledger.note(arrivals)
            if senders.is_done:
                made.wrong += self._judge(arrivals, began)
        return made

    def sweep(self) -> list[str]:
        """The files and tables of the site, whole, in which somebody is named."""
        folders = (self.ground.home.folder, self.ground.images.folder)
        with self.ground.site.database() as database:
            database.execute("checkpoint")
            tables = find_identity_in_tables(database)
        return find_identity(folders, 0, Arrivals((), ())) + tables

    def _strike(self, made: Round, fault: Fault, arrivals: Arrivals, chance: random.Random) -> Senders:
        """Send, and have it go wrong meanwhile."""
        settings = self.ground.site.settings
        straight = scu.Receiver("127.0.0.1", settings.dicom_port, settings.dicom_aet)
        with Wire(settings.dicom_port, chance, fault.pace, fault.length) as wire:
            by_wire = bool(fault.pace or fault.length)
            receiver = scu.Receiver("127.0.0.1", wire.port, settings.dicom_aet) if by_wire else straight
            senders, pause = Senders(arrivals, receiver), threading.Event()
            answers = chance.randrange(len(arrivals.sound))
            if made.moment == "sending":
                senders.start(answers, hold=fault.seconds > 0)
            else:
                senders.start(answers, hold=False)
                senders.finish()
                pause.wait(chance.uniform(0, 3))
            with fault.make(self.ground, chance):
                senders.go_on()
                pause.wait(chance.uniform(0.3, 1) * fault.seconds)
        senders.receiver = straight
        senders.finish()
        return senders

    def _judge(self, arrivals: Arrivals, began: float) -> list[str]:
        """What is wrong once the site has recovered by itself, or that it does not."""
        site, deadline, pause = self.ground.site, time.monotonic() + PATIENCE, threading.Event()
        while open_ := unfinished(site):
            if time.monotonic() > deadline:
                return [f"it does not recover: {open_}"]
            pause.wait(0.3)
        folders = (self.ground.home.folder, self.ground.images.folder)
        named = [f"{path} names somebody" for path in find_identity(folders, began, arrivals)]
        return [*judge(site, self._ledger, arrivals), *named]


def summarise(rounds: Sequence[Round], seed: int, missing: frozenset[str]) -> dict[str, object]:
    """A campaign as the results keep it. No times: they are the machine's."""
    kinds = Counter(made.fault for made in rounds)
    return {
        "seed": seed,
        "rounds": len(rounds),
        "associations": ASSOCIATIONS,
        "not allowed by this machine": sorted(missing),
        "sent": sum(made.sent for made in rounds),
        "acknowledged": sum(made.accepted for made in rounds),
        "refused or broken off, and sent again": sum(made.refusals for made in rounds),
        "rounds with anything wrong": sum(bool(made.wrong) for made in rounds),
        "wrong": [f"round {made.number}, {made.fault}: {wrong}" for made in rounds for wrong in made.wrong],
        "faults": {
            name: {
                "rounds": kinds[name],
                "refused or broken off": sum(made.refusals for made in rounds if made.fault == name),
            }
            for name in FAULTS
            if kinds[name]
        },
    }
