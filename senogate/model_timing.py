"""`senogate model bench`: how long a package takes to read an exam on this machine."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from archive.errors import BadRequest
from archive.findings import NotApplicable
from inference.demo import demo_exam
from inference.devices import Device
from inference.package import Package
from inference.pipeline import read_study
from inference.session import Session, open_model

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Timing:
    """Times are in milliseconds of wall time: to open the network, and to read the exam (median, 95th percentile)."""

    model: str
    providers: tuple[str, ...]
    exam: str
    instances: int
    rounds: int
    bits: int
    open_ms: float
    median_ms: float
    p95_ms: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        return (
            f"{self.model}, {self.exam} of {self.instances} instances, {self.rounds} times:\n"
            f"  exam       median {self.median_ms:.1f} ms, 95 % within {self.p95_ms:.1f} ms\n"
            f"  opening    {self.open_ms:.1f} ms\n"
            f"  providers  {', '.join(self.providers)}, {self.bits} bits"
        )


def time_package(package: Package, folder: Path | None, rounds: int, device: Device) -> Timing:
    """Read the exam in a folder, or the phantom exam, several times. Raises BadRequest where the model does not."""
    parts = _files(folder) if folder else demo_exam(None)
    opened, model = _timed(lambda: open_model(package, device=device))
    first = read_study(parts, model)
    if isinstance(first, NotApplicable):
        raise BadRequest(f"the model does not read this exam ({first.reason}); name another with --exam")
    times = sorted(_timed(lambda: read_study(parts, model))[0] for _ in range(rounds))
    return Timing(
        model=package.reference,
        providers=model.providers,
        exam="the exam" if folder else "a phantom exam",
        instances=len(parts),
        rounds=rounds,
        bits=16 if isinstance(model, Session) and model.is_half else 32,
        open_ms=round(opened, 1),
        median_ms=round(statistics.median(times), 1),
        p95_ms=round(times[min(len(times) - 1, int(len(times) * 0.95))], 1),
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    begun = time.perf_counter()
    done = work()
    return (time.perf_counter() - begun) * 1000, done
