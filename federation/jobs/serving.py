"""The exams of a job, one after the other, behind the confinement (process.py)."""

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from archive.findings import NotApplicable
from federation.evaluation.scoring import counts_of
from federation.jobs.confinement import confine
from federation.jobs.files import allow_only, hide
from federation.jobs.measures import measure
from federation.jobs.messages import Answer, Work, read_order, send
from inference import package
from inference.devices import Device, Kind
from inference.errors import ReadingFailed
from inference.pipeline import read_study
from inference.session import Measured, Session, open_model


def answer(connection: Connection, folder: str, threads: int) -> None:
    """Answer each exam of the order in turn. `folder` holds the package, where there is one.

    Raises EOFError where nobody orders any more, Unavailable where the kernel can't confine the process.
    """
    order = read_order(connection)
    allow_only([folder, *(path for exam in order.exams for path in exam.paths)])
    hide()
    confine()  # before anything of a stranger's is opened
    model = _opened(Path(folder), threads) if folder else None
    for exam in order.exams:
        send(connection, Answer(_done(exam, order.features, model)))


def _opened(folder: Path, threads: int) -> Session | Measured:
    """The package, which the worker has verified: what runs is what the passport names."""
    device = Device(Kind.CPU, 0, folder)
    return open_model(package.read(folder), threads=threads, device=device)


def _done(exam: Work, features: Sequence[str], model: Session | Measured | None) -> dict[str, Any] | None:
    """None where the model was not made for the exam, or it could not be read, or went meanwhile."""
    paths = [Path(one) for one in exam.paths]
    try:
        if model is None:
            return dict(measure(paths, features))
        findings = read_study(paths, model)
    except ReadingFailed:
        return None
    if isinstance(findings, NotApplicable):
        return None
    assert exam.label is not None
    counts = counts_of(findings, exam.label)
    return {name: {str(cell): count for cell, count in cells.items()} for name, cells in counts.items()}
