"""The noise of private training: never the same for two sets of what is learnt from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

pytest.importorskip("torch")
pytest.importorskip("flwr")

from archive import federation_keys
from archive.settings import load
from federation.examples.data import Loaded, made_of
from federation.examples.inputs import Entry
from federation.site import client
from federation.site.work import Order
from tests.unit.test_federation_approval import PRIVATE

LOADED = Loaded([], "1" * 64, "2" * 64, "3" * 64, 5, 5, made_of="4" * 64)
USED = [
    ("1.2", "SGA", Entry(Path("1.2_density_aa"), 0, {})),
    ("1.3", "SGB", Entry(Path("1.3_density_bb"), 0, {})),
]


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Order:
    key = Ed25519PrivateKey.generate()
    monkeypatch.setattr(federation_keys, "federation_key", lambda _: key)
    return Order(load({}), PRIVATE, "st-anna", "P1", "train", 1, "", {})


def test_a_label_that_was_corrected_brings_other_noise(order: Order) -> None:
    """The same noise twice would cancel, and leave what the one label changed."""
    first, again, other = (
        client._local(order, "0" * 64, loaded).secret
        for loaded in (LOADED, LOADED, replace(LOADED, made_of="5" * 64))
    )
    assert first == again != other


@pytest.mark.parametrize(
    "changed", [("1.3", "SGA", USED[1][2]), ("1.3", "SGB", Entry(Path("1.3_density_cc"), 0, {}))]
)
def test_what_is_learnt_from_is_another_with_another_person_or_file(changed: Any) -> None:
    assert made_of(USED) != made_of([USED[0], changed])
