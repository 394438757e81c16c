"""The rows of the index: instances, series and studies, written and forgotten within the caller's transaction."""

import logging
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from pydicom.errors import InvalidDicomError

from archive import datasets
from archive.dicom_json import InstanceRecord, SeriesRecord, StudyRecord, render_series, render_study
from archive.errors import Conflict, Unproven
from archive.json_values import parse_json, to_json
from archive.pool import queries

# What is made from images and has pixels of its own, and still is no image to be read.
ANNOTATION_SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
OTHER = "OT"  # the modality of a captured screen or a drawing; an ultrasound that was captured keeps its own
# What reading an odd header, or putting its values into columns, can raise.
UNREADABLE = (
    Conflict,
    Unproven,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
    FileNotFoundError,
    InvalidDicomError,
    psycopg.DataError,
)
_OF_RECORD = (
    *("sop_instance_uid", "series_instance_uid", "study_instance_uid", "sop_class_uid", "instance_number"),
    *("number_of_frames", "transfer_syntax_uid", "pixel_offset", "pixel_length", "dicom_json", "metadata"),
)
_PARTED = "\x1f"  # values of a list; none of them holds a control character
_log = logging.getLogger("senogate.index")


@dataclass(frozen=True, slots=True)
class Found:
    """An instance that Orthanc holds: what its file says, where it lies, its bytes and when it was written there."""

    record: InstanceRecord
    orthanc_id: str
    place: str
    size: int
    written_at: int  # nanoseconds since the epoch

    @property
    def is_image(self) -> bool:
        """Whether a model may read it."""
        sop_class, modality = self.record.sop_class_uid, self.record.series.modality
        drawn = sop_class in ANNOTATION_SOP_CLASSES or (sop_class, modality) == (SECONDARY_CAPTURE, OTHER)
        return self.record.has_pixels and not drawn


class Index:
    """Writes over one connection; every method is to be called within a transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._sql = queries("index.sql")

    def write(self, found: Sequence[Found]) -> list[Found]:
        """Write instances, in their order; those that are in the index now. What can't be written is set aside."""
        if not found:
            return []
        try:
            with self._connection.transaction():
                for some in _apart(found):
                    self._write(some)
            return list(found)
        except UNREADABLE as error:
            if len(found) > 1:  # one of them holds up no other
                return [written for each in found for written in self.write([each])]
            self.set_aside(found[0].orthanc_id, type(error).__name__)
            return []

    def set_aside(self, identifier: str, reason: str) -> None:
        """Put on record that an instance of Orthanc is not in the index, and by which kind of error."""
        row = {"orthanc_id": identifier, "reason": reason}
        self._connection.execute(self._sql["set_aside"], row)
        _log.warning("an instance can't be indexed (%s); `senogate reindex` tries again", row["reason"])

    def forget(self, gone: Sequence[tuple[str, str]]) -> int:
        """Forget the instances that lie where their row says, and studies and series left empty; their number.

        `gone` are SOP Instance UIDs and places. A study that lost images wants to be read again.
        """
        values = {"uids": [uid for uid, _ in gone], "places": [place for _, place in gone]}
        rows = self._connection.execute(self._sql["forget_instances"], values).fetchall()
        studies = sorted({study for study, _ in rows})
        self.forget_empty(studies)
        changed = sorted({study for study, is_image in rows if is_image})
        self._connection.execute(self._sql["unsettle"], {"studies": changed})
        self.render(studies)
        return len(rows)

    def forget_empty(self, studies: Sequence[str] | None) -> None:
        """Forget those of these studies that hold nothing, and their series that hold nothing; of all for None."""
        self._connection.execute(self._sql["forget_empty_series"], {"studies": studies})
        self._connection.execute(self._sql["forget_empty_studies"], {"studies": studies})

    def render(self, studies: Iterable[str]) -> None:
        """Write the QIDO-RS answers of the studies and their series anew, and give them their places in datasets."""
        named = {"studies": sorted(set(studies))}
        if not named["studies"]:
            datasets.place(self._connection, [])
            return
        series = self._connection.execute(self._sql["series_totals"], named).fetchall()
        self._run("update_series", [_series_row(*each) for each in series])
        totals = self._connection.execute(self._sql["study_totals"], named).fetchall()
        self._run("update_studies", [_study_row(*each) for each in totals])
        self._connection.execute(self._sql["search_anew"], named)
        datasets.place(self._connection, named["studies"])

    def _write(self, found: Sequence[Found]) -> None:
        studies = {  # of each patient that is named: a study can be of several
            (each.record.study.study_instance_uid, each.record.study.patient_id): each.record.study
            for each in found
        }
        series = {each.record.series.series_instance_uid: each.record.series for each in found}
        for some in _rounds(studies):
            self._run("upsert_studies", [_columns(study) for study in some])
        self._run("upsert_series", [_columns(series[uid]) for uid in sorted(series)])
        rows = self._run("upsert_instances", [_instance_row(each) for each in found])
        if rows and rows[0][0] < len(found):
            raise Conflict("the index holds another instance of this SOPInstanceUID, in another series")
        changed = sorted({each.record.study_instance_uid for each in found if each.is_image})
        self._connection.execute(self._sql["unsettle"], {"studies": changed})

    def _run(self, name: str, rows: Sequence[dict[str, Any]]) -> list[Any]:
        """Run a statement that takes its rows by column; what it returns."""
        if not rows:
            return []
        cursor = self._connection.execute(self._sql[name], _by_column(rows), prepare=True)
        return cursor.fetchall() if cursor.description else []


def _columns(record: InstanceRecord | SeriesRecord | StudyRecord) -> dict[str, Any]:
    """A record's fields as SQL parameters; dictionaries go as jsonb."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: Jsonb(value, to_json) if isinstance(value, dict) else value for name, value in values.items()
    }


def _apart(found: Sequence[Found]) -> Iterator[list[Found]]:
    """In their order, in parts in each of which no two share a SOP Instance UID: one statement writes a row once."""
    seen: dict[str, Found] = {}
    for each in found:
        if each.record.sop_instance_uid in seen:
            yield list(seen.values())
            seen.clear()
        seen[each.record.sop_instance_uid] = each
    yield list(seen.values())


def _rounds(studies: Mapping[tuple[str, str], StudyRecord]) -> Iterator[list[StudyRecord]]:
    """The same of studies by UID and patient: of one that names several, the last one is written last."""
    waiting = list(studies.values())
    while waiting:
        first: dict[str, StudyRecord] = {}
        later = [each for each in waiting if first.setdefault(each.study_instance_uid, each) is not each]
        yield list(first.values())
        waiting = later


def _instance_row(found: Found) -> dict[str, Any]:
    record = found.record
    return {name: getattr(record, name) for name in _OF_RECORD} | {
        "attributes": Jsonb(record.attributes, to_json),
        "orthanc_id": found.orthanc_id,
        "place": found.place,
        "size": found.size,
        "is_image": found.is_image,
    }


def _by_column(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _series_row(uid: str, attributes: str, count: int) -> dict[str, Any]:
    rendered = render_series(parse_json(attributes), number_of_instances=count)
    return {"series_instance_uid": uid, "number_of_instances": count, "dicom_json": rendered}


def _study_row(
    uid: str,
    attributes: str,
    modalities: list[str] | None,
    sop_classes: list[str] | None,
    number_of_series: int,
    number_of_instances: int,
) -> dict[str, Any]:
    rendered = render_study(
        parse_json(attributes),
        study_instance_uid=uid,
        modalities=modalities or [],
        sop_classes=sop_classes or [],
        number_of_series=number_of_series,
        number_of_instances=number_of_instances,
    )
    return {
        "study_instance_uid": uid,
        "modalities": _PARTED.join(modalities or []),
        "sop_classes": _PARTED.join(sop_classes or []),
        "number_of_series": number_of_series,
        "number_of_instances": number_of_instances,
        "dicom_json": rendered,
    }
