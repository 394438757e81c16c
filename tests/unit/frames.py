"""Real compressed frames: made and decoded by codecs that know nothing of what is tested."""

import io

import imagecodecs
import numpy
import pydicom
from pydicom.encaps import generate_frames

JPEG, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
JPEG_LS, JPEG_2000, HTJ2K, JPEG_XL = (f"1.2.840.10008.1.2.4.{n}" for n in (80, 90, 201, 110))
RLE, UNCOMPRESSED, DEFLATED_FRAMES = (f"1.2.840.10008.1.2.{end}" for end in ("5", "1.98", "8.1"))

_DRAWN = numpy.random.default_rng(7).integers(0, 255, (3, 5), numpy.uint8)
IMAGE = numpy.kron(_DRAWN, numpy.ones((13, 11), numpy.uint8)) + numpy.arange(55, dtype=numpy.uint8)
COLOURED = numpy.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]], axis=-1)

_ENCODERS = {
    JPEG: lambda image: imagecodecs.jpeg8_encode(image, 90),
    JPEG_EXTENDED: lambda image: imagecodecs.jpeg_encode(
        image.astype(numpy.uint16) * 16, 90, bitspersample=12
    ),
    JPEG_LOSSLESS_SV1: lambda image: imagecodecs.jpeg8_encode(image, lossless=True, predictor=1),
    JPEG_LS: imagecodecs.jpegls_encode,
    JPEG_2000: lambda image: imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=True),
    HTJ2K: imagecodecs.htj2k_encode,
    JPEG_XL: imagecodecs.jpegxl_encode,
}
_DECODERS = {
    JPEG_LS: imagecodecs.jpegls_decode,
    JPEG_2000: imagecodecs.jpeg2k_decode,
    HTJ2K: imagecodecs.htj2k_decode,
    JPEG_XL: imagecodecs.jpegxl_decode,
}
SYNTAXES = tuple(_ENCODERS)


def encode(image: numpy.ndarray, transfer_syntax: str) -> bytes:
    """A frame in the transfer syntax."""
    return bytes(_ENCODERS[transfer_syntax](image))


def decode(frame: bytes, transfer_syntax: str) -> numpy.ndarray:
    """What the frame shows."""
    return _DECODERS.get(transfer_syntax, imagecodecs.jpeg_decode)(frame)


def decoded(instance: bytes) -> list[bytes]:
    """The decoded frames of an instance; those of codecs that are not tested here as they lie."""
    dataset = pydicom.dcmread(io.BytesIO(instance))
    syntax = dataset.file_meta.TransferSyntaxUID
    if not dataset.get("PixelData", b"").startswith(b"\xfe\xff\0\xe0"):
        native = dataset.get("PixelData", b"")
        big_endian = syntax == "1.2.840.10008.1.2.2"
        return [numpy.frombuffer(native, ">u2").astype("<u2").tobytes() if big_endian else native]
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    if syntax == JPEG_LOSSLESS:
        syntax = JPEG_LOSSLESS_SV1
    known = syntax in _ENCODERS and syntax != JPEG_XL
    return [decode(frame, syntax).tobytes() if known else frame for frame in frames]
