"""What an instance says of its own de-identification (PS3.15 E.1.1, PS3.3 C.12.1.1.7)."""

from deidentification.elements import ITEM
from deidentification.part10 import encode, encode_head
from deidentification.pixels import BURNED_IN_ANNOTATION, Pixels
from deidentification.profile import Profile
from deidentification.rewrite import Insertion

_CLEAN_PIXEL_DATA = ("113101", "Clean Pixel Data Option")  # PS3.16 CID 7050


def state(profile: Profile, explicit: bool, looked: Pixels) -> tuple[Insertion, ...]:
    """The elements to insert, in the order of their tags; `looked` tells what was done about text in pixels."""
    applied = set(profile.method_codes) | ({_CLEAN_PIXEL_DATA} if looked is Pixels.CLEANED else set())
    items = b"".join(_code_item(code, meaning, explicit) for code, meaning in sorted(applied))
    codes = encode_head(0x00120064, b"SQ", len(items), explicit) + items
    modified = b"MODIFIED" if "retain_longitudinal_modified_dates" in profile.options else b"REMOVED"
    burned_in = Insertion(BURNED_IN_ANNOTATION, encode(BURNED_IN_ANNOTATION, b"CS", b"NO", explicit))
    return (
        Insertion(0x00120062, encode(0x00120062, b"CS", b"YES", explicit)),
        Insertion(0x00120063, encode(0x00120063, b"LO", profile.label.encode(), explicit)),
        Insertion(0x00120064, codes),
        *([] if looked is Pixels.UNSEEN else [burned_in]),
        Insertion(0x00280303, encode(0x00280303, b"CS", modified, explicit)),
    )


def _code_item(code: str, meaning: str, explicit: bool) -> bytes:
    item = (
        encode(0x00080100, b"SH", code.encode(), explicit)
        + encode(0x00080102, b"SH", b"DCM", explicit)
        + encode(0x00080104, b"LO", meaning.encode(), explicit)
    )
    return encode_head(ITEM, b"", len(item), explicit=False) + item
