"""Chooses the standard views of a screening exam from the headers of its instances."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from archive.findings import NotApplicable
from inference.instance import Instance

View = tuple[str, str]

FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
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

_ASIDE: tuple[tuple[str, Callable[[Instance], bool]], ...] = (
    ("not mammography", lambda one: one.modality != "MG"),
    ("not For Presentation", lambda one: one.presentation_intent == "FOR PROCESSING"),
    ("of another SOP class", lambda one: one.sop_class_uid != FOR_PRESENTATION),
    ("not marked For Presentation", lambda one: one.presentation_intent != "FOR PRESENTATION"),
    (
        "biopsy, specimen, contrast or synthetic",
        lambda one: not SPECIAL_IMAGE_TYPES.isdisjoint(one.image_type),
    ),
    ("quality control", lambda one: one.quality_control),
    ("with several frames", lambda one: one.number_of_frames != 1),
    ("with a view modifier or magnified", lambda one: one.modified),
    ("partial views", lambda one: one.partial),
    ("without a laterality of one breast", lambda one: _laterality(one) not in ("L", "R")),
    ("of another view", lambda one: _view(one) not in ("CC", "MLO")),
)


def choose(instances: Iterable[Instance], wanted: Sequence[View]) -> tuple[Instance, ...] | NotApplicable:
    """The instances that stand for the wanted views (`L`/`R`, `CC`/`MLO`), in that order.

    Of several images of one view the last acquired is taken, and of those the one with the greatest instance
    number and then UID. NotApplicable says which view is missing, what was set aside, or what contradicts.
    """
    unique = list({one.sop_instance_uid: one for one in instances}.values())
    if len({one.study_instance_uid for one in unique}) > 1:
        return NotApplicable("the instances belong to more than one study")
    aside: Counter[str] = Counter()
    found: dict[View, Instance] = {}
    for one in sorted(unique, key=lambda one: (one.acquired, one.sop_instance_uid)):
        reason = _set_aside(one)
        if reason:
            aside[reason] += 1
        elif contradiction := _contradiction(one):
            return NotApplicable(contradiction)
        else:
            found[_laterality(one), _view(one)] = one
    missing = [view for view in wanted if view not in found]
    return _missing(missing, len(wanted), aside) if missing else tuple(found[view] for view in wanted)


def _laterality(one: Instance) -> str:
    return one.image_laterality or one.laterality


def _view(one: Instance) -> str:
    return one.code_view or one.view


def _set_aside(one: Instance) -> str:
    return next((reason for reason, applies in _ASIDE if applies(one)), "")


def _contradiction(one: Instance) -> str:
    if one.laterality and one.laterality != _laterality(one):
        return "laterality contradicts: ImageLaterality and Laterality name different breasts"
    if one.view and one.view != _view(one):
        return "view contradicts: ViewPosition and ViewCodeSequence name different views"
    return ""


def _missing(missing: Sequence[View], wanted: int, aside: Counter[str]) -> NotApplicable:
    names = [f"{laterality} {view}" for laterality, view in missing]
    text = f"{' and '.join([', '.join(names[:-1]), names[-1]]) if names[1:] else names[0]} "
    text += "is missing" if len(names) == 1 else f"are missing: {wanted - len(names)} of {wanted} views"
    if aside:
        text += (
            f"; set aside were {', '.join(f'{count} {reason}' for reason, count in sorted(aside.items()))}"
        )
    return NotApplicable(text)
