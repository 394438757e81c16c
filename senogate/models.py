"""`senogate model`: the model packages of a site."""

from pathlib import Path

from archive.findings import Task
from inference import installed
from inference.nyu import import_histogram_model
from inference.package import Package


def import_nyu_density(home: Path, weights: Path) -> Package:
    """Make a package of NYU's published histogram density weights and choose it for its task.

    Raises WeightsError when the file does not hold them.
    """
    destination = installed.place(home, Task.DENSITY, "nyu-density", "1.0.0")
    package = import_histogram_model(weights, destination)
    installed.activate(home, package)
    return package


def listing(home: Path) -> list[dict[str, object]]:
    """One row for each package, task by task; `active` marks the one that reads its task."""
    rows: list[dict[str, object]] = []
    active = installed.active(home, Task.DENSITY)
    for package in installed.packages(home, Task.DENSITY):
        model = package.model
        rows.append(
            {
                "task": str(Task.DENSITY),
                "name": model.name,
                "title": model.title,
                "version": model.version,
                "sha256": model.sha256,
                "trained_on": model.trained_on,
                "research_use_only": model.research_use_only,
                "active": package.folder == active.folder,
            }
        )
    return rows
