"""The service class user of C-STORE (PS3.4 annex B): files and folders, over several associations at once."""

import queue
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import config, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from archive.dimse import WAKE

_config.STORE_SEND_CHUNKED_DATASET = True  # the data set goes out as it lies in the file
_CONTEXTS = 120  # presentation contexts an association asks for; PS3.8 allows 128
_IDENTIFIERS = ["StudyInstanceUID", "SOPClassUID", "SOPInstanceUID"]
_UID = re.compile(r"[0-9.]{1,64}")  # one that is none would end the association of all others, too
_LIKE_DICOM = (b"", b"\0", b"\2", b"\x08")  # how a file begins that may be a data set, or what is left of one
_NAMES = (".dcm", ".dicom", ".ima")
_STATUS = {
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0xA700: "refused by the site",
    0xA900: "data set does not match its SOP class",
    0xC000: "not understood",
}
_NO_ANSWER = "the association ended before an answer came"
_REASONS = {ValueError: "its SOP class or transfer syntax is not accepted", RuntimeError: _NO_ANSWER}


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to send: an address and its AE title."""

    host: str
    port: int
    aet: str


@dataclass(frozen=True, slots=True)
class Item:
    """A file to send, and what its header says. UIDs are the sender's own.

    `is_other`: it lies in a folder, beside what is to be sent, and plainly is no DICOM.
    """

    path: Path
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    problem: str = ""
    is_other: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. `reason` is empty when it was stored."""

    item: Item
    status: int | None
    reason: str = ""

    @property
    def is_stored(self) -> bool:
        return not self.reason


def find_items(paths: Iterable[Path]) -> list[Item]:
    """The files below `paths`, in order; what is not DICOM is kept, with its problem."""
    named = set(paths := list(paths))
    return [
        replace(item, is_other=item.path not in named and bool(item.problem) and _is_other(item.path))
        for item in map(_read_item, _files(paths))
    ]


def send(items: list[Item], receiver: Receiver, associations: int, report: Callable[[Outcome], None]) -> None:
    """Send every item once; `report` is called from several threads, once for each item.

    An exception in the calling thread, such as that of Ctrl-C, ends it after the items that are under way.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        if item.problem:
            report(Outcome(item, None, item.problem))
        else:
            waiting.put(item)
    threads = [
        threading.Thread(target=_send_waiting, args=(waiting, items, receiver, report))
        for _ in range(min(associations, max(1, waiting.qsize())))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        with suppress(queue.Empty):
            while True:
                waiting.get_nowait()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _is_other(path: Path) -> bool:
    """Whether neither a file's name nor its beginning is that of a data set; False where it can't be read."""
    try:
        with open(path, "rb") as file:
            first, is_part10 = file.read(1), file.read(131)[127:] == b"DICM"
    except OSError:
        return False
    return not is_part10 and first not in _LIKE_DICOM and path.suffix.lower() not in _NAMES


def _read_item(path: Path) -> Item:
    try:
        if not is_dicom(path):
            return Item(path, problem="not a DICOM Part 10 file (PS3.10)")
        with config.disable_value_validation():  # its warnings would quote values
            header = dcmread(path, stop_before_pixels=True, specific_tags=_IDENTIFIERS)
        syntax = str(header.file_meta.TransferSyntaxUID)
        study, instance = (str(header.get(name, "")) for name in ("StudyInstanceUID", "SOPInstanceUID"))
        if not all(_UID.fullmatch(uid) for uid in (header.SOPClassUID, syntax)):
            return Item(path, problem="its SOP class or transfer syntax is no UID (PS3.5 section 9)")
        return Item(path, str(header.SOPClassUID), syntax, study, instance)
    except OSError as error:
        return Item(path, problem=f"can't be read ({type(error).__name__})")
    except (InvalidDicomError, AttributeError, ValueError, KeyError, NotImplementedError, EOFError) as error:
        return Item(path, problem=f"its header can't be read ({type(error).__name__})")


def _send_waiting(
    waiting: "queue.SimpleQueue[Item]",
    items: list[Item],
    receiver: Receiver,
    report: Callable[[Outcome], None],
) -> None:
    association: Association | None = None
    with suppress(queue.Empty):
        while True:
            item = waiting.get_nowait()
            is_first = False
            if association is None or not association.is_established:
                association, is_first = _associate(items, receiver), True
            outcome = _send_one(item, association, receiver)
            if outcome.reason == _NO_ANSWER and association is not None:
                association.abort()  # it looks established until its thread has seen that the receiver ended it
                association = None
                if not is_first:  # what an earlier file did to it is not this one's fault
                    association = _associate(items, receiver)
                    outcome = _send_one(item, association, receiver)
            report(outcome)
    if association is not None and association.is_established:
        association.release()


def _associate(items: list[Item], receiver: Receiver) -> Association | None:
    """A new association; None where none comes about."""
    entity = AE(ae_title="SENOGATE-SEND")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    wanted = dict.fromkeys(
        (item.sop_class_uid, item.transfer_syntax_uid) for item in items if not item.problem
    )
    entity.requested_contexts = [build_context(*pair) for pair in list(wanted)[:_CONTEXTS]]
    try:
        association = entity.associate(
            receiver.host,
            receiver.port,
            ae_title=receiver.aet,
            evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once), *WAKE],
        )
    except (OSError, ValueError):
        return None
    return association if association.is_established else None


def _send_at_once(event: evt.Event) -> None:
    """Have the last part of a message not wait for the receiver's acknowledgement, which comes up to 40 ms later."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _send_one(item: Item, association: Association | None, receiver: Receiver) -> Outcome:
    if association is None:
        return Outcome(item, None, f"no association with {receiver.aet} at {receiver.host}:{receiver.port}")
    try:
        answer = association.send_c_store(item.path)
    except (ValueError, RuntimeError, AttributeError, OSError) as error:
        return Outcome(item, None, _REASONS.get(type(error), type(error).__name__))
    if "Status" not in answer:
        return Outcome(item, None, _NO_ANSWER)
    status = int(answer.Status)
    stored = status == 0 or status & 0xF000 == 0xB000  # success or a warning (PS3.4 table B.2-1)
    return Outcome(item, status, "" if stored else _STATUS.get(status, f"status 0x{status:04X}"))
