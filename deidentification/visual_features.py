"""Which instances may show a face: Clean Recognizable Visual Features Option (PS3.15 E.3.2), by refusal."""

from collections.abc import Mapping

_SOP_CLASS_UID = 0x00080016
_BODY_PART_EXAMINED = 0x00180015
_RECOGNIZABLE_VISUAL_FEATURES = 0x00280302

# Attributes that the function below reads, by tag.
WANTED = frozenset({_SOP_CLASS_UID, _BODY_PART_EXAMINED, _RECOGNIZABLE_VISUAL_FEATURES})

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# CT, MR and PET: a face can be rendered from their slices. Photographs show one as they are.
_VOLUMES = frozenset(
    _STORAGE + end for end in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "128", "128.1", "130", "13.1.1")
)
_PHOTOGRAPHS = frozenset(_STORAGE + end for end in ("77.1.4", "77.1.4.1"))
# Terms of PS3.16 annex L for what includes a face or a part of one.
_WITH_FACE = frozenset(
    b"HEAD SKULL FACE BRAIN ORBIT EYE EAR NOSE JAW MAXILLA MANDIBLE SINUS TMJ IAC SELLA PAROTID HEADNECK"
    b" WHOLEBODY TONGUE MOUTH".split()
)


def may_show_face(values: Mapping[int, bytes]) -> bool:
    """Whether the instance says so, or is a volume or a photograph of a part that has a face.

    `values` maps tags of `WANTED` to raw values of the outermost dataset.
    """
    stated = values.get(_RECOGNIZABLE_VISUAL_FEATURES, b"").strip(b" \0").upper()
    if stated in (b"YES", b"NO"):
        return stated == b"YES"
    sop_class = values.get(_SOP_CLASS_UID, b"").rstrip(b" \0").decode("latin-1")
    if sop_class in _PHOTOGRAPHS:
        return True
    part = values.get(_BODY_PART_EXAMINED, b"").upper().replace(b" ", b"").strip(b"\0")
    return sop_class in _VOLUMES and part in _WITH_FACE
