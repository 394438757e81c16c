"""Orthanc's index is lost and its files are not: `senogate orthanc rebuild` makes it anew of them."""

import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from archive import instances
from archive.errors import Unavailable
from archive.orthanc import Orthanc
from archive.state_item import Level
from senogate import rebuilding
from tests.integration.conftest import is_answering
from tests.integration.test_doctor import look
from tests.integration.test_whole_way import write
from tests.live import LiveSite, eventually


@dataclass(frozen=True)
class Lost:
    """A site that lost Orthanc's index: two studies, of which the first was sent again since, and what was there."""

    site: LiveSite
    studies: list[str]
    instances: set[str]
    readings: list[tuple[str, ...]]
    damaged: str
    erased: str


def rows(site: LiveSite, statement: str) -> list[Any]:
    with site.database() as database:
        return database.execute(statement.encode()).fetchall()


def indexed(site: LiveSite) -> dict[str, str]:
    """Places of the instances that the site's index names, by SOP Instance UID."""
    return dict(rows(site, "select sop_instance_uid, place from instance"))


def readings(site: LiveSite) -> list[tuple[str, ...]]:
    return rows(
        site, "select study_instance_uid, task, state, fingerprint, changed_at::text from reading order by 1"
    )


def arrivals(site: LiveSite) -> int:
    ((number,),) = rows(site, "select count(*) from audit where content like '%instances.arrived%'")
    return int(number)


def held(site: LiveSite) -> list[tuple[str, str]]:
    """SOP Instance UIDs of what Orthanc holds, and where."""
    with site.orthanc() as orthanc:
        found = orthanc.get("/instances", params={"expand": ""}).json()
        named = {each["ID"]: each["MainDicomTags"]["SOPInstanceUID"] for each in found}
        wanted = {"Resources": list(named), "Short": True}
        places = orthanc.post("/tools/bulk-content", json=wanted).json()
    return [(named[each["ID"]], each["FileUuid"]) for each in places]


def copy(site: LiveSite, place: str) -> str:
    """A second file of an instance, as old as it is; its name."""
    storage, name = site.settings.storage, str(uuid.uuid4())
    target = instances.path(storage, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(instances.path(storage, place), target)
    return name


def damage(site: LiveSite, place: str) -> None:
    """Change a byte that its proof covers."""
    file = instances.path(site.settings.storage, place)
    content, stamp = bytearray(file.read_bytes()), file.stat()
    content[1500] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


@pytest.fixture(scope="module")
def lost(
    new_home: Callable[[], Path],
    free_ports: Callable[[int], list[int]],
    phantom_exam: Callable[[], list[bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lost]:
    site = LiveSite(new_home(), free_ports(3)).start()
    folders = [write(tmp_path_factory.mktemp("exam"), phantom_exam()) for _ in range(3)]
    one, two, gone = [site.send(folder)["studies"][0]["study_instance_uid"] for folder in folders]
    ((place,),) = rows(site, f"select min(place) from instance where study_instance_uid = '{gone}'")
    erased = copy(site, place)  # which the erasure can't know of
    site.run("erase", "study", gone, "--reason", "a test", "--yes")
    before = indexed(site)
    damaged = copy(site, min(before.values()))
    damage(site, damaged)
    known = readings(site)
    assert site.stop() == 0
    shutil.rmtree(site.home / "orthanc" / "index")
    site.start()
    site.send(folders[0], wait=False)
    yield Lost(site, [one, two], set(before), known, damaged, erased)
    site.stop()


def test_the_doctor_tells_that_the_index_is_lost_and_what_to_do(lost: Lost) -> None:
    found = look(lost.site, "orthanc")["orthanc-index"]
    assert (found.level, found.command) == (Level.ACT, "senogate orthanc rebuild")


def test_nothing_is_forgotten_meanwhile(lost: Lost) -> None:
    """What Orthanc does not know of is served all the same."""
    assert set(indexed(lost.site)) == lost.instances
    with lost.site.client() as client:
        assert client.get(f"/studies/{lost.studies[1]}", headers={"Accept": "*/*"}).status_code == 200


def test_it_is_not_indexed_anew_from_what_orthanc_knows(lost: Lost) -> None:
    done = lost.site.run("reindex", check=False)
    assert done.returncode == 1
    assert "senogate orthanc rebuild" in done.stderr
    assert set(indexed(lost.site)) == lost.instances


def test_no_backup_without_them_is_made(lost: Lost, tmp_path: Path) -> None:
    done = lost.site.run("backup", str(tmp_path / "backups"), stdin="twelve words at the least", check=False)
    assert (done.returncode, "senogate orthanc rebuild" in done.stderr) == (1, True)


def test_a_rebuild_that_was_cut_short_is_gone_on_with(lost: Lost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orthanc is killed half-way, and all is there exactly once in the end, by one name."""
    site = lost.site
    with closing(Orthanc(site.settings)) as orthanc:  # of what was sent again
        eventually(lambda: rows(site, "select sequence from follow_position") == [(orthanc.last_change(),)])
    came = arrivals(site)
    monkeypatch.setattr(rebuilding, "BATCH", 2)
    seen: list[int] = []

    def kill(number: int) -> None:
        seen.append(number)
        if len(seen) == 2:
            os.kill(site.child("orthanc"), signal.SIGKILL)

    with pytest.raises(Unavailable):
        rebuilding.rebuild(site.settings, kill)
    held_when_back(site)
    copied = copy(site, indexed(site)[min(lost.instances)])  # begun and not registered
    told = json.loads(site.run("orthanc", "rebuild", "--json").stdout)
    found = held(site)
    assert {uid for uid, _ in found} == lost.instances
    assert len(found) == len(lost.instances)
    assert dict(found) == indexed(site)
    storage = site.settings.storage
    assert set(instances.places(storage)) == {place for _, place in found} | {lost.damaged}
    assert (told["whole"], told["held"], told["unproven"]) == (True, len(found), 1)
    assert not instances.path(storage, lost.erased).exists()
    assert not instances.path(storage, copied).exists()
    (images,) = rows(
        site, "select count(*) from instance where is_image"
    )  # Orthanc keeps no header of others
    assert (len(list(instances.header_places(storage))),) == images
    assert arrivals(site) == came


def held_when_back(site: LiveSite) -> list[tuple[str, str]]:
    """What it holds once it was started again."""

    def asked() -> list[tuple[str, str]] | None:
        with suppress(httpx.HTTPError, KeyError, ValueError):
            return held(site)
        return None

    found = eventually(asked)
    with httpx.Client(base_url=site.base_url, trust_env=False) as anybody:
        eventually(lambda: is_answering(anybody, "/health/ready"))
    return found


def test_it_is_well_afterwards(lost: Lost) -> None:
    site = lost.site
    assert "orthanc-index" not in look(site, "orthanc")
    assert site.run("reindex").returncode == 0
    assert readings(site) == lost.readings
    told = json.loads(site.run("orthanc", "rebuild", "--json").stdout)
    assert (told["registered"], told["removed"], told["whole"]) == (0, 0, True)


def test_what_is_removed_afterwards_leaves_the_index(lost: Lost) -> None:
    site = lost.site
    with site.orthanc() as orthanc:
        identifier = orthanc.get("/instances").json()[0]
        assert orthanc.delete(f"/instances/{identifier}").status_code == 200
    eventually(lambda: len(indexed(site)) == len(lost.instances) - 1)
