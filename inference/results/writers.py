"""What findings are written as, by the kinds that a site chooses (`results` in its settings)."""

from collections.abc import Callable, Collection, Sequence

from pydicom.dataset import Dataset

from archive.findings import Findings
from inference.results.cad import mammography_cad_srs
from inference.results.capture import secondary_captures
from inference.results.document import Uid
from inference.results.presentation import presentation_states
from inference.results.segmentation import segmentations
from inference.results.selection import key_object_selections
from inference.results.sr import comprehensive_3d_sr

Writer = Callable[[Findings, Sequence[Dataset], Uid], list[bytes]]


def _comprehensive_3d_srs(findings: Findings, sources: Sequence[Dataset], uid: Uid) -> list[bytes]:
    return [comprehensive_3d_sr(findings, sources, uid)]


WRITERS: dict[str, Writer] = {
    "sr": _comprehensive_3d_srs,
    "cad-sr": mammography_cad_srs,
    "sc": secondary_captures,
    "seg": segmentations,
    "gsps": presentation_states,
    "kos": key_object_selections,
}
"""In the order in which they are written: the report first."""


def needs_pixels(kinds: Collection[str]) -> bool:
    """Whether the sources must have their pixels."""
    return "sc" in kinds


def write(findings: Findings, sources: Sequence[Dataset], kinds: Collection[str], uid: Uid) -> list[bytes]:
    """The findings as Part 10 instances of these kinds in the study of their sources.

    `sources` are the instances that the findings name, in that order, with their pixels where a kind needs them; `uid`
    maps a name to a UID, always the same. A kind that has nothing to say gives no instance. Raises ReadingFailed
    where pixels can't be decoded.
    """
    return [
        instance
        for kind, writer in WRITERS.items()
        if kind in kinds
        for instance in writer(findings, sources, uid)
    ]
