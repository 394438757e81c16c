"""C-STORE: every item has an outcome, whatever becomes of the associations."""

import socket
from pathlib import Path

import pytest
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from senogate.scu import Item, Outcome, Receiver, find_items, send
from tests.unit.dicom_files import dataset, part10


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


def test_no_message_waits_for_the_receivers_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nagle's algorithm (RFC 896) is off: it would hold back the end of each message for some 40 ms."""
    set_options: list[tuple[int, int, int]] = []
    listening = AE(ae_title="SINK")
    listening.add_supported_context(DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    server = listening.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: 0)]
    )
    original = socket.socket.setsockopt

    def note(self: socket.socket, *options: int) -> None:
        set_options.append(options)  # type: ignore[arg-type]
        original(self, *options)

    monkeypatch.setattr(socket.socket, "setsockopt", note)
    image = dataset(SOPClassUID=DigitalMammographyXRayImageStorageForPresentation)
    (tmp_path / "a.dcm").write_bytes(part10(image))
    outcomes: list[Outcome] = []
    send(find_items([tmp_path]), Receiver(*server.server_address[:2], "SINK"), 1, outcomes.append)
    server.shutdown()
    assert [outcome.is_stored for outcome in outcomes] == [True]
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in set_options
