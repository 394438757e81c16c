"""C-STORE: every item has an outcome, whatever becomes of the associations."""

import socket
import threading
from pathlib import Path

import pytest
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from senogate.scu import Item, Outcome, Receiver, find_items, send
from senogate.send import Result
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
        set_options.append(options)
        original(self, *options)

    monkeypatch.setattr(socket.socket, "setsockopt", note)
    image = dataset(SOPClassUID=DigitalMammographyXRayImageStorageForPresentation)
    (tmp_path / "a.dcm").write_bytes(part10(image))
    outcomes: list[Outcome] = []
    send(find_items([tmp_path]), Receiver(*server.server_address[:2], "SINK"), 1, outcomes.append)
    server.shutdown()
    assert [outcome.is_stored for outcome in outcomes] == [True]
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in set_options


def test_a_file_whose_sop_class_is_no_uid_is_told_and_not_sent(tmp_path: Path) -> None:
    """PS3.5 section 9: an association could not be asked for with it, and all others would wait in vain."""
    uid = DigitalMammographyXRayImageStorageForPresentation
    sound = part10(dataset(SOPClassUID=uid))
    (tmp_path / "damaged.dcm").write_bytes(sound.replace(uid.encode(), b"\xf1" * len(uid)))
    (item,) = find_items([tmp_path])
    assert item.problem == "its SOP class or transfer syntax is no UID (PS3.5 section 9)"


@pytest.mark.parametrize(
    ("name", "content", "is_other"),
    [
        ("truth.json", b'{"seed": 7}\n', True),
        ("image.dcm", b"{}", False),
        ("cut-off", bytes(60), False),
        ("without-a-preamble", b"\x08\0\x05\0CS\x0a\0ISO_IR 100", False),
        ("empty", b"", False),
    ],
)
def test_what_plainly_is_no_dicom_is_passed_over_in_a_folder(
    tmp_path: Path, name: str, content: bytes, is_other: bool
) -> None:
    """PS3.10 section 7.1: DICM at 128. What may be a data set, or is named by itself, is refused as before."""
    (tmp_path / name).write_bytes(content)
    (item,) = find_items([tmp_path])
    assert (bool(item.problem), item.is_other) == (True, is_other)
    assert [each.is_other for each in find_items([tmp_path / name])] == [False]


@pytest.mark.parametrize(("stored", "is_complete"), [(1, True), (0, False)])
def test_what_is_passed_over_fails_no_sending_of_something(stored: int, is_complete: bool) -> None:
    other = Item(Path("truth.json"), problem="not a DICOM Part 10 file (PS3.10)", is_other=True)
    result = Result([Outcome(Item(Path("a")), 0)] * stored + [Outcome(other, None, other.problem)])
    assert (result.is_complete, result.to_json()["skipped"]) == (is_complete, ["truth.json"])
    assert f"{stored} instances sent, 0 refused" in result.to_text()


def test_a_file_that_ends_the_association_takes_no_other_with_it(tmp_path: Path) -> None:
    """PS3.8 section 9.3.8: a receiver may end the association at any moment; each other file is sent over a new one."""
    uid = DigitalMammographyXRayImageStorageForPresentation
    for number in range(6):
        (tmp_path / f"{number}.dcm").write_bytes(
            part10(dataset(SOPClassUID=uid, SOPInstanceUID=f"1.2.{number}"))
        )

    def take(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID in ("1.2.1", "1.2.3"):
            event.assoc.abort()
        return 0

    listening = AE(ae_title="SINK")
    listening.add_supported_context(uid, ExplicitVRLittleEndian)
    server = listening.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    outcomes: list[Outcome] = []
    send(find_items([tmp_path]), Receiver(*server.server_address[:2], "SINK"), 1, outcomes.append)
    server.shutdown()
    assert [outcome.is_stored for outcome in outcomes] == [True, False, True, False, True, True]


def test_an_association_that_ends_between_files_costs_no_wait(tmp_path: Path) -> None:
    """PS3.8 section 9.3.8: where the end crosses with the next file, that file goes over a new association at once."""
    uid = DigitalMammographyXRayImageStorageForPresentation
    for number in range(240):
        (tmp_path / f"{number:03}.dcm").write_bytes(
            part10(dataset(SOPClassUID=uid, SOPInstanceUID=f"1.2.{number}"))
        )

    def take(event: evt.Event) -> int:
        number = int(event.request.AffectedSOPInstanceUID.rpartition(".")[2])
        if number % 3 == 0:  # soon after the answer, at a moment that differs
            threading.Timer(number % 7 * 0.0005, event.assoc.abort).start()
        return 0

    listening = AE(ae_title="SINK")
    listening.add_supported_context(uid, ExplicitVRLittleEndian)
    server = listening.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    outcomes: list[Outcome] = []
    sending = threading.Thread(
        target=send,
        args=(find_items([tmp_path]), Receiver(*server.server_address[:2], "SINK"), 3, outcomes.append),
        daemon=True,
    )
    sending.start()
    sending.join(50)  # seconds, fewer than the sender waits for an answer
    is_waiting = sending.is_alive()
    server.shutdown()
    refused = {outcome.item.path.stem for outcome in outcomes if not outcome.is_stored}
    assert (is_waiting, len(outcomes)) == (False, 240)
    assert all(int(name) % 3 == 0 for name in refused), "a file that ended nothing was lost"
