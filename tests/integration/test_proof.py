"""What lies in storage without a proof of this site that holds is neither indexed nor served."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from archive import instances
from archive.orthanc import Orthanc
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually

ELSEWHERE = Deidentifier(Keys.derive(b"e" * 32), Profile.load("breast-screening"))


@contextmanager
def spoiled(paths: list[Path], foreign: bytes) -> Iterator[None]:
    """A byte of the first header is another, two files are swapped, the fourth is another site's; until the end."""
    before = {path: path.read_bytes() for path in paths}
    altered, one, other, replaced = paths
    altered.write_bytes(altered.read_bytes().replace(b"MONOCHROME2", b"MONOCHROME1"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    replaced.write_bytes(ELSEWHERE.deidentify(foreign).instance)
    yield
    for path, content in before.items():
        path.write_bytes(content)


def stored(site: LiveSite) -> dict[str, Path]:
    """Where Orthanc keeps the DICOM files, by its identifiers: beside each it keeps a copy of its header."""
    with closing(Orthanc(site.settings)) as orthanc:
        return {
            identifier: instances.path(site.settings.storage, place)
            for identifier, place in orthanc.places(list(orthanc.instances())).items()
        }


def test_what_was_spoiled_since_is_not_served(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    exam = phantom_exam()
    study = site.send(write(tmp_path, exam))["studies"][0]["study_instance_uid"]
    with site.database() as database:
        rows = database.execute(
            "select series_instance_uid, sop_instance_uid, place from instance where study_instance_uid = %s"
            " and is_image order by instance_number",
            [study],
        ).fetchall()
    files = [instances.path(site.settings.storage, place) for _, _, place in rows]
    with spoiled(files, exam[3]), site.client() as client:
        for series, uid, _ in rows:
            address = f"/studies/{study}/series/{series}/instances/{uid}"
            for below in ("", "/frames/1", "/bulkdata/7FE00010"):
                answer = client.get(address + below)
                assert (answer.status_code, answer.headers["content-type"]) == (
                    500,
                    "application/problem+json",
                )
            assert client.get(address + "/metadata").status_code == 200
        assert client.get(f"/studies/{study}").status_code == 500


def test_what_was_spoiled_before_is_not_indexed(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    exam, worker = phantom_exam(), site.child("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        before = stored(site)
        study = site.send(write(tmp_path, exam), wait=False)["studies"][0]["study_instance_uid"]
        files = [path for identifier, path in stored(site).items() if identifier not in before]
        with spoiled(files, exam[3]):
            os.kill(worker, signal.SIGCONT)
            eventually(lambda: _unproven(site) >= 4)
    finally:
        os.kill(worker, signal.SIGCONT)
    with site.client() as client:
        assert client.get("/instances", params={"StudyInstanceUID": study}).content in (b"", b"[]")


def _unproven(site: LiveSite) -> int:
    with site.database() as database:
        row = database.execute("select count(*) from unindexed where reason = 'Unproven'").fetchone()
    return row[0] if row else 0
