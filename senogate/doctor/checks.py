"""Every check, by the name that a finding has where the check itself gives up."""

from functools import partial

from senogate.doctor import (
    certificates,
    clock,
    database,
    dicom,
    federation,
    gateway,
    installation,
    keys,
    orthanc,
    ports,
    processes,
    storage,
    told,
)
from senogate.doctor.examination import Check
from senogate.doctor.place import Place


def checks_of(place: Place) -> dict[str, Check]:
    """The checks that a site's settings ask for: those of its PACS by their names."""
    found: dict[str, Check] = {
        "installation": installation.look,
        "keys": keys.look,
        "processes": processes.look,
        "ports": ports.look,
        "postgresql": database.look,
        "orthanc": orthanc.look,
        "dicom-port": dicom.look_at_own_port,
        "gateway": gateway.look,
        "storage": storage.look,
        "stored": storage.look_at_newest,
        "bucket": storage.look_at_bucket,
        "certificates": certificates.look,
        "clock": clock.look,
        "federation": federation.look,
        "state": told.look,
    }
    for destination in place.settings.destinations:
        found[f"pacs-{destination.name}"] = partial(dicom.look_at_pacs, destination=destination)
    if place.settings.destinations:
        found["delivery"] = dicom.look_at_acknowledgement
    return found
