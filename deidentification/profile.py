"""A de-identification profile: which rules hold, and what an instance says of them (PS3.15 Annex E)."""

import functools
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deidentification import declaration, rules
from deidentification.actions import Codes
from deidentification.declaration import (
    BASIC_PROFILE_CODE,
    CLEAN_PIXEL_DATA,
    OPTION_CODES,
    Declaration,
    InvalidProfile,
    ProfileError,
    UnknownProfile,
)
from deidentification.rules import PATIENT_ID, TABLES, PrivateRules, Rule

__all__ = ["PATIENT_ID", "TABLES", "InvalidProfile", "Profile", "ProfileError", "Rule", "UnknownProfile"]

_log = logging.getLogger(__name__)
_REFERENCE = "breast-screening"  # a site's own profile keeps no more than this one, or says why
_ALWAYS_NEEDED = frozenset({0x00080016, 0x00080018, 0x0020000D, 0x0020000E, PATIENT_ID, 0x00080005})


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules by tag, and what the rules stand for."""

    name: str
    version: str
    options: tuple[str, ...]
    method_codes: tuple[tuple[str, str], ...]  # (code, meaning) of CID 7050 that hold for every instance
    rules: Mapping[int, Rule] = field(repr=False)
    private_rules: PrivateRules = field(repr=False)
    codes: Codes = field(repr=False)
    code_values: frozenset[bytes] = field(repr=False)
    accepted_risk: str = ""

    @property
    def label(self) -> str:
        """How proofs and De-identification Method (0012,0063) name the profile."""
        return f"Senogate {self.name} {self.version}"

    @property
    def retains_uids(self) -> bool:
        """Whether instances keep their own UIDs."""
        return "retain_uids" in self.options

    @property
    def keeps_content(self) -> bool:
        """Whether the content of structured reports is kept, cleaned."""
        return "clean_structured_content" in self.options

    @property
    def refuses_faces(self) -> bool:
        """Whether an instance from which a face can be rendered is refused."""
        return "clean_recognizable_visual_features" in self.options

    @classmethod
    @functools.cache  # noqa: B019  the arguments are a class and a short list of names
    def load(cls, name: str) -> "Profile":
        """Read a shipped profile by its name, or a site's own by the path of its TOML file.

        Raises UnknownProfile where there is none; InvalidProfile where it is malformed, or keeps more than
        `breast-screening` does without accepting the risk. An accepted risk is logged.
        """
        if name.endswith(".toml"):
            declared = declaration.read(Path(name), shipped=False)
            declaration.require_strict(declared, _read_shipped(_REFERENCE))
            if declared.accepted_risk:
                _log.warning("profile %s accepts a risk: %s", declared.name, declared.accepted_risk)
        else:
            declared = _read_shipped(name)
        return cls.make(declared)

    @classmethod
    def make(cls, declared: Declaration) -> "Profile":
        """Turn a declaration into rules. Raises InvalidProfile for an attribute to remove that is unknown."""
        options = frozenset(declared.options)
        codes = rules.read_codes()
        built = rules.build(options)
        for element in declared.remove:
            built.pop(_find(element), None)
        return cls(
            name=declared.name,
            version=declared.version,
            options=declared.options,
            method_codes=_method_codes(declared.options, codes),
            rules=built,
            private_rules=rules.build_private(options),
            codes=codes,
            code_values=frozenset(code for _, code in codes),
            accepted_risk=declared.accepted_risk,
        )


def _read_shipped(name: str) -> Declaration:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", name) or not (TABLES / f"{name}.toml").exists():
        raise UnknownProfile(f"there is no de-identification profile of the name {name!r}")
    return declaration.read(TABLES / f"{name}.toml", shipped=True)


def _find(element: str) -> int:
    """The tag of an attribute that a profile removes, given by keyword or as (gggg,eeee)."""
    given = re.fullmatch(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)", element)
    tag = int(given[1] + given[2], 16) if given else _tags().get(element)
    if tag is None:
        raise InvalidProfile(f"{element!r} is not the keyword or the tag of an attribute that could be kept")
    if tag in _ALWAYS_NEEDED:
        raise InvalidProfile(f"{element} can't be removed: it names the instance or says how to read it")
    return tag


@functools.cache
def _tags() -> Mapping[str, int]:
    listed = (row for name in ("keep.csv", "confidentiality.csv") for row in rules.rows(name))
    return {row["keyword"]: int(row["tag"], 16) for row in listed if re.fullmatch("[0-9A-F]{8}", row["tag"])}


def _method_codes(options: tuple[str, ...], codes: Codes) -> tuple[tuple[str, str], ...]:
    """What is applied to every instance. Pixel data is cleaned of some only, which say so themselves."""
    applied = [
        BASIC_PROFILE_CODE,
        *(OPTION_CODES[option] for option in options if option != CLEAN_PIXEL_DATA),
    ]
    return tuple((code, codes[b"DCM", code.encode()].decode()) for code in sorted(applied))
