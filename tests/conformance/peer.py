"""Orthanc with its own DICOMweb plugin, to which the cases marked `standard` are put as to a gateway.

`pytest tests/conformance --server=orthanc` does so; `python -m benchmarks.conformance` does both and compares.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from archive.dicom_json import read_instance
from benchmarks.servers import peer
from tests.live import find_free_ports


@dataclass
class Peer:
    """An Orthanc that answers over HTTP, and the bytes that it was given by SOP Instance UID."""

    dicomweb_url: str
    files: dict[str, bytes] = field(default_factory=dict)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.dicomweb_url, timeout=60, trust_env=False)

    def fill(self, instances: list[bytes]) -> None:
        """Store instances by Orthanc's own interface."""
        with httpx.Client(base_url=self.dicomweb_url.removesuffix("/dicom-web"), trust_env=False) as orthanc:
            for instance in instances:
                orthanc.post("/instances", content=instance).raise_for_status()
                self.files[read_instance(instance).sop_instance_uid] = instance

    def stored_instances(self) -> int:
        with self.client() as client:
            address = self.dicomweb_url.removesuffix("dicom-web") + "statistics"
            return client.get(address).json()["CountInstances"]


@contextmanager
def serve_peer(instances: list[bytes]) -> Iterator[Peer]:
    """A bare Orthanc with its DICOMweb plugin over these instances."""
    with peer(find_free_ports(2)) as server:
        made = Peer(str(server.dicomweb.base_url).rstrip("/"))
        made.fill(instances)
        yield made
