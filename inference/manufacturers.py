"""One name for each manufacturer, whatever its devices write into Manufacturer (0008,0070)."""

import re

_NAMES = {
    "AGFA": ("AGFA",),
    "CANON": ("CANON", "TOSHIBA"),
    "CARESTREAM": ("CARESTREAM", "EASTMAN KODAK", "KODAK"),
    "FUJIFILM": ("FUJIFILM", "FUJI"),
    "GE": ("GE", "GEHC", "GEMS", "GENERAL ELECTRIC"),
    "HOLOGIC": ("HOLOGIC", "LORAD"),
    "IMS": ("IMS", "GIOTTO", "INTERNAZIONALE MEDICO SCIENTIFICA"),
    "KONICA MINOLTA": ("KONICA MINOLTA", "KONICAMINOLTA", "KONICA"),
    "METALTRONICA": ("METALTRONICA",),
    "PHILIPS": ("PHILIPS", "SECTRA"),
    "PLANMED": ("PLANMED",),
    "SAMSUNG": ("SAMSUNG", "MEDISON"),
    "SIEMENS": ("SIEMENS",),
}
"""What names begin with. Lorad is Hologic's, and the MicroDose that Sectra made has been Philips's since."""

KNOWN = frozenset(_NAMES)
_BEGINNINGS = {beginning: name for name, beginnings in _NAMES.items() for beginning in beginnings}
_LEGAL = {
    "AB",
    "AG",
    "AS",
    "BV",
    "CO",
    "COMPANY",
    "CORP",
    "CORPORATION",
    "GMBH",
    "INC",
    "KG",
    "LLC",
    "LTD",
    "SA",
    "SPA",
    "SRL",
}


def normalise(manufacturer: str) -> str:
    """The manufacturer's one name, in capitals; a name that is not known keeps its words, without its legal form."""
    words = re.sub(r"[^A-Z0-9]+", " ", manufacturer.upper().replace(".", "")).split()
    words = [word for word in words if word not in _LEGAL]
    for count in range(len(words), 0, -1):
        if name := _BEGINNINGS.get(" ".join(words[:count])):
            return name
    return " ".join(words)
