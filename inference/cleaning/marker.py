"""View markers: the few texts in an image that name nobody and that a reader needs."""

import re

_VIEW = r"(?:CC|MLO|ML|LM|LMO|XCC|XCCL|XCCM|FB|SIO|ISO|AT|CV|TAN|LAT)"
_SIDE = r"(?:[LR]|LEFT|RIGHT|LT|RT)"
_GAP = r"[\s.\-_:/]{0,3}"
_MARKER = re.compile(rf"{_SIDE}(?:{_GAP}{_VIEW})?|(?:CC|MLO)(?:{_GAP}{_SIDE})?")
_MISREAD = str.maketrans("0—–－", "O---", "()（）[]")


def is_view_marker(text: str) -> bool:
    """Whether a text is a side, a view, or both, and nothing else (PS3.3 C.8.11.7.1.2): "L-CC", "RMLO", "R", "CC".

    Views that might be somebody's initials ("ML", "LM") count only after a side.
    """
    return _MARKER.fullmatch(text.strip().upper().translate(_MISREAD)) is not None
