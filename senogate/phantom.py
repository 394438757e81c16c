"""`senogate phantom`: exams of structured phantoms in a folder, with their truth beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from archive.errors import ConfigurationError
from inference.phantom.instances import NOTICE, write_instances
from inference.phantom.study import Order, draw_planes, draw_study
from inference.phantom.tomosynthesis import write_tomosynthesis
from inference.phantom.truth import LESIONS, Kind, View

TRUTH = "truth.json"
FORMAT = 1


def parse_lesions(text: str) -> tuple[Kind, ...]:
    """The kinds of a list such as `mass,calcifications`, or none of them for `none`."""
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    known = {kind.value: kind for kind in LESIONS}
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is neither of {', '.join(known)}", param_hint="--lesions")
    return tuple(known[name] for name in names)


def write_exams(
    order: Order, seeds: range, folder: Path, advance: Callable[[], object], *, tomosynthesis: bool = False
) -> None:
    """Write an exam for each seed as `exam-SEED/L-CC.dcm` and so on, and `truth.json` when all are written.

    `tomosynthesis` adds `L-CC-DBT.dcm` and so on.

    Raises ConfigurationError where the folder already holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError("the folder to write phantoms to is not an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    exams = []
    for seed in seeds:
        exams.append(_write_exam(seed, order, folder / f"exam-{seed}", tomosynthesis))
        advance()
    content = {"format": FORMAT, "notice": NOTICE, "exams": exams}
    (folder / TRUTH).write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _write_exam(seed: int, order: Order, folder: Path, tomosynthesis: bool) -> dict[str, Any]:
    study = draw_study(seed, order)
    folder.mkdir()
    instances = [_write(folder, "", *one) for one in write_instances(study)]
    if tomosynthesis:
        planes = write_tomosynthesis(study, draw_planes(seed, order))
        instances += [_write(folder, "-DBT", *one) for one in planes]
    facts = {"vendor": study.vendor.name, "spacing": study.spacing, "instances": instances}
    return facts | study.truth.to_json()


def _write(folder: Path, mark: str, view: View, sop_instance_uid: str, content: bytes) -> dict[str, Any]:
    path = folder / f"{'-'.join(view)}{mark}.dcm"
    path.write_bytes(content)
    return {
        "view": list(view),
        "file": f"{folder.name}/{path.name}",
        "sop_instance_uid": sop_instance_uid,
    }
