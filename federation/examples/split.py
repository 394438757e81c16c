"""Who is held out: patients on whom what a site learns is tried, and from whom it never learns."""

import hmac

SHARE = 0.2
"""Of all patients, over all sites and runs."""


def is_held_out(key: bytes, patient_id: str) -> bool:
    """Whether a patient, by pseudonym, is held out: the same for ever, whatever else the site holds.

    `key` is the site's own, 32 bytes (`federation.site_key`), so that nobody else can tell who is.
    """
    drawn = hmac.digest(key, b"held out\0" + patient_id.encode(), "sha256")
    return int.from_bytes(drawn[:8], "big") < SHARE * 2**64
