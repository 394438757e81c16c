"""How an instance says that it is to be shown, read from its metadata: VOI, modality, the sense of the scale."""

from typing import Any

from archive.attributes import tag
from archive.errors import BadRequest
from archive.json_values import Attributes
from archive.pixels.voi import Function, Grey, Window

_PER_FRAME, _SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"


def grey_of(attributes: Attributes, frame: int, window: Window | None = None) -> Grey:
    """The pipeline of a frame, counted from 0, but for its tables; a window that is given wins.

    An enhanced instance says it for each frame or for all of them (PS3.3 section C.7.6.16).
    """
    modality = _group(attributes, frame, "PixelValueTransformationSequence")
    voi = _group(attributes, frame, "FrameVOILUTSequence")
    return Grey(
        slope=_number(modality, "RescaleSlope", 1.0) or 1.0,
        intercept=_number(modality, "RescaleIntercept", 0.0),
        window=window or _window(voi),
        inverted=_is_inverted(attributes),
    )


def has_tables(attributes: Attributes) -> bool:
    """Whether a Modality LUT, a VOI LUT or a palette has to be read from the file."""
    names = ("ModalityLUTSequence", "VOILUTSequence", "RedPaletteColorLookupTableDescriptor")
    return any(tag(name) in attributes for name in names)


def _is_inverted(attributes: Attributes) -> bool:
    shape, photometric = (
        _text(attributes, "PresentationLUTShape"),
        _text(attributes, "PhotometricInterpretation"),
    )
    return (photometric == "MONOCHROME1") if not shape else shape == "INVERSE"


def _window(attributes: Attributes) -> Window | None:
    """The first window of the header; None where there is none that means anything."""
    center, width = (_number(attributes, f"Window{name}", None) for name in ("Center", "Width"))
    function = _text(attributes, "VOILUTFunction") or Function.LINEAR
    if center is None or width is None:
        return None
    try:
        return Window(center, width, Function(function))
    except (BadRequest, ValueError):
        return None


def _group(attributes: Attributes, frame: int, name: str) -> Attributes:
    """The functional group of that name for the frame, else the attributes themselves."""
    per_frame, shared = _items(attributes, _PER_FRAME), _items(attributes, _SHARED)
    for groups in (per_frame[frame : frame + 1], shared[:1]):
        for item in groups:
            if found := _items(item, name):
                return found[0]
    return attributes


def _items(attributes: Attributes, keyword: str) -> list[Attributes]:
    values = attributes.get(tag(keyword), {}).get("Value") or []
    return [item for item in values if isinstance(item, dict)]


def _first(attributes: Attributes, keyword: str) -> Any:
    return (attributes.get(tag(keyword), {}).get("Value") or [None])[0]


def _text(attributes: Attributes, keyword: str) -> str:
    return str(_first(attributes, keyword) or "").strip()


def _number(attributes: Attributes, keyword: str, absent: Any) -> Any:
    try:
        return float(_first(attributes, keyword))
    except (TypeError, ValueError):
        return absent
