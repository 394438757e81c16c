"""What a stored transfer syntax can be had as on the web (PS3.18 section 8.7.3, tables 8.7.3-2 to -5)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from archive.media_type import MediaType, Preference, media_type, multipart
from archive.pixels.syntaxes import DECODED, DEFLATED, ENCODED, EXPLICIT, IMPLICIT, LOSSY, NATIVE
from gateway.negotiation import Offer, choose

OCTETS = "application/octet-stream"
DICOM = "application/dicom"

# The first of each is the default where no transfer syntax is named.
_MEDIA_TYPES = {
    "image/jpeg": ("4.70", "4.57", "4.50", "4.51"),
    "image/jls": ("4.80", "4.81"),
    "image/jp2": ("4.90", "4.91"),
    "image/jphc": ("4.201", "4.202", "4.203"),
    "image/dicom-rle": ("5",),
    "image/jpx": ("4.92", "4.93"),
    "image/jxl": ("4.110", "4.111", "4.112"),
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
    return _MEDIA_TYPE_OF.get(transfer_syntax_uid, OCTETS)


def pixel_syntax(transfer_syntax_uid: str) -> str:
    """The transfer syntax that pixels without a data set around them are in.

    Native pixels are the same bytes in implicit as in explicit little endian, which is the name for them
    here.
    """
    return EXPLICIT if transfer_syntax_uid in NATIVE else transfer_syntax_uid


def sent_as_stored(transfer_syntax_uid: str) -> str:
    """What an instance is sent in where it is wanted as it is stored: Implicit VR is not used on the web."""
    return EXPLICIT if transfer_syntax_uid == IMPLICIT else transfer_syntax_uid


def instance_offers(stored: Iterable[str], *, single: bool) -> list[Offer]:
    """What instances of these transfer syntaxes can be had as, one of them as a single part too.

    Explicit VR Little Endian is the default (section 8.7.3.4), what can't be decoded being sent as it is stored.
    A transfer syntax that loses is offered where every instance is stored in it.
    """
    present = {sent_as_stored(each) for each in stored}
    uids = dict.fromkeys([EXPLICIT, *present, *ENCODED])
    offered = [uid for uid in uids if all(uid == each or _reaches(each, uid) for each in present)]
    default = EXPLICIT if EXPLICIT in offered else next(iter(present), EXPLICIT)
    offers = []
    for kind in [multipart(DICOM), *([media_type(DICOM)] if single else [])]:
        offers += [Offer(kind, default, is_default=True)]
        offers += [Offer(kind, "*" if len(present) > 1 else next(iter(present), EXPLICIT), is_stored=True)]
        offers += [Offer(kind, uid) for uid in offered]
    return offers


def instance_syntax(stored: str, chosen: Offer) -> str:
    """What an instance is sent in when an offer was chosen."""
    if chosen.is_stored or stored not in DECODED:
        return sent_as_stored(stored)
    return chosen.transfer_syntax_uid


@lru_cache(maxsize=1024)
def choose_frames(accepted: tuple[Preference, ...], stored: str, *, single: bool) -> Offer:
    """What frames of the transfer syntax are sent as to who accepts that. Raises NotAcceptable."""
    return choose(accepted, frame_offers(stored, single=single))


def frame_offers(stored: str, *, single: bool) -> list[Offer]:
    """What frames of the transfer syntax can be had as; octets first, which are the default."""
    own, own_kind = pixel_syntax(stored), frame_media_type(stored)
    offers = []
    for kind in dict.fromkeys([OCTETS, own_kind, *_MEDIA_TYPES]):
        uids = [uid for uid in _uids(kind, own) if uid == own or _reaches(stored, uid)]
        if uids:
            default = own if kind == own_kind and own in LOSSY else uids[0]
            for whole in _wholes(kind, single=single):
                offers += [Offer(whole, default, is_default=True)]
                offers += [Offer(whole, uid, is_stored=True) for uid in uids if uid == own]
                offers += [Offer(whole, uid) for uid in uids]
    return offers


def _uids(kind: str, own: str) -> Sequence[str]:
    """The transfer syntaxes of a media type, its default first; octets may be anything."""
    if kind == OCTETS:
        return list(dict.fromkeys([EXPLICIT, own, *(uid for uid in ENCODED if uid != DEFLATED)]))
    return [f"1.2.840.10008.1.2.{suffix}" for suffix in _MEDIA_TYPES[kind]]


def _wholes(kind: str, *, single: bool) -> list[MediaType]:
    return [multipart(kind), media_type(kind)] if single else [multipart(kind)]


def _reaches(stored: str, wanted: str) -> bool:
    return stored in DECODED and wanted in ENCODED
