"""Keyed pseudonyms of UIDs and patients, and the whole number of days by which a patient's dates move.

Everything is derived from one site secret, so the same original gets the same pseudonym for as long as the
site keeps its secret, and two sites never share one. A pseudonym carries a keyed check value by which the
site that made it recognises it: what is already pseudonymous is never mapped a second time.
"""

import base64
import hmac
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_STANDARD_UID = re.compile(r"1\.2\.840\.10008(?:\.(?:0|[1-9][0-9]{0,3})){1,9}")
_UID_CHECK_BITS = 42
_PATIENT_PREFIX = "SG"
_PATIENT_ID = re.compile(_PATIENT_PREFIX + "[A-Z2-7]{24}")
_DAYS_FURTHEST = 3652


class WeakSecret(ValueError):
    """The site secret has fewer than 32 bytes."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a site, 32 bytes each. Their repr shows none of them."""

    uid: bytes = field(repr=False)
    patient: bytes = field(repr=False)
    date: bytes = field(repr=False)
    proof: bytes = field(repr=False)

    @classmethod
    def derive(cls, site_secret: bytes) -> "Keys":
        """Derive the keys from the site secret by HKDF-SHA256 (RFC 5869), one label each.

        Raises WeakSecret where the secret has fewer than 32 bytes.
        """
        if len(site_secret) < 32:
            raise WeakSecret("the site secret must have at least 32 bytes")
        return cls(*(_derive(site_secret, label) for label in ("uid", "patient", "date", "proof")))


def _derive(secret: bytes, label: str) -> bytes:
    info = f"senogate deidentification 1 {label}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def is_standard_uid(uid: str) -> bool:
    """Whether DICOM itself assigned the UID (PS3.6 Annex A): such a UID names nobody and is never mapped."""
    return _STANDARD_UID.fullmatch(uid) is not None


class Pseudonyms:
    """The pseudonyms that one set of keys gives. Without state: any two with the same keys agree."""

    __slots__ = ("_date", "_patient", "_uid")

    def __init__(self, keys: Keys) -> None:
        self._uid = keys.uid
        self._patient = keys.patient
        self._date = keys.date

    def uid(self, original: str) -> str:
        """Map a UID to `2.25.<n>`, n a version 8 UUID (PS3.5 B.2, RFC 9562 5.8).

        A UID of the DICOM standard, an own pseudonym and the empty string come back unchanged.
        """
        if not original or is_standard_uid(original) or self.is_own_uid(original):
            return original
        drawn = hmac.digest(self._uid, b"uid\0" + original.encode(), "sha256")
        payload = int.from_bytes(drawn[:10], "big")
        return f"2.25.{_as_uuid8(payload << _UID_CHECK_BITS | self._uid_check(payload))}"

    def is_own_uid(self, uid: str) -> bool:
        """Whether this site made the UID as a pseudonym. A stranger's passes once in 2**42 at most."""
        digits = uid[5:]
        if not uid.startswith("2.25.") or len(digits) > 39 or not (digits.isascii() and digits.isdigit()):
            return False
        if digits[0] == "0":
            return False
        content = _from_uuid8(int(digits))
        if content is None:
            return False
        payload, check = content >> _UID_CHECK_BITS, content & ((1 << _UID_CHECK_BITS) - 1)
        return check == self._uid_check(payload)

    def outward_uid(self, own: str, content: str = "") -> str:
        """A UID for what was made here, under which it leaves the site: `2.25.<n>`, n a version 8 UUID.

        Nobody without the site's key can tell that it belongs to `own`, and the site does not take it for a
        pseudonym: an instance that comes back is de-identified as any other is. Another `content` gives another.
        """
        message = b"outward\0" + own.encode() + b"\0" + content.encode()
        drawn = int.from_bytes(hmac.digest(self._uid, message, "sha256")[:16], "big") & (1 << 122) - 1
        uid = f"2.25.{_as_uuid8(drawn)}"
        return uid if not self.is_own_uid(uid) else self.outward_uid(own, f"{content}\0")

    def _uid_check(self, payload: int) -> int:
        drawn = hmac.digest(self._uid, b"own\0" + payload.to_bytes(10, "big"), "sha256")
        return int.from_bytes(drawn[:6], "big") >> (48 - _UID_CHECK_BITS)

    def patient_id(self, original: str, issuer: str = "") -> str:
        """Map a Patient ID and its issuer to 26 characters, fit for LO and PN. An own pseudonym stays."""
        if self.is_own_patient_id(original):
            return original
        message = b"patient\0" + issuer.encode() + b"\0" + original.encode()
        payload = hmac.digest(self._patient, message, "sha256")[:10]
        return _PATIENT_PREFIX + base64.b32encode(payload + self._patient_check(payload)).decode("ascii")

    def is_own_patient_id(self, patient_id: str) -> bool:
        """Whether this site made the Patient ID as a pseudonym."""
        if not _PATIENT_ID.fullmatch(patient_id):
            return False
        drawn = base64.b32decode(patient_id[len(_PATIENT_PREFIX) :])
        return hmac.compare_digest(drawn[10:], self._patient_check(drawn[:10]))

    def _patient_check(self, payload: bytes) -> bytes:
        return hmac.digest(self._patient, b"own\0" + payload, "sha256")[:5]

    def days(self, patient_id: str, issuer: str = "") -> int:
        """The days, -3652 to -1, that are added to the patient's dates; 0 for an own pseudonym."""
        if self.is_own_patient_id(patient_id):
            return 0
        return self.days_of_pseudonym(self.patient_id(patient_id, issuer))

    def days_of_pseudonym(self, pseudonym: str) -> int:
        """The days that were added to the dates of the patient with this pseudonym, -3652 to -1."""
        drawn = hmac.digest(self._date, b"days\0" + pseudonym.encode(), "sha256")
        return -1 - int.from_bytes(drawn[:8], "big") % _DAYS_FURTHEST


def _as_uuid8(content: int) -> int:
    """Set the version and variant bits of a UUID around 122 bits of content."""
    high, middle, low = content >> 74, content >> 62 & 0xFFF, content & (1 << 62) - 1
    return high << 80 | 8 << 76 | middle << 64 | 2 << 62 | low


def _from_uuid8(number: int) -> int | None:
    """The 122 bits of content of a version 8 UUID; None where the number is not one."""
    if number >> 128 or number >> 76 & 0xF != 8 or number >> 62 & 3 != 2:
        return None
    return number >> 80 << 74 | (number >> 64 & 0xFFF) << 62 | number & (1 << 62) - 1
