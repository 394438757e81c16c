"""Makes every built-in model again from its seeds: `python -m inference.training.reproduce FOLDER [NAME …]`.

Each is trained into the folder, and its figures are held against those of the passport that is kept: on the same
machine and versions they are the same, on others they lie within the passport's intervals.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from inference import installed
from inference.package import Package, load
from inference.passport import Metric

MODELS: Mapping[str, str] = {
    "phantom_density": "density",
    "phantom_lesions": "lesions",
    "phantom_ultrasound": "ultrasound",
    "risk_baseline": "risk",
}
"""Built-in packages, and the module of `inference.training` whose `main(folder)` makes each."""

KEPT = Path(installed.__file__).parent / "models"


def reproduce(name: str, folder: Path) -> bool:
    """Make a model again, tell how its figures compare, and whether all lie within the passport's intervals."""
    make: Callable[[Path], Package] = import_module(f"inference.training.{MODELS[name]}").main
    began, used = time.monotonic(), time.process_time()
    made = make(folder / name).passport.metrics
    print(f"{name}: {time.monotonic() - began:.0f} s, {time.process_time() - used:.0f} s of processor")
    return compare(load(KEPT / name).passport.metrics, made)


def compare(kept: tuple[Metric, ...], made: tuple[Metric, ...]) -> bool:
    """Whether what was made has the figures that are kept, each within its interval; prints a line a figure."""
    found = {one.name: one for one in made}
    agree = found.keys() == {one.name for one in kept}
    for one in kept:
        value = found[one.name].value if one.name in found else float("nan")
        is_within = one.low <= value <= one.high
        told = "agrees" if is_within else "DIFFERS"
        print(f"  {one.name}: {value} ({told} with {one.value}, {one.low} to {one.high})")
        agree = agree and is_within
    return agree


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the built-in models again and compare their figures.")
    parser.add_argument("folder", type=Path, help="where to write the packages")
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(MODELS)}; all if none is named")
    given = parser.parse_args()
    if unknown := set(given.names) - MODELS.keys():
        parser.error(f"there is no built-in model {', '.join(sorted(unknown))}")
    agreed = [reproduce(name, given.folder) for name in given.names or MODELS]
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    main()
