"""The image library of a CAD report (TID 4020, PS3.16), and references by position to its entries."""

from collections.abc import Iterable, Iterator

import highdicom.sr as hd
from highdicom.sr import CodedConcept, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, TM

from archive.findings import Findings, Region, Source
from inference.instance import VIEW_CODES
from inference.results.content import CONTAINS, HAS_ACQ_CONTEXT, SOURCE, Sources

SELECTED_FROM = RelationshipTypeValues.SELECTED_FROM
MILLIMETER = CodedConcept("mm", "UCUM", "millimeter")
BREASTS = {"L": codes.SCT.LeftBreast, "R": codes.SCT.RightBreast}


def with_children(item: Dataset, children: Iterable[Dataset]) -> Dataset:
    """The content item with these below it, references among them."""
    item.add_new("ContentSequence", "SQ", [*children])
    return item


class Library:
    """The sources, each an entry; `position` is that of the library in its report (PS3.3 C.17.3.2.5).

    The frames of an image that regions lie in are entries of their own, after the images.
    """

    def __init__(self, findings: Findings, sources: Sources, position: tuple[int, ...]) -> None:
        self._sources = sources
        self._position = position
        self._by_uid = {one.sop_instance_uid: one for one in findings.sources}
        whole = [(one.sop_instance_uid, 0) for one in findings.sources]
        regions = [region for lesion in findings.lesions for region in lesion.regions]
        self._entries = list(dict.fromkeys([*whole, *map(self._key, regions)]))

    def container(self) -> Dataset:
        """The container with its entries."""
        library = hd.ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=CONTAINS)
        return with_children(library, [self._entry(uid, frame) for uid, frame in self._entries])

    def reference(self, region: Region) -> Dataset:
        """A by-reference item for the image, or the frame of it, that a region was selected from."""
        return self._reference(self._key(region), SELECTED_FROM)

    def reference_to(self, sop_instance_uid: str, relationship: RelationshipTypeValues) -> Dataset:
        """A by-reference item for an image."""
        return self._reference((sop_instance_uid, 0), relationship)

    def _reference(self, entry: tuple[str, int], relationship: RelationshipTypeValues) -> Dataset:
        item = Dataset()
        item.RelationshipType = relationship.value
        item.ReferencedContentItemIdentifier = [*self._position, self._entries.index(entry) + 1]
        return item

    def _key(self, region: Region) -> tuple[str, int]:
        return region.sop_instance_uid, (self._sources.frames(region) or [0])[0]

    def _entry(self, sop_instance_uid: str, frame: int) -> Dataset:
        source, header = self._by_uid[sop_instance_uid], self._sources[sop_instance_uid]
        image = hd.ImageContentItem(
            SOURCE,
            source.sop_class_uid,
            sop_instance_uid,
            referenced_frame_numbers=[frame] if frame else None,
            relationship_type=CONTAINS,
        )
        return with_children(
            image, [*_view(source), *_orientation(header), *_moments(header), *_spacing(header)]
        )


def _view(source: Source) -> Iterator[Dataset]:
    """TID 4020 rows 2 and 3."""
    if source.laterality in BREASTS:
        yield hd.CodeContentItem(codes.DCM.ImageLaterality, BREASTS[source.laterality], HAS_ACQ_CONTEXT)
    if source.view in VIEW_CODES:
        yield hd.CodeContentItem(codes.DCM.ImageView, VIEW_CODES[source.view], HAS_ACQ_CONTEXT)


def _orientation(header: Dataset) -> Iterator[Dataset]:
    """TID 4020 rows 5 and 6."""
    orientation = header.get("PatientOrientation") or []
    if len(orientation) == 2:
        row, column = (str(one) for one in orientation)
        yield hd.TextContentItem(codes.DCM.PatientOrientationRow, row, HAS_ACQ_CONTEXT)
        yield hd.TextContentItem(codes.DCM.PatientOrientationColumn, column, HAS_ACQ_CONTEXT)


def _moments(header: Dataset) -> Iterator[Dataset]:
    """TID 4020 rows 7 to 10: as the de-identified images tell them."""
    for kind in ("Study", "Content"):
        if date := header.get(f"{kind}Date"):
            yield hd.DateContentItem(getattr(codes.DCM, f"{kind}Date"), DA(date), HAS_ACQ_CONTEXT)
        if time := header.get(f"{kind}Time"):
            yield hd.TimeContentItem(getattr(codes.DCM, f"{kind}Time"), TM(time), HAS_ACQ_CONTEXT)


def _spacing(header: Dataset) -> Iterator[Dataset]:
    """TID 4020 rows 11 and 12."""
    spacing = header.get("ImagerPixelSpacing") or header.get("PixelSpacing") or []
    if len(spacing) == 2:
        vertical, horizontal = (float(one) for one in spacing)
        for name, value in (
            (codes.DCM.HorizontalPixelSpacing, horizontal),
            (codes.DCM.VerticalPixelSpacing, vertical),
        ):
            yield hd.NumContentItem(name, value, MILLIMETER, relationship_type=HAS_ACQ_CONTEXT)
