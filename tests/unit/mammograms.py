"""Exams for unit tests: small phantoms, changed and encoded as a test wants them."""

import io
from collections.abc import Callable

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from inference.demo import build_exam, to_part10
from inference.phantom import draw_exam


def small_exam(glandular_fraction: float = 0.35) -> list[bytes]:
    """L CC, R CC, L MLO, R MLO of 12 bits, 208 × 160."""
    exam = draw_exam(7, glandular_fraction=glandular_fraction, rows=208, columns=160)
    return build_exam(exam.images, seed="test")


def changed(part10: bytes, change: Callable[[FileDataset], object]) -> bytes:
    """An instance after `change` was applied to its dataset."""
    dataset = dcmread(io.BytesIO(part10))
    change(dataset)
    return to_part10(dataset)


def with_values(part10: bytes, **values: object) -> bytes:
    """An instance with other values; None removes an attribute."""

    def change(dataset: FileDataset) -> None:
        for keyword, value in values.items():
            delattr(dataset, keyword) if value is None else setattr(dataset, keyword, value)

    return changed(part10, change)


def _lossless_jpeg(pixels: np.ndarray) -> bytes:
    return imagecodecs.ljpeg_encode(pixels, bitspersample=12)


ENCODERS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "JPEG lossless": (JPEGLosslessSV1, _lossless_jpeg),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "JPEG 2000": (JPEG2000Lossless, lambda p: imagecodecs.jpeg2k_encode(p, level=0, codecformat="j2k")),
    "HTJ2K": (HTJ2KLossless, imagecodecs.htj2k_encode),
}


def encoded(part10: bytes, encoder: str) -> bytes:
    """An instance with its pixels compressed without loss."""
    dataset = dcmread(io.BytesIO(part10))
    if encoder == "RLE":
        dataset.compress(RLELossless)
        return to_part10(dataset)
    syntax, encode = ENCODERS[encoder]
    dataset.PixelData = encapsulate([encode(dataset.pixel_array)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return to_part10(dataset)


def with_codestream(part10: bytes, codestream: bytes, syntax: str = JPEGExtended12Bit) -> bytes:
    """An instance whose only frame is `codestream`."""
    dataset = dcmread(io.BytesIO(part10))
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return to_part10(dataset)
