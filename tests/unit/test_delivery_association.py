"""An association with a destination: what it negotiates, and that nothing in it lasts for ever."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from archive.destinations import Destination
from inference.delivery.association import Association, Meaning
from inference.delivery.described import SOP_CLASSES
from inference.delivery.errors import Undeliverable, Unreachable
from tests import certificates
from tests.pacs import AET, Provider

CAPTURE = SOP_CLASSES["sc"]


class Picture:
    """A result of many bytes, as the association takes it."""

    sop_class_uid, sop_instance_uid = CAPTURE, "2.25.1"
    series_instance_uid, study_instance_uid = "2.25.2", "2.25.3"

    def __init__(self, size: int = 100) -> None:
        self._size = size

    def dataset(self, *, explicit: bool) -> bytes:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = self.sop_class_uid, self.sop_instance_uid
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.PatientName = "Müller"
        dataset.PixelData = bytes(self._size)
        dataset["PixelData"].VR = "OB"
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, not explicit
        write_dataset(buffer, dataset)
        return buffer.getvalue()


def to(port: int, **more: object) -> Destination:
    return Destination(name="pacs", aet=AET, host="127.0.0.1", port=port, **{"timeout": 2, **more})


@contextmanager
def frozen(port: int, limit: int, back: int = 1 << 30) -> Iterator[int]:
    """A way to a port that passes some bytes on, some `back`, and then takes in no more and says nothing."""
    ended = threading.Event()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listening.bind(("127.0.0.1", 0))
    listening.listen()

    def copy(source: socket.socket, target: socket.socket, most: int) -> None:
        with suppress(OSError):
            while most > 0 and (data := source.recv(min(most, 4096))):
                target.sendall(data)
                most -= len(data)
            ended.wait(30)

    def serve() -> None:
        with suppress(OSError):
            near, _ = listening.accept()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                threading.Thread(target=copy, args=(far, near, back), daemon=True).start()
                copy(near, far, limit)
                far.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        ended.set()
        listening.close()


def test_a_receiver_that_takes_nothing_in_is_given_up() -> None:
    """No buffer holds the picture, so the sending itself would never end."""
    picture = Picture(50_000_000)
    with (
        Provider(lambda _: 0) as provider,
        frozen(provider.port, 5000) as port,
        Association(to(port), [CAPTURE]) as association,
    ):
        assert association.store(picture).meaning is Meaning.UNKNOWN
        assert not association.is_established


def test_a_sender_that_stops_in_mid_sentence_is_given_up() -> None:
    """The rest of a PDU is read as one (PS3.8 9.3.1), so the reading itself would never end."""
    with Provider(lambda _: 0) as provider:
        with Association(to(provider.port), [CAPTURE]) as association:
            assert association.is_established
        with frozen(provider.port, 1 << 30, back=100) as port, pytest.raises(Unreachable):
            Association(to(port), [CAPTURE])


@pytest.mark.parametrize(
    ("taken", "used"),
    [
        ([ExplicitVRLittleEndian, ImplicitVRLittleEndian], ExplicitVRLittleEndian),
        ([ImplicitVRLittleEndian], ImplicitVRLittleEndian),
    ],
)
def test_explicit_vr_goes_before_implicit(taken: list[str], used: str) -> None:
    came: list[tuple[str, bytes]] = []

    def keep(event: evt.Event) -> int:
        came.append((event.context.transfer_syntax, event.request.DataSet.getvalue()))
        return 0

    entity = AE(ae_title=AET)
    entity.add_supported_context(CAPTURE, taken)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    assert server
    with Association(to(server.server_address[1]), [CAPTURE]) as association:
        assert association.store(Picture()).status == 0
    server.shutdown()
    assert came == [(used, Picture().dataset(explicit=used == ExplicitVRLittleEndian))]


def test_a_sop_class_that_is_not_accepted_is_not_sent() -> None:
    with (
        Provider(lambda _: 0, kinds=("sr",)) as provider,
        Association(to(provider.port), [CAPTURE]) as association,
    ):
        assert association.echo() and not association.offers_find
        with pytest.raises(Undeliverable):
            association.store(Picture())


def test_an_address_that_leads_nowhere(free_ports) -> None:
    for destination in (to(free_ports(1)[0]), replace(to(104), host="no-such-host.invalid")):
        with pytest.raises(Unreachable):
            Association(destination, [CAPTURE])


def test_a_certificate_of_another_authority_is_not_believed(tmp_path: Path) -> None:
    authority, other = (certificates.make(tmp_path, each) for each in ("authority", "other"))
    server = certificates.make(tmp_path, "server", authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.path, server.key_path)
    entity = AE(ae_title=AET)
    entity.add_supported_context(CAPTURE)
    listening = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=context)
    assert listening
    port = listening.server_address[1]
    with Association(to(port, tls=True, tls_authorities=str(authority.path)), [CAPTURE]) as association:
        assert association.is_established
    with pytest.raises(Unreachable):
        Association(to(port, tls=True, tls_authorities=str(other.path)), [CAPTURE])
    with pytest.raises(Unreachable):
        Association(to(port, tls=True, tls_authorities=str(tmp_path / "absent.pem")), [CAPTURE])
    listening.shutdown()
