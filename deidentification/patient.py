"""From a Patient ID as a person writes it to the pseudonyms that instances with it have."""

from deidentification.identity import CODECS
from deidentification.pseudonym import Pseudonyms

LONGEST = 64  # characters of a value of VR LO (PS3.5 table 6.2-1)


def patient_pseudonyms(pseudonyms: Pseudonyms, patient_id: str, issuer: str = "") -> tuple[str, ...]:
    """The pseudonyms that a patient may have, one for each way in which an instance may write the Patient ID.

    One of plain ASCII has one; others have one for each Specific Character Set (PS3.3 C.12.1.1.2) that can write it,
    because pseudonyms are made from the bytes of the value. An own pseudonym stands for itself. Raises ValueError,
    which does not name it, for what can be no Patient ID or issuer.
    """
    text, issuer = patient_id.strip(" \0\n\r\t"), issuer.strip(" \0\n\r\t")
    for value, least in ((text, 1), (issuer, 0)):
        if not least <= len(value) <= LONGEST or not value.isprintable() or "\\" in value:
            raise ValueError(
                f"a Patient ID or issuer has at most {LONGEST} characters, of which none is a control or \\"
            )
    written = sorted({raw for codec in CODECS for raw in _encoded(text, codec)})
    return tuple(pseudonyms.patient_id(raw.decode("latin-1"), issuer) for raw in written)


def _encoded(text: str, codec: str) -> list[bytes]:
    try:
        return [text.encode(codec)]
    except UnicodeEncodeError:
        return []
