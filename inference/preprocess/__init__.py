"""Preprocessing: pure functions on pictures, found by the names that a passport gives them.

A passport names steps in order, each from picture to picture, and last an assembler that makes the tensor.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from inference.errors import PackageError
from inference.picture import Picture
from inference.preprocess.assemblers import ASSEMBLERS, Assembler, Shape
from inference.preprocess.breast import breast_mask
from inference.preprocess.geometry import LARGEST, chest_wall_left, crop_to_breast, fit, spacing
from inference.preprocess.grey import relative, standardise, unit, voi
from inference.preprocess.levels import Image, Tensor, thumbnails
from inference.preprocess.parameters import Parameters, whole

__all__ = [
    "ASSEMBLERS",
    "STEPS",
    "Assembler",
    "Image",
    "Parameters",
    "Shape",
    "Step",
    "Tensor",
    "assemble",
    "check",
    "prepare",
    "shape_of",
    "thumbnails",
]

Step = Callable[[Picture, Parameters], Picture]
Named = tuple[str, Parameters]

STEPS: Mapping[str, Step] = {
    "chest_wall_left": chest_wall_left,
    "breast_mask": breast_mask,
    "crop_to_breast": crop_to_breast,
    "voi": voi,
    "spacing": spacing,
    "fit": fit,
    "standardise": standardise,
    "relative": relative,
    "unit": unit,
}


def check(steps: Sequence[Named]) -> None:
    """Raises PackageError unless the names are those of steps and, last, of an assembler."""
    names = [name for name, _ in steps]
    if not names or names[-1] not in ASSEMBLERS:
        raise PackageError(f"the last preprocessing must be one of {', '.join(ASSEMBLERS)}")
    for name in names[:-1]:
        if name not in STEPS:
            raise PackageError(f"preprocessing is {name!r}; known are {', '.join((*STEPS, *ASSEMBLERS))}")


def prepare(picture: Picture, steps: Iterable[Named]) -> Picture:
    """The picture after all steps but the assembler, in their order. Raises PackageError, ReadingFailed."""
    for name, parameters in steps:
        if name not in ASSEMBLERS:
            picture = STEPS[name](picture, parameters)
    return picture


def assemble(pictures: Sequence[Picture], steps: Sequence[Named]) -> Tensor:
    """The tensor of prepared pictures. Raises PackageError, ReadingFailed."""
    name, parameters = steps[-1]
    return ASSEMBLERS[name](pictures, parameters)


def shape_of(steps: Sequence[Named], pictures: int) -> Shape:
    """The tensor's shape for so many pictures, None where it depends on them. Raises PackageError."""
    name, parameters = steps[-1]
    shape = ASSEMBLERS[name].shape(pictures, parameters)
    fitted = [one for step, one in steps if step == "fit"]
    if name == "stack" and fitted:
        multiple = whole(parameters, "multiple", 1, 1024, 1)
        sides = (whole(fitted[-1], key, 8, LARGEST) for key in ("rows", "columns"))
        return (*shape[:2], *(-(-side // multiple) * multiple for side in sides))
    return shape
