"""Pixel data: which instances may carry text in it, and how long it must be.

Nothing is decoded or masked here: an instance whose pixels may name a person is refused, until it comes with word
that they were looked at.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

from deidentification.actions import Subject
from deidentification.borders import Frame
from deidentification.profile import Rule
from deidentification.refusal import Reason, Refused

ROWS = 0x00280010
NUMBER_OF_FRAMES = 0x00280008
BITS_ALLOCATED = 0x00280100
_SAMPLES_PER_PIXEL = 0x00280002
_PHOTOMETRIC_INTERPRETATION = 0x00280004
_COLUMNS = 0x00280011
_BITS_STORED = 0x00280101
BURNED_IN_ANNOTATION = 0x00280301
_IMAGE_TYPE = 0x00080008
_CONVERSION_TYPE = 0x00080064
_SOP_CLASS_UID = 0x00080016
_MODALITY = 0x00080060
_MANUFACTURER = 0x00080070
_MODEL = 0x00081090
_DETECTOR_TYPE = 0x00187004

# Attributes that the functions below read, by tag.
WANTED = frozenset(
    {
        ROWS,
        NUMBER_OF_FRAMES,
        BITS_ALLOCATED,
        _SAMPLES_PER_PIXEL,
        _PHOTOMETRIC_INTERPRETATION,
        _COLUMNS,
        _BITS_STORED,
        BURNED_IN_ANNOTATION,
        _IMAGE_TYPE,
        _CONVERSION_TYPE,
        _SOP_CLASS_UID,
        _MODALITY,
        _MANUFACTURER,
        _MODEL,
        _DETECTOR_TYPE,
    }
)

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Secondary capture, encapsulated documents, video: whatever was on a screen or a page.
_ALWAYS = frozenset(
    _STORAGE + suffix
    for suffix in (
        *("7", "7.1", "7.2", "7.3", "7.4", "104.1", "104.2", "104.3", "104.4", "104.5"),
        *("77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.4", "77.1.4.1"),
        *("77.1.5.1", "77.1.5.2", "77.1.5.3", "77.1.5.4"),
    )
)
# Ultrasound writes the name into the frame unless it says that it did not.
_UNLESS_DENIED = frozenset(_STORAGE + suffix for suffix in ("3", "3.1", "6", "6.1", "6.2", "6.3"))
# Structured reports with key object selections, and presentation states.
_WITHOUT_PIXELS = (_STORAGE + "88.", _STORAGE + "11.")
_IMAGES = tuple(
    f"{_STORAGE}{suffix}." for suffix in ("1", "2", "4", "4.1", "6", "12", "13", "20", "77", "128", "130")
)
# What devices make in shades of grey: projection X-ray, tomosynthesis, CT, MR, PET.
_GREY = frozenset(
    _STORAGE + suffix
    for suffix in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "12.1", "12.1.1", "12.2", "12.2.1"),
        *("13.1.3", "13.1.4", "13.1.5", "2", "2.1", "4", "4.1", "128", "130"),
    )
)
# Projection X-ray and tomosynthesis, whose border bands are searched.
_SEARCHED = frozenset(
    _STORAGE + suffix for suffix in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5")
)
# Modalities of what was photographed, printed or on a screen.
_SECOND_HAND = frozenset([b"XC", b"ES", b"HC", b"DOC", b"SC", b"DG", b"US", b"IVUS"])
_DIGITISERS = (b"DIGITI", b"VIDAR", b"HOWTEK", b"LUMISYS")
_SUBSAMPLED = (b"YBR_FULL_422", b"YBR_PARTIAL_422")
_SCREEN = (b"SCREEN", b"CAPTURE", b"SNAPSHOT")


class Pixels(Enum):
    """What was done here about text in the pixels of an instance."""

    UNSEEN = "unseen"
    ACCEPTED = "accepted"  # a person looked, and lets them pass as they are
    CLEANED = "cleaned"  # what was found is masked: Clean Pixel Data Option (PS3.15 E.3.1)


def _refuse_embedded_overlay(subject: Subject, value: bytes) -> None:
    """Leave out Overlay Bits Allocated; above 1, the overlay lies in the pixels (PS3.3 C.9.2): refuse."""
    if value[:2] not in (b"\1\0", b""):
        raise Refused(Reason.PIXELS_MAY_CARRY_TEXT, 0x60000100)


# Rules for Overlay Bits Allocated (60xx,0100) of the outermost dataset.
OVERLAY_RULES = {
    0x60000100 + (group << 16): Rule(b"US", frozenset({b"US", b""}), _refuse_embedded_overlay)
    for group in range(0, 0x20, 2)
}


def may_carry_text(values: Mapping[int, bytes]) -> bool:
    """Whether class, image type or Burned In Annotation say that pixels may show a name (PS3.15 E.3.1).

    Where that annotation is not said to be absent, what is suspicious counts too. `values` maps tags of `WANTED` to
    raw values of the outermost dataset.
    """
    sop_class = values.get(_SOP_CLASS_UID, b"").rstrip(b" \0").decode("latin-1")
    burned_in = _term(values, BURNED_IN_ANNOTATION)
    if burned_in not in (b"", b"NO") or sop_class in _ALWAYS or _term(values, _CONVERSION_TYPE):
        return True
    if any(word in values.get(_IMAGE_TYPE, b"").upper() for word in _SCREEN):
        return True
    if burned_in == b"NO":
        return False
    return sop_class in _UNLESS_DENIED or (sop_class in _GREY and _is_second_hand(values))


def frames_to_search(values: Mapping[int, bytes], data: memoryview) -> Iterator[Frame]:
    """First and last frame of native pixel data whose border bands may show text that nothing in the header tells.

    There is none where Burned In Annotation is NO, for classes other than projection X-ray and tomosynthesis, and
    where a sample has other than 8 or 16 bits.
    """
    sop_class = values.get(_SOP_CLASS_UID, b"").rstrip(b" \0").decode("latin-1")
    size = {b"\x08\0": 1, b"\x10\0": 2}.get(values.get(BITS_ALLOCATED, b""))
    if size is None or sop_class not in _SEARCHED or _term(values, BURNED_IN_ANNOTATION) == b"NO":
        return
    if values.get(_SAMPLES_PER_PIXEL, b"\1\0") != b"\1\0":
        return
    rows, columns = _number(values, ROWS), _number(values, _COLUMNS)
    stored = int.from_bytes(values.get(_BITS_STORED, b"")[:2], "little") or 8 * size
    for frame in sorted({0, count_frames(values) - 1}):
        yield Frame(data, frame * rows * columns * size, rows, columns, size, stored)


def _is_second_hand(values: Mapping[int, bytes]) -> bool:
    """Whether a picture of a class in grey shows signs of a screen or of film.

    It is in colour, has 8 bits and is SECONDARY, is of a modality that makes no such pictures, or was digitised.
    """
    if _term(values, _PHOTOMETRIC_INTERPRETATION) not in (b"", b"MONOCHROME1", b"MONOCHROME2"):
        return True
    second = values.get(_IMAGE_TYPE, b"").upper().split(b"\\")[1:2]
    if second and second[0].strip(b" \0") == b"SECONDARY" and values.get(BITS_ALLOCATED) == b"\x08\0":
        return True
    if _term(values, _MODALITY) in _SECOND_HAND or _term(values, _DETECTOR_TYPE) == b"FILM":
        return True
    device = _term(values, _MANUFACTURER) + b" " + _term(values, _MODEL)
    return any(word in device for word in _DIGITISERS)


def _term(values: Mapping[int, bytes], tag: int) -> bytes:
    return values.get(tag, b"").strip(b" \0").upper()


def require_none(values: Mapping[int, bytes]) -> None:
    """Refuse an instance without pixel data that is neither a report nor a presentation state.

    An image has lost its pixels; of any other class the allow-list would leave only a shell.
    """
    sop_class = values.get(_SOP_CLASS_UID, b"").rstrip(b" \0").decode("latin-1") + "."
    if sop_class.startswith(_WITHOUT_PIXELS):
        return
    if ROWS in values or sop_class.startswith(_IMAGES):
        raise Refused(Reason.PIXEL_DATA_TOO_SHORT, 0x7FE00010)
    raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, _SOP_CLASS_UID)


def needed_length(values: Mapping[int, bytes], length: int, default_bits: int, frames: int = 0) -> int:
    """The bytes of uncompressed pixel data that its description asks for (PS3.5 8.1.1), without padding.

    `length` is what there is, in bytes; `default_bits` stands in for Bits Allocated, 0 for none, and
    `frames` for Number of Frames, unless it is 0. Raises Refused where there is less than is needed, and
    where the description is missing, impossible or contradicts the length.
    """
    rows, columns = _number(values, ROWS), _number(values, _COLUMNS)
    samples = _number(values, _SAMPLES_PER_PIXEL, 1)
    bits = _number(values, BITS_ALLOCATED, default_bits)
    cells = rows * columns * (frames or count_frames(values))
    whole = (cells * samples * bits + 7) // 8
    needed = whole
    if samples == 3 and values.get(_PHOTOMETRIC_INTERPRETATION, b"").strip(b" \0") in _SUBSAMPLED:
        needed = (cells * 2 * bits + 7) // 8  # two samples a pixel (PS3.3 C.7.6.3.1.2)
        if length >= whole:
            raise Refused(Reason.PIXEL_DATA_AMBIGUOUS, _PHOTOMETRIC_INTERPRETATION)
    if length < needed:
        raise Refused(Reason.PIXEL_DATA_TOO_SHORT, 0x7FE00010)
    return needed


def _number(values: Mapping[int, bytes], tag: int, default: int = 0) -> int:
    value = values.get(tag, b"")
    number = int.from_bytes(value, "little") if len(value) == 2 else default
    if number == 0:
        raise Refused(Reason.PIXEL_DATA_AMBIGUOUS, tag)
    return number


def count_frames(values: Mapping[int, bytes]) -> int:
    """Number of Frames, 1 where it is absent."""
    text = values.get(NUMBER_OF_FRAMES, b"").strip(b" \0")
    if not text:
        return 1
    if not (text.isdigit() and len(text) <= 12 and int(text)):
        raise Refused(Reason.PIXEL_DATA_AMBIGUOUS, NUMBER_OF_FRAMES)
    return int(text)
