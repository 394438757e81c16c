"""Pictures and passports for tests of answers: as small as a test wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from inference.density import passport_outputs
from inference.instance import Instance
from inference.passport import Passport
from inference.passport_reading import parse_passport
from inference.picture import Picture
from inference.toml_table import to_toml

VIEWS = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))
INSTANCE = Instance(
    *(b"", "2.25.1", "2.25.2", "", "2.25.3", "MG", "FOR PRESENTATION", (), "", "", "", ""),
    modified=False,
    partial=False,
    quality_control=False,
    number_of_frames=1,
    acquired=("", "", 0),
)


def picture(view: tuple[str, str] = ("", ""), shape: tuple[int, int] = (8, 8), **values: Any) -> Picture:
    """A black picture whose instance's UID is made of its view."""
    instance = replace(INSTANCE, sop_instance_uid="-".join(view) or INSTANCE.sop_instance_uid)
    defaults = {"pixels": np.zeros(shape, np.float32), "spacing": None}
    return Picture(instance, view, **defaults | values)


def content(
    kind: str, inputs: Mapping[str, Any] | None = None, outputs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a passport of a kind says, of ultrasound images without views unless `inputs` say otherwise."""
    code = {"value": "1", "scheme": "99TEST", "meaning": "one"}
    return {
        "format": 2,
        "identity": {
            **dict.fromkeys(("name", "title", "intended_use", "licence"), "x"),
            "version": "1.0.0",
            "task": "lesions",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "US",
            "presentation_intent": "",
            "views": [],
            "per": "image",
            "preprocessing": [{"name": "stack"}],
            **(inputs or {}),
        },
        "outputs": {"kind": kind, "concept": code, **(outputs or {})},
        "training": {"trained_on": "x", "citation": "x"},
        "network": {"sha256": "0" * 64},
    }


def passport(
    kind: str, inputs: Mapping[str, Any] | None = None, outputs: Mapping[str, Any] | None = None
) -> Passport:
    """The passport of `content`."""
    return parse_passport(to_toml(content(kind, inputs, outputs)).encode())


def mammography(per: str, views: Sequence[tuple[str, str]] = VIEWS) -> dict[str, Any]:
    """The inputs of a passport that reads standard mammograms."""
    names = [" ".join(view) for view in views]
    return {"modality": "MG", "presentation_intent": "FOR PRESENTATION", "views": names, "per": per}


def density(per: str, **outputs: Any) -> Passport:
    """A passport of BI-RADS breast composition."""
    return passport("classes", mammography(per), {**passport_outputs(), **outputs})
