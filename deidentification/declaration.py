"""What a profile says of itself: a TOML file, read and checked with clear errors.

name = "our-site"
version = "1"
options = ["retain_longitudinal_modified_dates", "clean_structured_content"]
remove = ["Manufacturer", "(0018,1000)"]          # goes, whatever the options say
accept-risk = "approved by the ethics board"      # only where it keeps more than breast-screening does
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# CID 7050, De-identification Method, by the names of the columns in confidentiality.csv.
BASIC_PROFILE_CODE = "113100"
OPTION_CODES = {
    "clean_pixel_data": "113101",
    "clean_recognizable_visual_features": "113102",
    "clean_graphics": "113103",
    "clean_structured_content": "113104",
    "clean_descriptors": "113105",
    "retain_longitudinal_modified_dates": "113107",
    "retain_patient_characteristics": "113108",
    "retain_device_identity": "113109",
    "retain_uids": "113110",
    "retain_safe_private": "113111",
    "retain_institution_identity": "113112",
}
# Without this option an instance whose pixels may show a name is refused; with it, it may be cleaned.
CLEAN_PIXEL_DATA = "clean_pixel_data"
# Without these more is let through; without any other option, less is.
_TIGHTENING = frozenset({"clean_recognizable_visual_features"})
_NEITHER = frozenset({CLEAN_PIXEL_DATA})

_SHIPPED_NAMES = frozenset({"breast-screening", "basic"})
_KEYS = {"name": str, "version": str, "options": list, "remove": list, "accept-risk": str}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}").fullmatch
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,15}").fullmatch


class ProfileError(ValueError):
    """A profile can't be used; the message says which and why."""


class UnknownProfile(ProfileError):
    """There is no such profile."""


class InvalidProfile(ProfileError):
    """A profile asks for what does not exist, or keeps more than it may."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A profile before it is turned into rules."""

    name: str
    version: str
    options: tuple[str, ...]
    remove: tuple[str, ...] = ()  # keywords, or tags as (gggg,eeee)
    accepted_risk: str = ""

    def loosens(self, other: "Declaration") -> tuple[str, ...]:
        """The options by which this profile keeps more than another does."""
        more = (set(self.options) - set(other.options)) - _TIGHTENING - _NEITHER
        return tuple(sorted(more | (_TIGHTENING & set(other.options) - set(self.options))))


def read(path: Path, shipped: bool) -> Declaration:
    """Read a profile. Raises UnknownProfile where there is none, InvalidProfile where it is malformed."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError:
        raise UnknownProfile(f"the de-identification profile {path} can't be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidProfile(f"{path} is not valid TOML: {error}") from None
    try:
        declaration = _check(table)
        if not shipped and declaration.name in _SHIPPED_NAMES:
            raise InvalidProfile(
                f"the name {declaration.name!r} is that of a shipped profile; choose another"
            )
    except InvalidProfile as error:
        raise InvalidProfile(f"{path}: {error}") from None
    return declaration


def require_strict(declaration: Declaration, other: Declaration) -> None:
    """Refuse a profile that keeps more than another does and gives no reason to accept the risk."""
    loosened = declaration.loosens(other)
    if loosened and not declaration.accepted_risk:
        raise InvalidProfile(
            f"profile {declaration.name} keeps more than {other.name} does ({', '.join(loosened)}); "
            'leave that out, or say why with accept-risk = "..."'
        )


def _check(table: Mapping[str, Any]) -> Declaration:
    for key, value in table.items():
        if key not in _KEYS:
            raise InvalidProfile(f"unknown key {key!r}; the keys are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise InvalidProfile(f"{key} must be a {'list' if _KEYS[key] is list else 'text'}")
    if not _NAME(table.get("name", "")):
        raise InvalidProfile("name must be 1 to 32 small letters, digits and hyphens")
    if not _VERSION(table.get("version", "")):
        raise InvalidProfile("version must be 1 to 16 letters, digits, dots and hyphens")
    if "options" not in table:
        raise InvalidProfile("options must be given, if only as an empty list")
    risk = table.get("accept-risk", "").strip()
    if "accept-risk" in table and not risk:
        raise InvalidProfile("accept-risk must give a reason")
    return Declaration(
        name=table["name"],
        version=table["version"],
        options=_check_options(table["options"]),
        remove=_texts("remove", table.get("remove", [])),
        accepted_risk=risk,
    )


def _check_options(options: list[Any]) -> tuple[str, ...]:
    for option in _texts("options", options):
        if option not in OPTION_CODES:
            raise InvalidProfile(f"unknown option {option!r}; the options are {', '.join(OPTION_CODES)}")
    if len(set(options)) != len(options):
        raise InvalidProfile("an option is given twice")
    return tuple(options)


def _texts(key: str, values: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise InvalidProfile(f"{key} must be a list of texts")
    return tuple(values)
