"""What an instance that was made here is to its deliveries."""

import hashlib

from pydicom.uid import (
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from archive.deliveries import Result
from archive.destinations import Kind
from archive.settings import RESULTS
from deidentification.part10 import read_meta
from inference.instance import read_instance

SOP_CLASSES: dict[str, str] = {
    "sr": Comprehensive3DSRStorage,
    "cad-sr": MammographyCADSRStorage,
    "sc": SecondaryCaptureImageStorage,
    "seg": SegmentationStorage,
    "gsps": GrayscaleSoftcopyPresentationStateStorage,
    "kos": KeyObjectSelectionDocumentStorage,
    "review": Comprehensive3DSRStorage,
}
"""The SOP class of each kind that can be delivered."""
_KINDS = {SOP_CLASSES[kind]: kind for kind in RESULTS}


def describe(instance: bytes, kind: Kind | None = None) -> Result:
    """The Part 10 instance as `deliveries.want` takes it; its SOP class tells the kind where none is given."""
    header = read_instance(instance)
    return Result(
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        kind=kind or _KINDS[header.sop_class_uid],
        content=content_of(instance),
    )


def content_of(instance: bytes) -> str:
    """The SHA-256 of a Part 10 instance's data set, in hexadecimal: what the file says of itself aside."""
    _, start = read_meta(instance)
    return hashlib.sha256(memoryview(instance)[start:]).hexdigest()
