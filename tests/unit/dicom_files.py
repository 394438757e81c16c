"""Part 10 files, made as a test needs them."""

from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from deidentification.part10 import Meta, read_meta
from deidentification.seal import Kind

IDENTIFIERS = {
    "SOPClassUID": str(SecondaryCaptureImageStorage),
    "SOPInstanceUID": "1.2.3.4.5",
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.4",
}


def dataset(**values: Any) -> Dataset:
    """A data set with the identifiers and these values; None leaves one out."""
    made = Dataset()
    for keyword, value in (IDENTIFIERS | values).items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def part10(made: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """The data set as a file; its pixels are encapsulated already where the transfer syntax wants it."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = transfer_syntax_uid
    file = BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def prove(file: bytes, key: bytes, kind: Kind = Kind.WHOLE, pixels: int = 0) -> bytes:
    """The file with a proof by the key; a header proof leaves the last `pixels` bytes open."""
    syntax, start = read_meta(file)
    header = dcmread(BytesIO(file), specific_tags=["SOPClassUID", "SOPInstanceUID"])
    meta = Meta("a test's")
    begun = meta.begin(header.SOPClassUID, header.SOPInstanceUID, syntax)
    end = len(file) - pixels
    return meta.prove(key, kind, begun, file[start:end], memoryview(file)[end:], b"")


def pixels(rows: int, columns: int, frames: int = 1, bits: int = 8) -> dict[str, Any]:
    """The attributes of native grey pixels, each frame's bytes all its number."""
    size = rows * columns * bits // 8
    data = b"".join(bytes([frame]) * size for frame in range(1, frames + 1))
    return {
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "NumberOfFrames": frames,
        "PixelData": data + b"\0" * (len(data) % 2),
    }


def compressed(fragments: list[list[bytes]], *, table: bool) -> dict[str, Any]:
    """Encapsulated pixels, a list of fragments for each frame, with or without a Basic Offset Table."""
    frames = [b"".join(parts) for parts in fragments]
    data = encapsulate(frames, fragments_per_frame=len(fragments[0]), has_bot=table)
    return pixels(8, 8, len(frames)) | {"PixelData": data}
