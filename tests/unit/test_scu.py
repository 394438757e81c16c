"""C-STORE: every item has an outcome, whatever becomes of the associations."""

from pathlib import Path

import pytest

from senogate.scu import Item, Outcome, Receiver, send


@pytest.mark.parametrize(
    "receiver",
    [Receiver("no-such-host.invalid", 4242, "SENOGATE"), Receiver("127.0.0.1", 9, "LONGER-THAN-AN-AE-TITLE")],
    ids=["unknown host", "no AE title"],
)
def test_an_item_that_has_nowhere_to_go_is_reported(receiver: Receiver) -> None:
    items = [Item(Path(name), "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.1.2.1") for name in ("a", "b")]
    outcomes: list[Outcome] = []
    send(items, receiver, 2, outcomes.append)
    assert sorted(outcome.item.path.name for outcome in outcomes) == ["a", "b"]
    assert all("no association" in outcome.reason for outcome in outcomes)
