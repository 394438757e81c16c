"""Texts that may stay: short and plain ones, and what Clean Descriptors leaves of the others (PS3.15 E.3.5).

No text is searched for names. What stays is made of words of a list, or has a form in which no name fits.
"""

import re
from collections.abc import Container

from deidentification.actions import Action, Subject, make_keep, make_keep_text

_PADDING = b" \0"
_PLAIN = re.compile(rb"[A-Za-z0-9 .,:;&()/'+_-]{0,64}").fullmatch
_KEY = re.compile(rb"KEY[0-9]{10}").fullmatch
_FIND_WORDS = re.compile(rb"[A-Za-z0-9\x80-\xff]+").findall
_PLAIN_LABEL = re.compile(rb"[A-Za-z0-9 .,&()/+_-]{0,64}").fullmatch
_PLAIN_TEXT = re.compile(rb"[A-Za-z0-9 .,:;?()/+\r\n-]{0,4096}").fullmatch
_PRODUCT = re.compile(rb"(?!.*[0-9]{5})[A-Za-z0-9 .,&()/+_-]{1,64}").fullmatch
_ORDINAL = re.compile(rb" *[0-9]{1,4} *").fullmatch
_VERSION = re.compile(rb"[0-9]{0,8}[0-9A-Z.]{0,8} ?").fullmatch


def make_keep_product(otherwise: Action) -> Action:
    """Keep the name of a manufacturer or a model: short, plain, and without a long number."""
    return make_keep_text(lambda value: _PRODUCT(value.strip(_PADDING)), otherwise)


def make_keep_plain(otherwise: Action) -> Action:
    """Keep a short plain text, such as the number of a device or the name of a hospital."""
    return make_keep_text(lambda value: _PLAIN(value.strip(_PADDING)), otherwise)


def make_clean_label(words: Container[bytes], otherwise: Action) -> Action:
    """Leave the known words of a label in their order; a word that is also the patient's name goes."""

    def clean_label(subject: Subject, value: bytes) -> bytes | None:
        stripped = value.strip(_PADDING)
        if not stripped:
            return value
        found = _FIND_WORDS(stripped)
        known = [word for word in found if word.upper() in words and word.upper() not in subject.suspects]
        if len(known) == len(found) and found and _PLAIN_LABEL(stripped):
            return value
        return b" ".join(known) if known else otherwise(subject, value)

    return clean_label


def make_clean_text(words: Container[bytes], otherwise: Action) -> Action:
    """Keep a text of which every word is known: a sentence without one of its words may say the contrary."""

    def clean_text(subject: Subject, value: bytes) -> bytes | None:
        stripped = value.strip(_PADDING)
        found = [word.upper() for word in _FIND_WORDS(stripped)]
        known = all(word in words and word not in subject.suspects for word in found)
        return value if known and _PLAIN_TEXT(stripped) else otherwise(subject, value)

    return clean_text


def make_keep_label(words: Container[bytes], otherwise: Action) -> Action:
    """Keep a label of known words as it is, or not at all."""

    def keep_label(subject: Subject, value: bytes) -> bytes | None:
        return value if _is_of(words, subject, value) else otherwise(subject, value)

    return keep_label


def make_keep_key(words: Container[bytes]) -> Action:
    """Keep a name by which items of an instance are told apart; one of other words becomes a pseudonym."""

    def keep_key(subject: Subject, value: bytes) -> bytes:
        stripped = value.strip(_PADDING)
        if _is_of(words, subject, value) or _KEY(stripped):
            return value
        return b"KEY" + subject.pseudonyms.uid("key " + stripped.decode("latin-1"))[-10:].encode("ascii")

    return keep_key


def _is_of(words: Container[bytes], subject: Subject, value: bytes) -> bool:
    found = [word.upper() for word in _FIND_WORDS(value.strip(_PADDING))]
    plain = _PLAIN_LABEL(value.strip(_PADDING)) is not None
    return plain and all(word in words and word not in subject.suspects for word in found)


def make_keep_ordinal(otherwise: Action) -> Action:
    """Keep a text that is a small whole number, as Stack ID is."""
    return make_keep(_ORDINAL, otherwise)


def make_keep_version(otherwise: Action) -> Action:
    """Keep the version of a coding scheme: a date of issue, or a few digits and letters."""
    return make_keep_text(_VERSION, otherwise)
