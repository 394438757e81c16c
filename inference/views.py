"""Chooses the standard views of a screening exam from the headers of its instances.

Laterality and projection are what the header says. Magnifications, spot views and other modified or partial views,
images of other kinds, and all but the last of several images of a view are set aside.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from archive.findings import NotApplicable
from inference.instance import Instance

View = tuple[str, str]
Frames = Literal["one", "many"]

STANDARD_VIEWS: tuple[View, ...] = (("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO"))

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
BREAST_TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SPECIAL_IMAGE_TYPES = {
    "BIOPSY",
    "CONTRAST",
    "GENERATED_2D",
    "LOW_ENERGY",
    "POST_CONTRAST",
    "RECOMBINED",
    "SPECIMEN",
    "STEREO",
    "STEREO_SCOUT",
    "SUBTRACTION",
    "TOMO_2D",
    "TOMO_PROJ",
    "TOMOSYNTHESIS",
}
"""What vendors and PS3.3 C.8.11.7.1.4 put in Image Type for what is not a plain two-dimensional mammogram."""

Rule = tuple[str, Callable[[Instance], bool]]

_PLAIN: tuple[Rule, ...] = (
    ("not mammography", lambda one: one.modality != "MG"),
    ("not For Presentation", lambda one: one.presentation_intent == "FOR PROCESSING"),
    ("of another SOP class", lambda one: one.sop_class_uid != FOR_PRESENTATION),
    ("not marked For Presentation", lambda one: one.presentation_intent != "FOR PRESENTATION"),
    (
        "biopsy, specimen, contrast or synthetic",
        lambda one: not SPECIAL_IMAGE_TYPES.isdisjoint(one.image_type),
    ),
)
_TOMOSYNTHESIS: tuple[Rule, ...] = (
    ("not mammography", lambda one: one.modality != "MG"),
    ("not For Presentation", lambda one: one.presentation_intent == "FOR PROCESSING"),
    ("of another SOP class", lambda one: one.sop_class_uid != BREAST_TOMOSYNTHESIS),
    (
        "biopsy, specimen, contrast or synthetic",
        lambda one: not (SPECIAL_IMAGE_TYPES - {"TOMOSYNTHESIS"}).isdisjoint(one.image_type),
    ),
)
_STANDARD: tuple[Rule, ...] = (
    ("quality control", lambda one: one.quality_control),
    ("with a view modifier or magnified", lambda one: one.modified),
    ("partial views", lambda one: one.partial),
    ("without a laterality of one breast", lambda one: laterality_of(one) not in ("L", "R")),
    ("of another view", lambda one: projection_of(one) not in ("CC", "MLO")),
)
_FLAT: Rule = ("with several frames", lambda one: one.number_of_frames != 1)
_DEEP: Rule = ("with one frame", lambda one: one.number_of_frames == 1)
_RULES: Mapping[Frames, tuple[Rule, ...]] = {
    "one": (*_PLAIN, _STANDARD[0], _FLAT, *_STANDARD[1:]),
    "many": (*_TOMOSYNTHESIS, _STANDARD[0], _DEEP, *_STANDARD[1:]),
}


def choose(
    instances: Iterable[Instance], wanted: Sequence[View], *, frames: Frames = "one"
) -> tuple[Instance, ...] | NotApplicable:
    """The instances that stand for the wanted views (`L`/`R`, `CC`/`MLO`), in that order.

    `frames` is `one` for plain mammograms and `many` for tomosynthesis. Of several images of one view the last
    acquired is taken, and of those the one with the greatest instance number and then UID. NotApplicable says which
    view is missing, what was set aside, or what contradicts.
    """
    sorting = sort(instances, frames=frames)
    if len(sorting.studies) > 1:
        return NotApplicable("the instances belong to more than one study")
    if sorting.contradictions:
        return NotApplicable(sorting.contradictions[0])
    missing = [view for view in wanted if view not in sorting.views]
    if missing:
        return _missing(missing, len(wanted), sorting.aside)
    return tuple(sorting.views[view] for view in wanted)


def standard_views(instances: Iterable[Instance], *, frames: Frames = "one") -> dict[View, Instance]:
    """Every standard view that is there, in the order of `STANDARD_VIEWS`; none is required.

    Each is the image that `choose` takes. An instance whose header contradicts itself stands for no view.
    """
    found = sort(instances, frames=frames).views
    return {view: found[view] for view in STANDARD_VIEWS if view in found}


@dataclass(frozen=True, slots=True)
class Sorting:
    """A study's instances by view; how many were set aside for which reason, and what contradicts in headers."""

    views: Mapping[View, Instance]
    aside: Mapping[str, int]
    contradictions: tuple[str, ...]
    studies: frozenset[str]


def sort(instances: Iterable[Instance], *, frames: Frames = "one") -> Sorting:
    """Sort instances by view as `choose` does. The same instance twice counts once."""
    unique = {one.sop_instance_uid: one for one in instances}.values()
    aside: Counter[str] = Counter()
    contradictions: list[str] = []
    found: dict[View, Instance] = {}
    for one in sorted(unique, key=lambda one: (one.acquired, one.sop_instance_uid)):
        if reason := next((reason for reason, applies in _RULES[frames] if applies(one)), ""):
            aside[reason] += 1
        elif contradiction := _contradiction(one):
            contradictions.append(contradiction)
        else:
            found[laterality_of(one), projection_of(one)] = one
    studies = frozenset(one.study_instance_uid for one in unique)
    return Sorting(found, aside, tuple(contradictions), studies)


def laterality_of(one: Instance) -> str:
    """Image Laterality (Frame Laterality in tomosynthesis), else Laterality."""
    return one.image_laterality or one.laterality


def projection_of(one: Instance) -> str:
    """View Code Sequence, else View Position, as an abbreviation."""
    return one.code_view or one.view


def _contradiction(one: Instance) -> str:
    if one.laterality and one.laterality != laterality_of(one):
        return "laterality contradicts: ImageLaterality and Laterality name different breasts"
    if one.view and one.view != projection_of(one):
        return "view contradicts: ViewPosition and ViewCodeSequence name different views"
    return ""


def _missing(missing: Sequence[View], wanted: int, aside: Mapping[str, int]) -> NotApplicable:
    names = [f"{laterality} {view}" for laterality, view in missing]
    text = f"{' and '.join([', '.join(names[:-1]), names[-1]]) if names[1:] else names[0]} "
    text += "is missing" if len(names) == 1 else f"are missing: {wanted - len(names)} of {wanted} views"
    if aside:
        text += (
            f"; set aside were {', '.join(f'{count} {reason}' for reason, count in sorted(aside.items()))}"
        )
    return NotApplicable(text)
