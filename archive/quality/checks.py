"""What a study's headers are checked for. Findings name checks and attributes, and never say a value.

The dimensions are EUCAIM's: completeness, validity, consistency, uniqueness, integrity. What an image of a kind has to
have is what its IOD demands (PS3.3: type 1, and type 2 where software can't do without) and searches ask for.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from archive.attributes import tag

Header = Mapping[str, Any]
"""A data set as DICOM JSON (PS3.18 annex F)."""


class Dimension(StrEnum):
    """What a check is about."""

    COMPLETENESS = "completeness"
    VALIDITY = "validity"
    CONSISTENCY = "consistency"
    UNIQUENESS = "uniqueness"
    INTEGRITY = "integrity"


class Check(StrEnum):
    """What may be wrong with a study. `dimension` is what it is about."""

    VIEWS = "views-missing"
    ATTRIBUTES = "attributes-missing"
    PATIENT = "patient-unknown"
    DATE_MISSING = "date-missing"
    DATE = "date-impossible"
    AGE = "age-impossible"
    WORD = "value-unknown"
    NUMBER = "value-implausible"
    LATERALITY = "laterality-contradicts"
    PERSON = "patient-contradicts"
    DATES = "dates-contradict"
    MODALITY = "modality-contradicts"
    REPEATED = "pixels-repeated"
    REPEATED_STUDY = "pixels-of-another-study"
    REPEATED_PATIENT = "pixels-of-another-patient"
    UNDECODABLE = "undecodable"
    MISSING = "file-missing"
    UNREADABLE = "unreadable"

    @property
    def dimension(self) -> Dimension:
        """What it is about."""
        return _DIMENSIONS[self]


_C, _V, _S, _U, _I = Dimension
_DIMENSIONS = {
    **dict.fromkeys((Check.VIEWS, Check.ATTRIBUTES, Check.PATIENT, Check.DATE_MISSING), _C),
    **dict.fromkeys((Check.DATE, Check.AGE, Check.WORD, Check.NUMBER), _V),
    **dict.fromkeys((Check.LATERALITY, Check.PERSON, Check.DATES, Check.MODALITY), _S),
    **dict.fromkeys((Check.REPEATED, Check.REPEATED_STUDY, Check.REPEATED_PATIENT), _U),
    **dict.fromkeys((Check.UNDECODABLE, Check.MISSING, Check.UNREADABLE), _I),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that a study does not pass: in how many instances, and by which attributes (keywords)."""

    check: Check
    instances: int
    attributes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"check": str(self.check), "instances": self.instances, "attributes": list(self.attributes)}


def read_finding(content: Mapping[str, Any]) -> Finding:
    """As `to_json` writes it."""
    return Finding(Check(content["check"]), content["instances"], tuple(content["attributes"]))


_WANTED: Mapping[str, tuple[str, ...]] = {
    "MG": (
        *("Manufacturer", "PixelSpacing|ImagerPixelSpacing", "BodyPartThickness", "KVP"),
        *("ImageLaterality|FrameLaterality", "ViewPosition|ViewCodeSequence", "PhotometricInterpretation"),
    ),
    "US": ("Manufacturer", "PhotometricInterpretation", "PixelSpacing|SequenceOfUltrasoundRegions"),
    "MR": ("Manufacturer", "PixelSpacing", "SliceThickness", "MagneticFieldStrength", "ImagePositionPatient"),
}
_WORDS: Mapping[str, frozenset[str]] = {
    "ImageLaterality": frozenset("LRB"),
    "Laterality": frozenset("LR"),
    "PatientSex": frozenset("MFO"),
    "ViewPosition": frozenset(
        [
            *("ML", "MLO", "LM", "LMO", "CC", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM", "CV", "AT"),
            *("RL", "RM", "RI", "RS", "AX", "CCID", "MLID", "LMID", "SPECIMEN"),
        ]
    ),
    "PhotometricInterpretation": frozenset(
        [
            *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422"),
            *("YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"),
        ]
    ),
}
_BOUNDS: Mapping[str, tuple[float, float]] = {  # units are those of PS3.3
    "Rows": (1, 65_535),
    "Columns": (1, 65_535),
    "BodyPartThickness": (5, 200),
    "CompressionForce": (0, 400),
    "KVP": (10, 150),
    "SliceThickness": (0.01, 50),
    "MagneticFieldStrength": (0.01, 12),
    "PatientSize": (0.2, 2.6),
    "PatientWeight": (0.3, 400),
    "PixelSpacing": (0.001, 10),
    "ImagerPixelSpacing": (0.001, 10),
}
_OLDEST, _EARLIEST = 120, date(1970, 1, 1)
_AGE = re.compile("([0-9]{3})([DWMY])")
_IN_A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_SIDED = {"80248007": "L", "73056007": "R", "T-04030": "L", "T-04020": "R"}
_SIDES = _SIDED | {"7771000": "L", "24028007": "R", "G-A101": "L", "G-A100": "R"}
_DISPLACED = {"399209000", "R-102D5"}
_VIEWS = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
_OBLIQUE = {"MLO", "LMO"}
_SCREENING = {(side, view) for side in "LR" for view in ("CC", "MLO")}
_OF_CLASS: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.1.2": "MG",
    "1.2.840.10008.5.1.4.1.1.1.2.1": "MG",
    "1.2.840.10008.5.1.4.1.1.13.1.3": "MG",
    "1.2.840.10008.5.1.4.1.1.13.1.4": "MG",
    "1.2.840.10008.5.1.4.1.1.6.1": "US",
    "1.2.840.10008.5.1.4.1.1.3.1": "US",
    "1.2.840.10008.5.1.4.1.1.6.2": "US",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
}


def examine(images: Sequence[Header], today: date) -> list[Finding]:
    """What the headers of a study's images do not pass.

    `today` is when the study can't be later than: its dates may be moved, so a day of grace is theirs to give.
    """
    found = [
        *_each(Check.ATTRIBUTES, images, _missing),
        *_each(Check.WORD, images, _unknown_words),
        *_each(Check.NUMBER, images, _implausible),
        *_each(Check.LATERALITY, images, partial(_contradicting_sides, _torn_series(images))),
        *_each(Check.MODALITY, images, _contradicting_modality),
        *_of_patient(images),
        *_of_dates(images, today),
    ]
    missing = _missing_views(images) if any(value(one, "Modality") == "MG" for one in images) else 0
    return [*found, Finding(Check.VIEWS, missing)] if missing else found


def _each(
    check: Check, images: Sequence[Header], wrong: Callable[[Header], Iterable[str]]
) -> Iterator[Finding]:
    """One finding for all images in which attributes are wrong."""
    told = [tuple(wrong(one)) for one in images]
    if count := sum(map(bool, told)):
        yield Finding(check, count, tuple(sorted({keyword for one in told for keyword in one})))


def _missing(image: Header) -> Iterator[str]:
    for wanted in _WANTED.get(str(value(image, "Modality")), ()):
        if not any(_has(image, keyword) for keyword in wanted.split("|")):
            yield wanted.split("|")[0]


def _has(image: Header, keyword: str) -> bool:
    """Whether an image tells it, in its functional groups or how it was acquired if not at the top."""
    parts = [image, *items(image, "XRay3DAcquisitionSequence")]
    parts += [macro for group in _functional_groups(image) for macro in _macros(group)]
    return any(value(each, keyword) not in (None, "") for each in parts)


def _macros(group: Header) -> Iterator[Header]:
    """What a functional group is made of: a sequence for each macro (PS3.3 section C.7.6.16)."""
    for held in group.values():
        found = held.get("Value") if isinstance(held, Mapping) else None
        yield from (one for one in (found if isinstance(found, list) else ()) if isinstance(one, Mapping))


def _unknown_words(image: Header) -> Iterator[str]:
    for keyword, words in _WORDS.items():
        said = value(image, keyword)
        if said not in (None, "") and not (isinstance(said, str) and said in words):
            yield keyword


def _implausible(image: Header) -> Iterator[str]:
    for keyword, (low, high) in _BOUNDS.items():
        for number in values(image, keyword):
            if not isinstance(number, int | float) or not low <= number <= high:
                yield keyword
                break
    stored, allocated = value(image, "BitsStored"), value(image, "BitsAllocated")
    if isinstance(stored, int) and isinstance(allocated, int) and not 0 < stored <= allocated:
        yield "BitsStored"


def _torn_series(images: Sequence[Header]) -> set[str]:
    """The series whose images do not name the same side for the series."""
    told: dict[str, set[str]] = {}
    for image in images:
        told.setdefault(_text(image, "SeriesInstanceUID"), set()).add(_text(image, "Laterality"))
    return {series for series, said in told.items() if {"L", "R"} <= said}


def _contradicting_sides(torn: set[str], image: Header) -> Iterator[str]:
    """Every place that tells a side tells the same one; B is both, as frames of other than mammograms may be."""
    if _text(image, "SeriesInstanceUID") in torn:
        yield "Laterality"
    anatomies = list(_of_frames(image, "FrameAnatomySequence"))
    told = {
        "ImageLaterality": {_text(image, "ImageLaterality")},
        "Laterality": {_text(image, "Laterality")},
        "FrameLaterality": {_text(anatomy, "FrameLaterality") for anatomy in anatomies},
        "AnatomicRegionSequence": {side for part in (image, *anatomies) for side in _coded_sides(part)},
        "PatientOrientation": set(_oriented_sides(image)),
    }
    sides = {keyword: said & {"L", "R"} for keyword, said in told.items()}
    if value(image, "Modality") != "MG":
        sides = {keyword: said for keyword, said in sides.items() if len(said) == 1}
    if len(set().union(*sides.values())) > 1:
        yield from (keyword for keyword, said in sides.items() if said)


def _of_frames(image: Header, macro: str) -> Iterator[Header]:
    """What a macro says of frames, of all and of each (PS3.3 section C.7.6.16)."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(image, name):
            yield from items(group, macro)


def _coded_sides(part: Header) -> Iterator[str]:
    for region in items(part, "AnatomicRegionSequence"):
        if (code := _text(region, "CodeValue")) in _SIDED:
            yield _SIDED[code]
        for modifier in items(region, "AnatomicRegionModifierSequence"):
            if (code := _text(modifier, "CodeValue")) in _SIDES:
                yield _SIDES[code]


def _oriented_sides(image: Header) -> Iterator[str]:
    """The side of an oblique view: the plane in which it lies leads from the axilla down to the middle of the body, so
    down and right (FR) of a left breast, and down and left of a right one, however the image is turned.
    """
    if value(image, "Modality") != "MG" or _OBLIQUE.isdisjoint(_positions(image)):
        return
    parts = (image, *_of_frames(image, "PatientOrientationInFrameSequence"))
    for axis in (axis for part in parts for axis in values(part, "PatientOrientation")):
        letters = set(axis) if isinstance(axis, str) else set()
        if len(letters & {"F", "H"}) == len(letters & {"L", "R"}) == 1:
            yield "L" if ("F" in letters) == ("R" in letters) else "R"


def _contradicting_modality(image: Header) -> Iterator[str]:
    expected = _OF_CLASS.get(_text(image, "SOPClassUID"))
    if expected and value(image, "Modality") not in (None, "", expected):
        yield "Modality"


def _of_patient(images: Sequence[Header]) -> Iterator[Finding]:
    lacking = [one for one in ("PatientSex", "PatientAge") if not any(_has(image, one) for image in images)]
    if "PatientAge" in lacking and any(_has(image, "PatientBirthDate") for image in images):
        lacking.remove("PatientAge")
    if lacking and images:
        yield Finding(Check.PATIENT, len(images), tuple(lacking))
    differing = [
        keyword
        for keyword in ("PatientID", "PatientSex", "PatientBirthDate")
        if len({_text(image, keyword) for image in images} - {""}) > 1
    ]
    if differing:
        yield Finding(Check.PERSON, len(images), tuple(differing))


def _of_dates(images: Sequence[Header], today: date) -> Iterator[Finding]:
    texts = {_text(image, "StudyDate") for image in images}
    if images and texts <= {""}:
        yield Finding(Check.DATE_MISSING, len(images), ("StudyDate",))
    yield from _each(Check.DATE, images, lambda image: _impossible_dates(image, today))
    yield from _each(Check.AGE, images, _impossible_age)
    if len(texts - {""}) > 1:
        yield Finding(Check.DATES, len(images), ("StudyDate",))


def _impossible_dates(image: Header, today: date) -> Iterator[str]:
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        if (text := _text(image, keyword)) and not _is_possible(text, today):
            yield keyword
    if len(text := _text(image, "AcquisitionDateTime")) >= 8 and not _is_possible(text[:8], today):
        yield "AcquisitionDateTime"
    born = _day(text := _text(image, "PatientBirthDate"))
    if text and (born is None or born > today + timedelta(days=1)):
        yield "PatientBirthDate"


def _is_possible(text: str, today: date) -> bool:
    day = _day(text)
    return day is not None and _EARLIEST <= day <= today + timedelta(days=1)


def _impossible_age(image: Header) -> Iterator[str]:
    """Older than anybody, born after the exam, or another age than the two dates make."""
    age, born, day = _age(image), _day(_text(image, "PatientBirthDate")), _day(_text(image, "StudyDate"))
    if _text(image, "PatientAge") and (age is None or age > _OLDEST):
        yield "PatientAge"
    if born and day:
        years = (day - born).days / 365.25
        if years < 0 or years > _OLDEST:
            yield "PatientBirthDate"
        elif (
            age is not None and abs(years - age) >= 2
        ):  # an age is of completed years, and a date may be of a year
            yield "PatientAge"


def _age(image: Header) -> float | None:
    """In years."""
    found = _AGE.fullmatch(_text(image, "PatientAge"))
    return int(found[1]) / _IN_A_YEAR[found[2]] if found else None


def _missing_views(images: Sequence[Header]) -> int:
    """How many of the views of a screening exam are not here: of a breast with an implant those with it displaced, too,
    which do not stand for the others.
    """
    wanted = {(*view, False) for view in _SCREENING}
    found = set()
    for image in images:
        sides = {_text(image, "ImageLaterality"), *_coded_sides(image)}
        sides |= {_text(one, "FrameLaterality") for one in _of_frames(image, "FrameAnatomySequence")}
        positions, is_displaced = _positions(image), _is_displaced(image)
        found |= {(side, view.removesuffix("ID"), is_displaced) for side in sides for view in positions}
        if _text(image, "BreastImplantPresent") == "YES":
            wanted |= {(side, view, True) for side, view in _SCREENING if side in sides}
    return len(wanted - found)


def _positions(image: Header) -> set[str]:
    """The view that an image is of, as it is written and as it is coded."""
    coded = {_VIEWS.get(_text(one, "CodeValue"), "") for one in items(image, "ViewCodeSequence")}
    return {_text(image, "ViewPosition"), *coded} - {""}


def _is_displaced(image: Header) -> bool:
    """Whether it is of the breast in front of an implant that is pushed back (PS3.16 CID 4015, CID 4014)."""
    modifiers = [
        _text(modifier, "CodeValue")
        for view in items(image, "ViewCodeSequence")
        for modifier in items(view, "ViewModifierCodeSequence")
    ]
    return not _DISPLACED.isdisjoint(modifiers) or _text(image, "ViewPosition") in ("CCID", "MLID")


def value(header: Header, keyword: str) -> Any:
    """The first value of an attribute; None where there is none."""
    return next(iter(values(header, keyword)), None)


def values(header: Header, keyword: str) -> Sequence[Any]:
    """The values of an attribute."""
    held = header.get(tag(keyword))
    found = held.get("Value") if isinstance(held, Mapping) else None
    return found if isinstance(found, list) else []


def items(header: Header, keyword: str) -> list[Header]:
    """The items of a sequence."""
    return [one for one in values(header, keyword) if isinstance(one, Mapping)]


def _functional_groups(image: Header) -> Iterator[Header]:
    """The groups that frames share, and those of the first: whatever holds for all is in either."""
    yield from items(image, "SharedFunctionalGroupsSequence")
    yield from items(image, "PerFrameFunctionalGroupsSequence")[:1]


def _text(header: Header, keyword: str) -> str:
    found = value(header, keyword)
    return found if isinstance(found, str) else ""


def _day(text: str) -> date | None:
    """A date as DICOM writes it (PS3.5 table 6.2-1, DA)."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if re.fullmatch("[0-9]{8}", text) else None
    except ValueError:
        return None
