"""What the passports of models say that are trained across sites, whatever their task."""

from collections.abc import Mapping
from typing import Any

from inference.phantom import VIEWS


def tables(
    name: str, title: str, task: str, inputs: Mapping[str, object], outputs: Mapping[str, object]
) -> dict[str, Any]:
    """The tables of a passport; `inputs` is what the task adds to those of mammograms, view by view."""
    return {
        "identity": {
            "name": name,
            "title": title,
            "task": task,
            "intended_use": "Research use only: not for diagnosis or treatment.",
            "licence": "Apache-2.0",
            "research_use_only": True,
        },
        "inputs": {
            "modality": "MG",
            "presentation_intent": "FOR PRESENTATION",
            "views": [" ".join(view) for view in VIEWS],
            "per": "view",
            **inputs,
        },
        "outputs": outputs,
    }
