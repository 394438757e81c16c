"""The address of a DICOMweb resource (PS3.18 section 10.1.1): which study, series, instance, frames."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from archive.attributes import Level
from archive.errors import BadRequest

MAXIMUM_FRAMES = 10_000  # in one request
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_FRAMES = re.compile(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*")


@dataclass(frozen=True, slots=True)
class Resource:
    """A study, a series of it, an instance of that; each None where the address does not name it."""

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None

    @property
    def level(self) -> Level | None:
        """The level of what is named; None where nothing is."""
        if self.sop_instance_uid:
            return Level.INSTANCE
        if self.series_instance_uid:
            return Level.SERIES
        return Level.STUDY if self.study_instance_uid else None

    @property
    def uids(self) -> tuple[str, ...]:
        """Those of the study, the series and the instance that are named."""
        uids = (self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        return tuple(uid for uid in uids if uid)

    @property
    def path(self) -> str:
        """The address below the base URL of DICOMweb, beginning with a slash."""
        names = ("studies", "series", "instances")
        return "".join(f"/{name}/{uid}" for name, uid in zip(names, self.uids, strict=False))


def parse_resource(parameters: Mapping[str, str]) -> Resource:
    """The resource that a path's parameters `study`, `series` and `instance` name.

    Raises BadRequest for what is no UID (PS3.5 section 9.1).
    """
    names = ("study", "series", "instance")
    return Resource(*(parse_uid(parameters[name]) if name in parameters else None for name in names))


def parse_uid(text: str) -> str:
    """A UID of at most 64 characters: digits in components parted by periods. Raises BadRequest."""
    if not is_uid(text):
        raise BadRequest(
            "a UID in the address is malformed: it takes digits and periods, 64 characters at most"
        )
    return text


def is_uid(text: str) -> bool:
    """Whether the text is a UID; leading zeros in a component, which exist in the wild, are let pass."""
    return len(text) <= 64 and text.isascii() and _UID.fullmatch(text) is not None


def parse_frames(text: str) -> tuple[int, ...]:
    """Frame numbers from 1, in the order asked (PS3.18 section 10.4.1.1.6). Raises BadRequest."""
    if not _FRAMES.fullmatch(text):
        raise BadRequest("frames are listed as whole numbers from 1, parted by commas")
    frames = tuple(map(int, text.split(",")))
    if len(frames) > MAXIMUM_FRAMES:
        raise BadRequest(f"at most {MAXIMUM_FRAMES} frames can be asked for at once")
    return frames
