"""What a transfer syntax means for pixels on the web (PS3.18 section 8.7.3, table 8.7.3-2 to -5)."""

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

MIXED = "*"
"""Stands for several transfer syntaxes together; a client that names one does not mean it."""

_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})
_MEDIA_TYPES = {
    "image/jpeg": ("4.50", "4.51", "4.57", "4.70"),
    "image/jls": ("4.80", "4.81"),
    "image/jp2": ("4.90", "4.91"),
    "image/jpx": ("4.92", "4.93"),
    "image/jphc": ("4.201", "4.202", "4.203"),
    "image/jxl": ("4.110", "4.111", "4.112"),
    "image/dicom-rle": ("5",),
    "video/mpeg": ("4.100", "4.100.1", "4.101", "4.101.1"),
    "video/mp4": (
        *("4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1", "4.106", "4.106.1"),
        *("4.107", "4.108"),
    ),
}
_MEDIA_TYPE_OF = {
    f"1.2.840.10008.1.2.{suffix}": name for name, suffixes in _MEDIA_TYPES.items() for suffix in suffixes
}


def frame_media_type(transfer_syntax_uid: str) -> str:
    """The media type of a frame that is compressed so; octets where the standard names none."""
    return _MEDIA_TYPE_OF.get(transfer_syntax_uid, "application/octet-stream")


def pixel_syntax(transfer_syntax_uid: str) -> str:
    """The transfer syntax that pixels without a data set around them are in.

    Native pixels are the same bytes in implicit as in explicit little endian, which is the name for them
    here.
    """
    return str(ExplicitVRLittleEndian) if transfer_syntax_uid in _NATIVE else transfer_syntax_uid
