"""Orthanc's `/changes` → the index: every batch and the position it reaches are one transaction.

So a follower that is killed anywhere has either done a batch or not begun it, and doing one twice changes nothing.
"""

import hashlib
import logging
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb
from pydicom.errors import InvalidDicomError

from archive import datasets, instances
from archive.dicom_json import (
    InstanceRecord,
    SeriesRecord,
    StudyRecord,
    read_instance,
    render_series,
    render_study,
)
from archive.errors import Conflict, NotFound, Unavailable, Unproven
from archive.orthanc import Changes, Orthanc
from archive.pool import queries

BATCH = 200  # changes a transaction
TASKS = ("density",)
# What is made from images and has pixels of its own, and still is no image to be read.
ANNOTATION_SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
)
# What reading an odd header, or putting its values into columns, can raise.
_UNREADABLE = (
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
_LOCK = 0x5E0A_0002  # key of the advisory lock that lets one process follow at a time
_log = logging.getLogger("senogate.index")


@dataclass(frozen=True, slots=True)
class Followed:
    """What one step did: instances indexed, and whether the log's end was reached."""

    indexed: int
    done: bool


class Follower:
    """Brings the index up to what Orthanc holds, over one connection that it holds alone.

    `is_proven` tells of an open file, by its descriptor, whether it carries a valid proof of this site; one
    that does not is never indexed.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        orthanc: Orthanc,
        storage: str,
        is_proven: Callable[[int], bool],
    ) -> None:
        self._connection = connection
        self._orthanc = orthanc
        self._storage = storage
        self._is_proven = is_proven
        self._sql = queries("index.sql")

    def is_alone(self) -> bool:
        """Whether this process is the one that follows; true until its connection ends."""
        row = self._connection.execute(self._sql["follow_alone"], {"key": _LOCK}).fetchone()
        self._connection.commit()
        return bool(row and row[0])

    def step(self) -> Followed:
        """Take one batch of changes into the index. Raises Unavailable."""
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            changes = self._next_changes()
            created = [row.id for row in changes.rows if row.type == "NewInstance"]
            indexed = self._index(created)
            self._connection.execute(self._sql["move_position"], {"sequence": changes.last})
        return Followed(indexed, changes.done)

    def settle(self, age: float) -> int:
        """Want readings of the studies to which no image has come for `age` seconds; the number of readings wanted.

        What Orthanc calls stable is not asked for: it forgets which studies are not yet when it is killed.
        """
        with self._connection.transaction():
            settled = self._connection.execute(self._sql["settle"], {"age": age}).fetchall()
            wanted = [{"study_instance_uid": study, "task": task} for (study,) in settled for task in TASKS]
            return sum(self._connection.execute(self._sql["want_reading"], row).rowcount for row in wanted)

    def rebuild(self, identifiers: Iterable[str]) -> int:
        """Index every instance of `identifiers` anew and forget all others; the number of instances indexed.

        One transaction, so that readers see the old index until the new one is whole. What another process
        indexes meanwhile stays, and what was indexed is forgotten only when Orthanc says that it has gone.
        """
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            self._connection.execute(self._sql["forget_set_aside"])
            indexed: dict[str, str] = dict(
                self._connection.execute(self._sql["places_in_orthanc"]).fetchall()
            )
            kept = {record.sop_instance_uid for record in self._upsert(identifiers)}
            missed = [identifier for uid, identifier in indexed.items() if uid not in kept]
            kept |= {record.sop_instance_uid for record in self._upsert(missed)}
            self._connection.execute(self._sql["forget_instances"], {"gone": list(indexed.keys() - kept)})
            self._connection.execute(self._sql["forget_empty_series"])
            self._connection.execute(self._sql["forget_empty_studies"])
            studies = [uid for (uid,) in self._connection.execute("select study_instance_uid from study")]
            self._render(studies)
        return len(kept)

    def index(self, identifiers: Iterable[str]) -> int:
        """Index these instances anew; their number. Raises Unavailable."""
        with self._connection.transaction():
            self._connection.execute(queries("erasure.sql")["store_together"])
            return self._index(identifiers)

    def _next_changes(self) -> Changes:
        """The log after the stored position, or from its beginning when Orthanc's log is younger than that."""
        (position,) = self._connection.execute(self._sql["position"]).fetchone() or (0,)
        changes = self._orthanc.changes(position, BATCH)
        if changes.last < position:
            changes = self._orthanc.changes(0, BATCH)
        return changes

    def _index(self, identifiers: Iterable[str]) -> int:
        records = self._upsert(identifiers)
        self._render(sorted({record.study.study_instance_uid for record in records}))
        return len(records)

    def _upsert(self, identifiers: Iterable[str]) -> list[InstanceRecord]:
        """The records of the instances that are in the index now; one that can't be read holds up no other."""
        records = []
        for identifier in identifiers:
            try:
                records.append(self._upsert_one(identifier))
            except NotFound:
                continue  # deleted since: nothing to index
            except _UNREADABLE as error:
                row = {"orthanc_id": identifier, "reason": type(error).__name__}
                self._connection.execute(self._sql["set_aside"], row)
                _log.warning(
                    "an instance can't be indexed (%s); `senogate reindex` tries again", row["reason"]
                )
        return records

    def _upsert_one(self, identifier: str) -> InstanceRecord:
        place = self._orthanc.place(identifier)
        path = instances.path(self._storage, place)
        if not path.exists() and not any(Path(self._storage).glob("*")):
            raise Unavailable("the storage folder is empty: is it mounted, and does `storage` name it?")
        record, size = self._read(path, identifier)
        is_image = record.has_pixels and record.sop_class_uid not in ANNOTATION_SOP_CLASSES
        lies = {"orthanc_id": identifier, "place": place, "size": size, "is_image": is_image}
        with self._connection.transaction():
            self._connection.execute(self._sql["upsert_study"], _columns(record.study))
            self._connection.execute(self._sql["upsert_series"], _columns(record.series))
            written = self._connection.execute(self._sql["upsert_instance"], _columns(record) | lies)
            if not written.rowcount:
                raise Conflict("the index holds another instance of this SOPInstanceUID, in another series")
            if is_image:
                self._connection.execute(self._sql["unsettle"], _columns(record.study))
        return record

    def _read(self, path: Path, identifier: str) -> tuple[InstanceRecord, int]:
        """What the file says, and its size. Raises Unproven for one that this site did not make, or not this one."""
        with open(path, "rb") as file:
            if not self._is_proven(file.fileno()):
                raise Unproven("a stored file carries no valid proof of de-identification")
            record, size = read_instance(file), os.fstat(file.fileno()).st_size
        if orthanc_id(record) != identifier:
            raise Unproven("a stored file is another instance than the one that Orthanc stored there")
        return record, size

    def _render(self, studies: list[str]) -> None:
        """Write the QIDO-RS answers of the studies and their series anew, with their counts as they are now."""
        if not studies:
            datasets.place(self._connection, [])
            return
        for uid, attributes, count in self._connection.execute(
            self._sql["series_totals"], {"studies": studies}
        ):
            rendered = render_series(attributes, number_of_instances=count)
            row = {"series_instance_uid": uid, "number_of_instances": count, "dicom_json": rendered}
            self._connection.execute(self._sql["update_series"], row)
        for uid, attributes, *totals in self._connection.execute(
            self._sql["study_totals"], {"studies": studies}
        ):
            names = ("modalities", "sop_classes", "number_of_series", "number_of_instances")
            values = dict(zip(names, [totals[0] or [], totals[1] or [], totals[2], totals[3]], strict=True))
            rendered = render_study(attributes, study_instance_uid=uid, **values)
            row = values | {"study_instance_uid": uid, "dicom_json": rendered}
            self._connection.execute(self._sql["update_study"], row)
        datasets.place(self._connection, studies)


def orthanc_id(record: InstanceRecord) -> str:
    """The identifier by which Orthanc knows an instance: SHA-1 of its patient and UIDs, in groups of eight."""
    named = (
        record.study.patient_id,
        record.study.study_instance_uid,
        record.series.series_instance_uid,
        record.sop_instance_uid,
    )
    digest = hashlib.sha1("|".join(named).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def _columns(record: InstanceRecord | SeriesRecord | StudyRecord) -> dict[str, object]:
    """A record's fields as SQL parameters; dictionaries go as jsonb."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
