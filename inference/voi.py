"""What a header says of how stored values become grey, and the grey that pixels on their way to a network take.

PS3.3 C.11.1 (modality), C.11.2 (values of interest), C.11.6 and C.7.6.3.1.2 (the sense of the scale).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from archive.errors import BadRequest
from archive.pixels.layout import Layout
from archive.pixels.voi import (
    WHITE,
    Floats,
    Function,
    Grey,
    Table,
    Window,
    apply_modality,
    make_table,
    scale_window,
)

Greys = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Voi:
    """The header's way from stored values to grey, for pixels as `inference.pixels` decodes them.

    `bits` is Bits Stored; `signed` tells that the pixels are stored values raised by half of their range, and
    `complemented` that they were MONOCHROME1 and are the highest value less the stored one.
    """

    grey: Grey = Grey()
    bits: int = 16
    signed: bool = False
    complemented: bool = False

    def stored(self) -> Floats:
        """The stored value of every pixel value from 0 to the highest, (2 ** bits,)."""
        every = np.arange(1 << self.bits, dtype=np.float64)
        raised = every[::-1] if self.complemented else every
        return raised - (1 << (self.bits - 1)) if self.signed else raised

    def greys(self) -> Greys:
        """The grey of every pixel value from 0 to the highest, (2 ** bits,): 0 is black, 1 is white."""
        values = apply_modality(self.stored(), self.grey)
        levels = np.clip(_levels(values, self.grey), 0, 1)
        return (1 - levels if self.grey.inverted else levels).astype(np.float32)


def _levels(values: Floats, grey: Grey) -> Floats:
    """0 to 1. A VOI LUT wins over a window; without either, the range that the values can have."""
    if grey.table is not None:
        return grey.table.look_up(values) / ((1 << grey.table.bits) - 1)
    if grey.window is not None:
        return scale_window(values, grey.window) / WHITE
    low, high = float(values.min()), float(values.max())
    return (values - low) / ((high - low) or 1)


def read_voi(dataset: Dataset, layout: Layout, frame: int = 1) -> Voi:
    """The Voi of a frame (counted from 1) of a dataset whose pixels lie as `layout` says.

    Of several VOI LUTs or windows the first is taken; one without meaning (a width of 0) counts as none.
    """
    modality = _group(dataset, frame, "PixelValueTransformationSequence")
    voi = _group(dataset, frame, "FrameVOILUTSequence")
    grey = Grey(
        slope=_number(modality, "RescaleSlope") or 1.0,
        intercept=_number(modality, "RescaleIntercept") or 0.0,
        modality=_table(modality, "ModalityLUTSequence", layout.signed),
        window=_window(voi),
        table=_table(voi, "VOILUTSequence", layout.signed),
        inverted=_is_inverted(dataset, layout),
    )
    return Voi(grey, layout.stored, layout.signed, layout.photometric == "MONOCHROME1")


def _group(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """The functional group of that name for the frame, else the dataset itself (PS3.3 C.7.6.16)."""
    every = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for groups in (*every[frame - 1 : frame], *shared[:1]):
        if found := groups.get(keyword):
            return found[0]
    return dataset


def _is_inverted(dataset: Dataset, layout: Layout) -> bool:
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    return shape == "INVERSE" if shape else layout.photometric == "MONOCHROME1"


def _window(dataset: Dataset) -> Window | None:
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(_first(dataset, "VOILUTFunction") or Function.LINEAR).strip().upper()
    if center is None or width is None or function not in tuple(Function):
        return None
    try:
        return Window(center, width, Function(function))
    except BadRequest:
        return None


def _table(dataset: Dataset, keyword: str, signed: bool) -> Table | None:
    for item in (dataset.get(keyword) or [])[:1]:
        data = item.get("LUTData")
        if data is not None and item.get("LUTDescriptor"):
            data = data if isinstance(data, bytes | MultiValue | list) else [data]
            return make_table(item.LUTDescriptor, data, signed=signed)
    return None


def _first(dataset: Dataset, keyword: str) -> Any:
    value = dataset.get(keyword)
    return next(iter(value), None) if isinstance(value, MultiValue | list) else value


def _number(dataset: Dataset, keyword: str) -> float | None:
    value = _first(dataset, keyword)
    return None if value is None or value == "" else float(value)
