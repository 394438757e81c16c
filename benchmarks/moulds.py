"""What one study of a site is called, and each copy of it; and bytes in which the one stands for the other."""

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import count
from pathlib import Path

from archive import secrets
from deidentification.pseudonym import Keys, Pseudonyms

INSTANCES = 4  # of each study, in one series
DAYS = 4000  # on which the studies lie, scattered
UID_LENGTH = 44  # the most frequent of pseudonyms, so that lengths in a file stay as they are
Values = Mapping[str, str]


class Mould:
    """Bytes of one study in which what names it is replaced, as text or as the hexadecimal digits of text."""

    def __init__(self, form: bytes, names: Values) -> None:
        texts = {text.encode(): name for name, text in names.items()}
        texts |= {text.hex().encode(): f"{name} hex" for text, name in texts.items()}
        longest_first = sorted(texts, key=len, reverse=True)
        found = re.split(b"(" + b"|".join(map(re.escape, longest_first)) + b")", form)
        self._kept = found[::2]
        self._named = [texts[each] for each in found[1::2]]

    def cast(self, values: Mapping[str, bytes]) -> bytes:
        parts = [b""] * (2 * len(self._kept) - 1)
        parts[::2] = self._kept
        parts[1::2] = [values[name] for name in self._named]
        return b"".join(parts)


def both(values: Values) -> dict[str, bytes]:
    """The values as moulds take them."""
    plain = {name: value.encode() for name, value in values.items()}
    return plain | {f"{name} hex": value.hex().encode() for name, value in plain.items()}


class Copies:
    """What each study of a site is called, by its number from 0 on: all comes from the site's key."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    def __call__(self, number: int) -> dict[str, str]:
        names = {
            "study": self._uid(f"{number}"),
            "series": self._uid(f"{number} series"),
            "patient": self._pseudonyms.patient_id(f"growth {number}"),
            "date": f"{date(2010, 1, 1) + timedelta(number * 7919 % DAYS):%Y%m%d}",
        }
        names |= {f"instance {i}": self._uid(f"{number} {i}") for i in range(INSTANCES)}
        drawn = hashlib.sha256(names["study"].encode()).hexdigest()
        names |= {
            f"place {i}": str(
                uuid.UUID(hashlib.md5(f"{drawn} {i}".encode(), usedforsecurity=False).hexdigest())
            )
            for i in range(INSTANCES)
        }
        return with_orthanc_names(names)

    def _uid(self, name: str) -> str:
        drawn = (self._pseudonyms.uid(f"growth {name} {attempt}") for attempt in count())
        return next(uid for uid in drawn if len(uid) == UID_LENGTH)


def with_orthanc_names(names: dict[str, str]) -> dict[str, str]:
    """And how Orthanc calls the patient, the study, its series and its instances."""
    above = (names["patient"], names["study"], names["series"])
    told = {"orthanc patient": above[:1], "orthanc study": above[:2], "orthanc series": above}
    told |= {f"orthanc instance {i}": (*above, names[f"instance {i}"]) for i in range(INSTANCES)}
    return names | {name: _orthanc_identifier(path) for name, path in told.items()}


def _orthanc_identifier(path: Iterable[str]) -> str:
    digest = hashlib.sha1("|".join(path).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def copies_of(home: Path) -> Copies:
    """The copies that the site in a home has."""
    return Copies(Pseudonyms(keys_of(home)))


def keys_of(home: Path) -> Keys:
    """The keys of the site in a home."""
    return Keys.derive(secrets.read_key(str(home / "secrets"), secrets.SITE_KEY))
