"""Works that a trainer does in a round in place of the program's, as a run's seed says: to see what becomes of them."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from archive.errors import BadRequest
from archive.federation_roles import read_site
from archive.settings import load
from federation.message import read_question
from federation.site.trainer import Trainer
from federation.site.work import Figures, Order, Outcome
from federation.training.weights import weights_hash

LIKE = {"layer": np.zeros((2, 3), np.float32)}
PATIENTS = ("SGA", "SGB", "SGC", "SGD", "SGE")
ANSWER, CRASH, HANG, RAISE, REFUSE, FILL, WAIT = range(1, 8)
"""What a round of these numbers does; any other answers."""


def work(order: Order) -> list[bytes]:
    """Learn by adding one."""
    message = inflate_object_from_contents(order.head, dict(order.contents))
    question = read_question(message.content, LIKE)
    match order.round:
        case 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 3:
            threading.Event().wait()
        case 4:
            raise ZeroDivisionError("a value that no log may have")
        case 5:
            raise BadRequest("there is too little to learn from")
        case 6:
            np.ones(2**30, np.float64)
        case 7:
            _wait(order.settings.home)
    weights = {name: one + 1 for name, one in (question.weights or {}).items()}
    return Outcome(_figures(question.weights or {}, weights), weights).to_parts()


def _wait(home: Path) -> None:
    """Until the test has made a file; it sees that the work has begun by another."""
    (home / f"begun-{os.getpid()}").touch()
    while not (home / "go-on").exists():
        threading.Event().wait(0.05)


def _figures(came: dict[str, np.ndarray], go: dict[str, np.ndarray]) -> Figures:
    return Figures(
        metrics={"loss": 1.0, "examples": 8.0, "held_out": 0.0},
        weights_in=weights_hash(came),
        weights_out=weights_hash(go),
        dataset_version="1" * 64,
        cohort="2" * 64,
        opt_outs="3" * 64,
        studies=8,
        patients=PATIENTS,
        number_of_patients=len(PATIENTS),
        shapes=[(name, one.shape) for name, one in go.items()],
        steps=4,
        sample_rate=0.5,
    )


def main(named: str) -> None:
    """A trainer that is told of no runs."""
    logging.basicConfig(level="INFO")
    logging.getLogger("httpx").setLevel("ERROR")
    settings = load()
    joined, stop = read_site(settings), threading.Event()
    assert joined
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Trainer(settings, joined.name, lambda: None, stop, work=named, preloaded=["tests.federation.works"]).run()


if __name__ == "__main__":
    main(sys.argv[1])
