"""Manifests of a hostile hub: what is no run is refused by a site with an error that its processes know."""

import json
from typing import Any

import pytest

from archive.errors import BadRequest
from federation.manifest import MOST_EPOCHS, parse_manifest
from tests.unit.test_federation_approval import MANIFEST


def text(**changes: Any) -> bytes:
    content = json.loads(MANIFEST.to_bytes()) | changes
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse_manifest(text()) == MANIFEST


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": ["dense-2024"]},
        {"dataset": "dense\0"},
        {"task": {"density": 1}},
        {"hub": "breast\x1b[2J"},
        {"parameters": {"x\npermit: P1": 1.0}},
        {"learning_rate": 10**400},
        {"rounds": 10**400},
        {"rounds": 1.5},
        {"epochs": True},
        {"epochs": MOST_EPOCHS + 1},
        {"packages": [["a"]]},
        {"privacy": {"noise_multiplier": "1", "max_grad_norm": 1.0, "delta": 1e-5}},
        {"privacy": {"noise_multiplier": 1e-160, "max_grad_norm": 1.0, "delta": 1e-5}},
        {"privacy": {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "delta": 0.0}},
        {"privacy": {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "delta": 0.1}},
        {"secure_aggregation": 0},
    ],
)
def test_what_is_no_run_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        parse_manifest(text(**changes))
