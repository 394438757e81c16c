"""The service class user towards one destination: C-ECHO, C-STORE, C-FIND, storage commitment; bounded in time."""

import io
import socket
import ssl
import struct
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association as Connection
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made on import
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from archive.destinations import Destination
from archive.dimse import WAKE
from inference.delivery.errors import Undeliverable, Unreachable
from inference.delivery.reidentified import Reidentified

_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_CONNECT = 10  # seconds for a connection to come about, at most
_BROKEN = (OSError, RuntimeError, ValueError, AttributeError)  # of an association that ended meanwhile
_REQUEST_COMMITMENT = 1  # action type (PS3.4 J.3.2)


class Meaning(StrEnum):
    """What an answer to C-STORE means for the delivery."""

    STORED = "stored"
    LATER = "later"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # none came: it may be stored


class Answer(NamedTuple):
    """What came of a C-STORE; `status` is None where no answer came."""

    meaning: Meaning
    status: int | None
    reason: str


_STATUSES: Mapping[int, tuple[Meaning, str]] = {
    0x0000: (Meaning.STORED, ""),
    0x0111: (Meaning.STORED, "the destination held it already"),
    0x0110: (Meaning.LATER, "the destination failed to process it"),
    0x0122: (Meaning.REFUSED, "the destination does not take its SOP class"),
    0x0124: (Meaning.REFUSED, "the destination does not authorise it"),
}
_RANGES: Mapping[int, tuple[Meaning, str]] = {  # PS3.4 table B.2-1, by the first digits
    0xA700: (Meaning.LATER, "the destination is out of resources"),
    0xA900: (Meaning.REFUSED, "the destination says that it does not match its SOP class"),
}


def judge(status: int) -> Answer:
    """What a status of C-STORE means (PS3.4 table B.2-1, PS3.7 annex C)."""
    meaning, reason = _STATUSES.get(status) or _RANGES.get(status & 0xFF00) or _by_kind(status)
    return Answer(meaning, status, reason)


def _by_kind(status: int) -> tuple[Meaning, str]:
    if status & 0xF000 == 0xB000 or status in (0x0001, 0x0107, 0x0116):
        return Meaning.STORED, "the destination stored it with a warning"
    if status & 0xF000 == 0xC000:
        return Meaning.REFUSED, "the destination says that it can't understand it"
    return Meaning.LATER, "the destination failed"


class Association:
    """One association with a destination; use it in a `with` block. Raises Unreachable where none comes about."""

    def __init__(
        self, destination: Destination, sop_classes: Collection[str], handlers: Iterable[Any] = ()
    ) -> None:
        self._destination = destination
        entity = AE(ae_title=destination.calling_aet)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = destination.timeout
        entity.connection_timeout = min(_CONNECT, destination.timeout)
        entity.requested_contexts = [
            build_context(each, syntax) for each in dict.fromkeys(sop_classes) for syntax in _SYNTAXES
        ]
        entity.add_requested_context(Verification)
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        if destination.commitment:
            entity.add_requested_context(StorageCommitmentPushModel)
        self._connection = self._associate(entity, handlers)

    def _associate(self, entity: AE, handlers: Iterable[Any]) -> Connection:
        destination = self._destination
        try:
            connection = entity.associate(
                destination.host,
                destination.port,
                ae_title=destination.aet,
                evt_handlers=[(evt.EVT_CONN_OPEN, self._bound), *WAKE, *handlers],
                tls_args=_tls(destination),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise Unreachable(f"no connection ({type(error).__name__})") from None
        if connection.is_established:
            return connection
        if connection.is_rejected:
            raise Unreachable("the destination rejected the association: does it know the calling AE title?")
        raise Unreachable("no association: is it there, and do the TLS settings fit?")

    def _bound(self, event: evt.Event) -> None:
        """No wait for acknowledgements, and none without end for who stops to read or to write in mid-sentence."""
        connection = event.assoc.dul.socket
        if connection is not None and connection.socket is not None:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            timeout = struct.pack("ll", self._destination.timeout, 0)
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                connection.socket.setsockopt(socket.SOL_SOCKET, option, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.is_established:
            self._connection.release()

    @property
    def is_established(self) -> bool:
        return bool(self._connection.is_established)

    def accepts(self, sop_class_uid: str) -> list[UID]:
        """The transfer syntaxes in which the destination takes a SOP class, Explicit VR Little Endian first."""
        return [
            syntax
            for syntax in _SYNTAXES
            for context in self._connection.accepted_contexts
            if context.abstract_syntax == sop_class_uid and context.transfer_syntax == [syntax]
        ]

    @property
    def offers_find(self) -> bool:
        return self._offers(StudyRootQueryRetrieveInformationModelFind)

    @property
    def offers_commitment(self) -> bool:
        return self._offers(StorageCommitmentPushModel)

    def _offers(self, sop_class: str) -> bool:
        return any(each.abstract_syntax == sop_class for each in self._connection.accepted_contexts)

    def echo(self) -> bool:
        """Whether C-ECHO succeeds."""
        try:
            answer = self._connection.send_c_echo()
        except _BROKEN:
            return False
        return "Status" in answer and answer.Status == 0

    def store(self, result: Reidentified) -> Answer:
        """C-STORE, in explicit VR where the destination takes it. Raises Undeliverable."""
        syntaxes = self.accepts(result.sop_class_uid)
        if not syntaxes:
            raise Undeliverable("the destination does not accept its SOP class")
        dataset = _dataset(result.dataset(explicit=syntaxes[0] == ExplicitVRLittleEndian), syntaxes[0])
        try:
            answer = self._connection.send_c_store(dataset)
        except _BROKEN:
            answer = Dataset()
        if "Status" in answer:
            return judge(int(answer.Status))
        self.abort()
        return Answer(Meaning.UNKNOWN, None, "no answer came")

    def holds(self, result: Reidentified) -> bool | None:
        """Whether the destination tells by C-FIND that it holds the instance; None where it does not say.

        Raises Unreachable where it offers that and no answer comes.
        """
        if not self.offers_find:
            return None
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "IMAGE"
        wanted.StudyInstanceUID = result.study_instance_uid
        wanted.SeriesInstanceUID = result.series_instance_uid
        wanted.SOPInstanceUID = result.sop_instance_uid
        try:
            answers = list(self._connection.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind))
        except _BROKEN:
            answers = []
        if not answers or "Status" not in answers[-1][0]:
            self.abort()
            raise Unreachable("no answer came to a query")
        if answers[-1][0].Status != 0:
            return None
        return any(found and found.get("SOPInstanceUID") == result.sop_instance_uid for _, found in answers)

    def ask_commitment(self, transaction_uid: str, instances: Iterable[tuple[str, str]]) -> bool:
        """N-ACTION of storage commitment for (SOP class, SOP Instance UID)s; whether the destination took it."""
        information = Dataset()
        information.TransactionUID = transaction_uid
        information.ReferencedSOPSequence = [_reference(*each) for each in instances]
        try:
            answer, _ = self._connection.send_n_action(
                information,
                _REQUEST_COMMITMENT,
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
            )
        except _BROKEN:
            return False
        return "Status" in answer and answer.Status == 0

    def abort(self) -> None:
        """End it at once, from any thread: who waits for an answer learns that none comes."""
        if self._connection.is_established:
            self._connection.abort()
            self._connection.dimse.msg_queue.put((None, None))


def _dataset(encoded: bytes, syntax: UID) -> Dataset:
    """The data set as pynetdicom takes it; its elements stay the bytes that they are."""
    dataset = read_dataset(io.BytesIO(encoded), syntax.is_implicit_VR, True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _tls(destination: Destination) -> tuple[ssl.SSLContext, str] | None:
    """Verified against the destination's own authorities, or the system's; its name has to be in its certificate."""
    if not destination.tls:
        return None
    context = ssl.create_default_context(cafile=destination.tls_authorities or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Hospitals' own authorities leave out identifiers that Python asks for from 3.13 on; all else is verified.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if destination.tls_certificate:
        context.load_cert_chain(destination.tls_certificate, destination.tls_key)
    return context, destination.host
