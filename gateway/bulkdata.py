"""The value of an attribute that DICOM JSON gives by reference (PS3.18 section F.2.6)."""

import re
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from archive.errors import BadRequest, NotFound, is_shortage
from archive.pixels.layout import DAMAGED

_ADDRESS = re.compile(r"[0-9A-Fa-f]{8}(/[0-9]{1,6}/[0-9A-Fa-f]{8}){0,16}")


def find_bulkdata(path: Path, address: str) -> bytes:
    """The bytes of a binary value. Its address is its tag, after sequence and item number for one in an item.

    Reads the file up to its pixels, so call it off the event loop. Raises BadRequest for a malformed address,
    NotFound where there is no such binary value.
    """
    if not _ADDRESS.fullmatch(address):
        raise BadRequest("a bulk data address is made of tags and item numbers")
    names = address.split("/")
    try:
        dataset = _read(path)
        for sequence, index in zip(names[:-1:2], names[1::2], strict=True):
            dataset = dataset[int(sequence, 16)].value[int(index)]
        value = dataset[int(names[-1], 16)].value
    except (OSError, *DAMAGED) as error:
        if is_shortage(error):
            raise
        raise NotFound("the instance has no such bulk data") from None
    if not isinstance(value, bytes):
        raise NotFound("the instance has no such bulk data")
    return value


def _read(path: Path) -> Dataset:
    dataset = dcmread(path, stop_before_pixels=True)
    deflated = dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    return dcmread(path) if deflated else dataset
