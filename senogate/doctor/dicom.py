"""What answers C-ECHO (PS3.7 section 9.1.5): the site's own DICOM port, and each PACS that results are delivered to."""

import logging
from collections.abc import Iterator
from dataclasses import replace

from archive.destinations import Destination
from senogate.doctor.finding import Finding, act, consider, fine
from senogate.doctor.place import Place

_PATIENCE = 5  # seconds for each step of an association


def look_at_own_port(place: Place) -> Iterator[Finding]:
    """Whether the site takes associations where modalities send to."""
    if place.runs_here and place.pid is None:
        return  # that nothing runs is told
    settings = place.settings
    own = Destination(
        name="own",
        aet=settings.dicom_aet,
        host=settings.dicom_host,
        port=settings.dicom_port,
        timeout=_PATIENCE,
    )
    if said := _problem(own):
        log = settings.home / "logs" / "orthanc.log"
        yield act(
            "dicom-port", f"{own.address}: {said}", f"Nothing can be received; the end of {log} says why."
        )
    else:
        yield fine("dicom-port", f"{own.address} answers C-ECHO")


def look_at_pacs(place: Place, destination: Destination) -> Iterator[Finding]:
    """Whether a destination answers; nothing is sent to it."""
    name = f"pacs-{destination.name}"
    bounded = replace(destination, timeout=min(destination.timeout, _PATIENCE))
    if said := _problem(bounded):
        todo = (
            "See whether it runs, whether a firewall lets this machine through, and whether it knows the AE title"
            f" {destination.calling_aet}. What is due waits until it answers."
        )
        yield act(name, f"{destination.address}: {said}", todo, f"senogate delivery test {destination.name}")
    else:
        yield fine(name, f"{destination.address} answers C-ECHO")


def look_at_acknowledgement(place: Place) -> Iterator[Finding]:
    """Whether anything is delivered at all."""
    if not place.settings.acknowledge:
        said = "destinations are set, and nothing is delivered"
        yield consider(
            "delivery", said, "Set acknowledge, as docs/delivery.md tells, or remove the destinations."
        )


def _problem(destination: Destination) -> str:
    """Why a destination does not answer C-ECHO; empty where it does."""
    from inference.delivery.association import Association  # half a second, which a site without a PACS saves
    from inference.delivery.errors import Unreachable

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # a finding says it
    try:
        with Association(destination, []) as association:
            return "" if association.echo() else "C-ECHO fails"
    except Unreachable as error:
        return str(error)
