"""A site of any size: its home, with a study's rows and files many times over.

One study of each form is sent to a site that is new. What the site then holds of it, the rows of its index and of
Orthanc's own, and its files, are moulds: each copy is cast from them with other UIDs, another patient and another day.
So every row is as this release writes it, UIDs are pseudonyms of the site's key, and each file carries a proof that
holds. Files are sparse: the value of Pixel Data, zeros, takes no room, and a file takes one block. Readings, datasets
and facts are filled by SQL. Left out are what the crosswalk seals, and the copies of headers that Orthanc keeps.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from archive import instances
from archive.search_facts import bring_up_to_date
from archive.settings import Settings
from benchmarks.exams import write_studies
from benchmarks.moulds import (
    INSTANCES,
    UID_LENGTH,
    Copies,
    Mould,
    Values,
    both,
    copies_of,
    keys_of,
    with_orthanc_names,
)
from benchmarks.orthanc_rows import fill_orthanc
from benchmarks.servers import database
from benchmarks.worklist import fill_rest
from deidentification import part10, seal
from deidentification.pseudonym import Pseudonyms
from senogate.cluster import locate
from tests.live import LiveSite, eventually, find_free_ports

FORMS = ("MG", "MR")
EVERY = 10  # of so many studies one is of the second form
SIDE = 256  # rows and columns of 16 bits
ENVIRONMENT = {"SENOGATE_STABLE_AGE": "3600"}
_FAST = {  # of what is made again where it was cut short
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "autovacuum": "off",
}
_MARK = "made.json"
_BLOCK = 2**20  # bytes
_LARGEST = "instance"
_TABLES = {"study": "study_instance_uid", "series": "study_instance_uid", "instance": "study_instance_uid"}


@dataclass(frozen=True, slots=True)
class Large:
    """A site's folder, how many studies it has, and how long its parts took to make, in seconds."""

    folder: Path
    studies: int
    made: Mapping[str, Any]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def copies(self) -> Copies:
        return copies_of(self.home)

    def site(self, **settings: str) -> LiveSite:
        """The site, not started yet."""
        return LiveSite(self.home, find_free_ports(3), ENVIRONMENT | settings)


def make(folder: Path, studies: int) -> Large:
    """The site in a folder, made unless it is there whole."""
    place = folder / str(studies)
    mark = place / _MARK
    if not mark.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        os.chmod(place, 0o755)
        mark.write_text(json.dumps(_make(place, studies)))
    return Large(place, studies, json.loads(mark.read_text()))


def _make(place: Path, studies: int) -> dict[str, Any]:
    home = place / "home"
    began = time.perf_counter()
    forms = _send_forms(home, place / "forms")
    took = {"forms": time.perf_counter() - began}
    with database(place, _FAST) as url:
        moulds = {table: [_rows(url, table, names) for names in forms] for table in _TABLES}
        orthanc = (home / "orthanc/index/index", forms, form_of, copies_of(home))
        with ProcessPoolExecutor(2) as pool:
            others = {
                "storage": pool.submit(_timed, partial(fill_storage, home, forms, studies)),
                "orthanc": pool.submit(_timed, partial(fill_orthanc, *orthanc, studies)),
            }
            took["index"] = _timed(partial(fill_index, url, home, moulds, studies))
            took["readings"] = _timed(partial(_fill_rest, url, home))
            took |= {name: each.result() for name, each in others.items()}
    sizes = {
        "storage_gib": home / "orthanc/storage",
        "orthanc_gib": home / "orthanc/index",
        "index_gib": locate(home).data,
    }
    told = {name: round(_room(path) / 2**30, 2) for name, path in sizes.items()}
    return {f"{name}_s": round(seconds, 1) for name, seconds in took.items()} | told


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _room(folder: Path) -> int:
    """Bytes of the blocks that all below a folder takes."""
    return sum(each.lstat().st_blocks * 512 for each in folder.rglob("*"))


# What is copied.


def _send_forms(home: Path, folder: Path) -> list[dict[str, str]]:
    """Send a study of each form to the site, which is new; what each is called in the end."""
    site = LiveSite(home, find_free_ports(3), ENVIRONMENT).start()
    try:
        pseudonyms = site.pseudonyms()
        for number, modality in enumerate(FORMS):
            paths = write_studies(folder / modality, 1, INSTANCES, SIDE, SIDE)
            for path in paths:
                become(path, modality, f"{number} {folder}", pseudonyms)
        sent = site.send(folder, wait=False)
        assert sent["sent"] == len(FORMS) * INSTANCES, sent
        eventually(lambda: _count(site, "instance") == len(FORMS) * INSTANCES)
        return [_named(site, modality) for modality in FORMS]
    finally:
        site.stop()


def become(path: Path, modality: str, seed: str, pseudonyms: Pseudonyms) -> None:
    """Write a file of `write_studies` again as one of a form, without noise, its pseudonyms of the wanted length."""
    dataset = dcmread(path)

    def uid(name: str) -> str:
        drawn = (_seeded_uid(f"{seed} {name} {attempt}") for attempt in count())
        return next(each for each in drawn if len(pseudonyms.uid(each)) == UID_LENGTH)

    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series")
    dataset.SOPInstanceUID = uid(f"instance {dataset.InstanceNumber}")
    dataset.PatientID = f"GROWTH-{modality}"
    dataset.Manufacturer, dataset.PatientAge = "SENOGATE BENCHMARK", "058Y"
    dataset.Modality = modality
    if modality == "MR":
        _become_mr(dataset)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = np.zeros(SIDE * SIDE, np.uint16).tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _become_mr(dataset: Dataset) -> None:
    dataset.SOPClassUID = MRImageStorage
    dataset.BodyPartExamined = "BREAST"
    for keyword in ("PresentationIntentType", "ImageLaterality", "ViewPosition"):
        delattr(dataset, keyword)


def _seeded_uid(seed: str) -> str:
    return f"2.25.{int.from_bytes(hashlib.sha256(seed.encode()).digest()[:15])}"


def _count(site: LiveSite, table: str) -> int:
    with site.database() as connection:
        found = connection.execute(SQL("select count(*) from {}").format(Identifier(table))).fetchone()
    return int(found[0]) if found else 0


def _named(site: LiveSite, modality: str) -> dict[str, str]:
    """What the study of a form is called, by the names of `Copies`."""
    with site.database() as connection:
        rows = connection.execute(
            "select study_instance_uid, series_instance_uid, patient_id, study_date, sop_instance_uid, place"
            " from instance join study using (study_instance_uid) where modalities = %s order by instance_number",
            [[modality]],
        ).fetchall()
    names = dict(zip(("study", "series", "patient", "date"), rows[0], strict=False))
    for number, (*_, sop_instance_uid, place) in enumerate(rows):
        names |= {f"instance {number}": sop_instance_uid, f"place {number}": place}
    return with_orthanc_names(names)


def form_of(number: int) -> int:
    """The form of a study."""
    return int(number % EVERY == EVERY - 1)


# The index.


def _rows(url: str, table: str, names: Values) -> list[Mould]:
    """A table's rows of a study, as COPY has them."""
    statement = SQL("copy (select * from {} where {} = {} order by {}) to stdout").format(
        Identifier(table), Identifier(_TABLES[table]), Literal(names["study"]),
        Identifier("instance_number" if table == "instance" else _TABLES[table]),
    )  # fmt: skip
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
        return [Mould(bytes(line), names) for line in copy]


def fill_index(url: str, home: Path, moulds: Mapping[str, list[list[Mould]]], studies: int) -> None:
    """Studies, series and instances: their indexes are made when all rows are there."""
    copies = copies_of(home)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "set session_replication_role = replica"
        )  # no triggers: counts are made at the end
        indexes = connection.execute(
            "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
            " where indrelid = any(%s::regclass[])"
            "   and not exists (select from pg_constraint where conindid = indexrelid)",
            [list(_TABLES)],
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"drop index {name}".encode())
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("truncate study, series, instance cascade")  # what is then copied goes into no log
            _copy(cursor, copies, moulds, studies)
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("analyze study, series, instance")
        connection.execute("select count_studies()")


def _copy(
    cursor: psycopg.Cursor, copies: Copies, moulds: Mapping[str, list[list[Mould]]], studies: int
) -> None:
    """The rows of all tables at once: one COPY is open at a time, so those of the small ones wait in files."""
    with ExitStack() as stack:
        files = {
            table: stack.enter_context(tempfile.TemporaryFile()) for table in moulds if table != _LARGEST
        }
        with cursor.copy(_copy_from(_LARGEST)) as copy:
            for number in range(studies):
                values = both(copies(number))
                for table, of_forms in moulds.items():
                    write = copy.write if table == _LARGEST else files[table].write
                    for mould in of_forms[form_of(number)]:
                        write(mould.cast(values))
        for table, file in files.items():
            file.seek(0)
            with cursor.copy(_copy_from(table)) as copy:
                while block := file.read(_BLOCK):
                    copy.write(block)


def _copy_from(table: str) -> Composed:
    return SQL("copy {} from stdin").format(Identifier(table))


_FACTS = """
    with form as (
        select distinct on (modalities) modalities, sex, kinds, views, laterality, round
        from search_fact join study using (study_instance_uid)
    ), drawn as (
        select *, abs(hashtext(study_instance_uid)) as h from study
        where study_instance_uid not in (select study_instance_uid from search_fact)
    )
    insert into search_fact (
        revision, study_instance_uid, patient, day, age, sex, kinds, views, laterality, density, assessment, diagnosis,
        findings, round)
    select 1, study_instance_uid, search_hash(drawn.patient_id), drawn.study_date::integer, 40 + h % 35, form.sex,
        kinds, views, laterality, strpos('abcd', density), h % 8 - 1, (h % 50 = 0)::integer, (h % 16) << 8, round
    from drawn join form using (modalities) join study_summary using (study_instance_uid)
    order by drawn.patient_id"""
_PUBLISH = """
    with made as (
        insert into catalogue_record (dataset, fields, edited_by, published_at, version)
        select number, jsonb_build_object(
            'title', name, 'description', 'Exams of a benchmark', 'keywords', '["mammography"]'::jsonb,
            'provenance', 'A benchmark', 'contact_email', 'a@b.example'), 'benchmark', now(), 1
        from dataset where number > 0
        returning dataset, fields)
    insert into record_version (name, version, dataset, fields, node, numbers, issued_by)
    select name, 1, dataset, made.fields, '{}', '{}', 'benchmark' from made join dataset on number = dataset"""
_SETTLE = """
    update reading set state = 'done' where state = 'due';
    update study_summary set states = (
        select array_agg(distinct replace(state, ':due', ':done') order by replace(state, ':due', ':done'))
        from unnest(states) state)
    where exists (select from unnest(states) state where state like '%:due')"""


def _fill_rest(url: str, home: Path) -> None:
    """Readings, summaries, datasets, and the facts that questions are answered from."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("truncate search_fact, search_stale, removal")
    fill_rest(url)
    copies = copies_of(home)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        uids = [copies(number)["study"] for number in (0, EVERY - 1)]  # one of each form is computed as ever
        connection.execute("insert into search_stale select unnest(%s::text[]), false", [uids])
        bring_up_to_date(connection)
        for statement in (_SETTLE, _FACTS, _PUBLISH):  # a worker is to find nothing that is due
            connection.execute(statement)
        connection.execute("truncate search_stale")
        connection.execute("vacuum analyze search_fact, catalogue_record")


# The files.


class Proven(NamedTuple):
    """What precedes the value of Pixel Data in a file, where its proof lies in it, and the length of the whole."""

    mould: Mould
    mac_at: int
    length: int


def _file(storage: str, key: bytes, place: str, names: Values) -> Proven:
    """Raises ValueError where the pixels are not the end of the file, or its proof does not hold."""
    content = instances.path(storage, place).read_bytes()
    found = part10.read_proof(content[:4096])
    if found is None or not seal.verify(key, content, *found):
        raise ValueError("the file carries no proof")
    proof, mac_at = found
    if proof.open_at + proof.open_length != len(content) or any(content[proof.open_at :]):
        raise ValueError("the pixels are not zeros at the end of the file")
    return Proven(Mould(content[: proof.open_at], names), mac_at, len(content))


def fill_storage(home: Path, forms: Sequence[Values], studies: int) -> None:
    """A sparse file for each instance."""
    storage, key, copies = Settings(home=home).storage, keys_of(home).proof, copies_of(home)
    files = [[_file(storage, key, names[f"place {i}"], names) for i in range(INSTANCES)] for names in forms]
    folders: set[str] = set()
    for number in range(studies):
        names = copies(number)
        values = both(names)
        for i, each in enumerate(files[form_of(number)]):
            head = _prove(key, each.mould.cast(values), each.mac_at)
            path = str(instances.path(storage, names[f"place {i}"]))
            if (folder := path[:-37]) not in folders:
                os.makedirs(folder, exist_ok=True)
                folders.add(folder)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(descriptor, head)
            os.ftruncate(descriptor, each.length)
            os.close(descriptor)
        if number % 50_000 == 0:
            print(f"{number * INSTANCES} files", flush=True)
    for form in forms:
        for i in range(INSTANCES):
            instances.path(storage, form[f"place {i}"]).unlink()


def _prove(key: bytes, head: bytes, mac_at: int) -> bytes:
    """The same with a proof that holds."""
    after = mac_at + seal.MAC_LENGTH
    mac = seal.authenticate(key, (head[:mac_at], head[after:]))
    return head[:mac_at] + mac + head[after:]
