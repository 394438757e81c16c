"""Which images of a study a model reads: its views, each view that is there, or every image of its modality."""

from collections.abc import Sequence

from archive.findings import NotApplicable
from inference.instance import Instance
from inference.passport import Inputs
from inference.picture import View
from inference.views import Frames, choose, laterality_of, standard_views

Chosen = tuple[tuple[Instance, View], ...]


def select(instances: Sequence[Instance], inputs: Inputs) -> Chosen | NotApplicable:
    """The instances to read, each as the view it stands for; ("", "") where a model reads images and no views.

    NotApplicable says why there are none, or which is missing.
    """
    if not inputs.views:
        return _images(instances, inputs)
    frames: Frames = "many" if inputs.many_frames else "one"
    if inputs.required:
        found = choose(instances, inputs.views, frames=frames)
        return found if isinstance(found, NotApplicable) else tuple(zip(found, inputs.views, strict=True))
    there = standard_views(instances, frames=frames)
    chosen = tuple((there[view], view) for view in inputs.views if view in there)
    return chosen or _none_of(instances, inputs, frames)


def _none_of(instances: Sequence[Instance], inputs: Inputs, frames: Frames) -> NotApplicable:
    found = choose(instances, inputs.views, frames=frames)
    return found if isinstance(found, NotApplicable) else NotApplicable("the study has none of the views")


def _images(instances: Sequence[Instance], inputs: Inputs) -> Chosen | NotApplicable:
    """Every image of the modality and presentation intent, in the order of series, time and number."""
    unique = {one.sop_instance_uid: one for one in instances}.values()
    if len({one.study_instance_uid for one in unique}) > 1:
        return NotApplicable("the instances belong to more than one study")
    found = [one for one in unique if _is_read(one, inputs)]
    if not found:
        kinds = f"{inputs.modality} {inputs.presentation_intent}".strip()
        frames = "several frames" if inputs.many_frames else "one frame"
        return NotApplicable(f"the study has no image {kinds} of {frames}")
    ordered = sorted(found, key=lambda one: (one.series_instance_uid, one.acquired, one.sop_instance_uid))
    return tuple((one, (laterality_of(one), "")) for one in ordered)


def _is_read(one: Instance, inputs: Inputs) -> bool:
    """Ultrasound and magnetic resonance come as single images and as many frames; mammograms are of one kind each."""
    frames = inputs.modality != "MG" or (one.number_of_frames > 1) == inputs.many_frames
    intent = not inputs.presentation_intent or one.presentation_intent == inputs.presentation_intent
    return (
        one.modality == inputs.modality and frames and intent and one.presentation_intent != "FOR PROCESSING"
    )
