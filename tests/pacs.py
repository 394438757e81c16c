"""A clinical PACS for tests: a plain Orthanc that takes whatever comes, and service class providers that misbehave."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from archive.destinations import KINDS
from archive.settings import Settings
from inference.delivery.described import SOP_CLASSES
from senogate.orthanc import program_of
from tests.certificates import Certificate
from tests.live import eventually

AET = "CLINIC"


@dataclass
class Pacs:
    """An Orthanc without our plugin: where it is, and its process."""

    port: int
    http_port: int
    process: subprocess.Popen[bytes]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=30, trust_env=False)

    def fill(self, instances: list[bytes]) -> None:
        with self.client() as client:
            for instance in instances:
                client.post("/instances", content=instance).raise_for_status()

    def instances(self, study_instance_uid: str | None = None) -> list[Dataset]:
        """What it holds of a study, or in all."""
        with self.client() as client:
            identifiers = client.get("/instances").json()
            files = [client.get(f"/instances/{each}/file").content for each in identifiers]
        found = [dcmread(BytesIO(each)) for each in files]
        return [each for each in found if study_instance_uid in (None, each.StudyInstanceUID)]

    def count(self) -> int:
        with self.client() as client:
            return int(client.get("/statistics").json()["CountInstances"])


@contextmanager
def orthanc(
    ports: list[int],
    *,
    certificate: Certificate | None = None,
    authority: Certificate | None = None,
    more: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Iterator[Pacs]:
    """Orthanc as it comes; with a certificate it speaks TLS alone, and asks for one of the authority's."""
    port, http_port = ports
    with tempfile.TemporaryDirectory(prefix="senogate-pacs-", ignore_cleanup_errors=True) as temporary:
        home = folder or Path(temporary)
        program = program_of(Settings(home=home, orthanc_port=http_port, dicom_port=port))
        configuration = {
            "DicomAet": AET,
            "DicomPort": port,
            "HttpPort": http_port,
            "StorageDirectory": f"{home}/db",
            "IndexDirectory": f"{home}/db",
            "Plugins": [],
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowFind": True,
            "DicomCheckCalledAet": True,
            **_tls(certificate, authority),
            **(more or {}),
        }
        (home / "orthanc").mkdir(parents=True, exist_ok=True)
        (home / "orthanc" / "orthanc.json").write_text(json.dumps(configuration))
        with open(home / "log", "wb") as log:
            tied = ["setpriv", "--pdeathsig", "TERM", "--"]
            process = subprocess.Popen(
                [*tied, *program.command], env=os.environ | dict(program.environment), stdout=log, stderr=log
            )
        pacs = Pacs(port, http_port, process)
        try:
            eventually(lambda: _answers(pacs))
            yield pacs
        finally:
            process.kill()
            process.wait()


def _tls(certificate: Certificate | None, authority: Certificate | None) -> dict[str, object]:
    if certificate is None or authority is None:
        return {}
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificate.path),
        "DicomTlsPrivateKey": str(certificate.key_path),
        "DicomTlsTrustedCertificates": str(authority.path),
        "DicomTlsRemoteCertificateRequired": True,
    }


def _answers(pacs: Pacs) -> bool:
    assert pacs.process.poll() is None
    try:
        with pacs.client() as client:
            return client.get("/system").is_success
    except httpx.HTTPError:
        return False


class Provider:
    """A storage provider that does as `answer` says; it keeps the SOP Instance UIDs of all C-STOREs, in order."""

    def __init__(
        self,
        answer: Callable[["Provider"], int],
        *,
        finds: bool = False,
        commits: bool = False,
        port: int = 0,
        kinds: tuple[str, ...] = KINDS,
    ) -> None:
        self.received: list[str] = []
        self.stored: dict[str, Dataset] = {}
        self.asked = 0
        self.release = threading.Event()
        self.answer = answer
        entity = AE(ae_title=AET)
        for uid in {SOP_CLASSES[kind] for kind in kinds}:
            entity.add_supported_context(uid)
        entity.add_supported_context(Verification)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store)]
        if finds:
            entity.add_supported_context("1.2.840.10008.5.1.4.1.2.2.1")
            handlers.append((evt.EVT_C_FIND, self._find))
        if commits:
            entity.add_supported_context(StorageCommitmentPushModel)
            handlers.append((evt.EVT_N_ACTION, self._commit))
        self._server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        assert self._server
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        assert self._server
        self._server.shutdown()

    def _store(self, event: evt.Event) -> int:
        dataset = event.dataset
        self.received.append(str(dataset.SOPInstanceUID))
        status = self.answer(self)
        if status == 0 or status & 0xF000 == 0xB000:
            self.stored[str(dataset.SOPInstanceUID)] = dataset
        return status

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        """Answer, and report on the same association."""
        asked = event.action_information
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence = asked.ReferencedSOPSequence
        uids = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        send = partial(event.assoc.send_n_event_report, report, 1, *uids)
        threading.Thread(target=send).start()
        return 0x0000, None

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.asked += 1
        wanted = str(event.identifier.SOPInstanceUID)
        if wanted in self.stored:
            found = Dataset()
            found.QueryRetrieveLevel, found.SOPInstanceUID = "IMAGE", wanted
            yield 0xFF00, found
        yield 0x0000, None
