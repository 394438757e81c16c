"""The proof of a file in storage: by its descriptor, and by the gateway before it answers."""

import os
from pathlib import Path

import anyio
import pytest

from archive import instances
from archive.errors import NotFound, Unproven
from archive.search import Place
from archive.tiers import Tiers
from deidentification.seal import Kind
from deidentification.stored import Proven, check
from gateway.stored import StoredFiles
from tests.unit.dicom_files import dataset, part10, pixels, prove

KEY, UID = b"k" * 32, "1.2.3.4.5"
PLACE = "00000000-0000-0000-0000-000000000001"
WHOLE = prove(part10(dataset(**pixels(10, 10))), KEY)
HEADER = prove(part10(dataset(**pixels(10, 10))), KEY, Kind.HEADER, 100)


def checked(path: Path, content: bytes, key: bytes = KEY) -> Proven | None:
    path.write_bytes(content)
    with path.open("rb") as file:
        return check(key, file.fileno())


class TestCheck:
    @pytest.mark.parametrize(("file", "kind"), [(WHOLE, Kind.WHOLE), (HEADER, Kind.HEADER)])
    def test_what_holds_names_its_kind_and_instance(self, tmp_path, file, kind):
        assert checked(tmp_path / "file", file) == Proven(kind, UID)

    @pytest.mark.parametrize("at", [0, 300, 700, len(WHOLE) - 1])
    def test_a_byte_of_a_whole_proof_that_changed(self, tmp_path, at):
        altered = bytearray(WHOLE)
        altered[at] ^= 1
        assert checked(tmp_path / "file", bytes(altered)) is None

    def test_pixels_are_left_open_by_a_header_proof(self, tmp_path):
        assert checked(tmp_path / "file", HEADER[:-1] + b"x") is not None

    @pytest.mark.parametrize("content", [b"", bytes(200), WHOLE[:-1], WHOLE + b"x", part10(dataset())])
    def test_what_holds_no_proof(self, tmp_path, content):
        assert checked(tmp_path / "file", content) is None

    def test_another_key(self, tmp_path):
        assert checked(tmp_path / "file", WHOLE, b"x" * 32) is None


@pytest.fixture
def stored(tmp_path) -> tuple[StoredFiles, Path, Place]:
    instances.write(str(tmp_path), PLACE, WHOLE)
    place = Place("1.2.3", "1.2.3.4", UID, PLACE, len(WHOLE), "1.2.840.10008.1.2.1", 1, None, None)
    return StoredFiles(Tiers(str(tmp_path)), KEY), instances.path(str(tmp_path), PLACE), place


class TestStoredFiles:
    def test_a_proof_is_checked_once_for_each_state_of_a_file(self, stored, monkeypatch):
        files, path, place = stored
        asked = []
        monkeypatch.setattr("gateway.stored.stored.check", lambda *given: asked.append(1) or check(*given))
        for _ in range(3):
            assert anyio.run(files.path, place) == path
        path.write_bytes(WHOLE)
        anyio.run(files.path, place)
        assert len(asked) == 2

    def test_what_was_altered_is_refused_and_counted_each_time(self, stored, caplog):
        files, path, place = stored
        anyio.run(files.path, place)
        path.write_bytes(WHOLE.replace(b"MONOCHROME2", b"MONOCHROME1"))
        os.utime(path, ns=(0, 0))
        for count in (1, 2):
            with pytest.raises(Unproven):
                anyio.run(files.path, place)
            assert files.refused == count
        assert UID not in caplog.text

    def test_another_instance_of_this_site_in_its_place(self, stored):
        files, path, place = stored
        path.write_bytes(prove(part10(dataset(SOPInstanceUID="1.2.3.4.6", **pixels(10, 10))), KEY))
        with pytest.raises(Unproven):
            anyio.run(files.path, place)

    def test_what_is_gone_is_not_found(self, stored):
        files, path, place = stored
        path.unlink()
        with pytest.raises(NotFound):
            anyio.run(files.path, place)

    def test_what_is_remembered_is_bounded(self, stored, monkeypatch):
        files, _, place = stored
        monkeypatch.setattr("gateway.stored._REMEMBERED", 0)
        anyio.run(files.path, place)
        assert not files._proven


class TestReadAtOnce:
    def test_nothing_before_the_proof_was_checked(self, stored):
        files, _, place = stored
        assert files.read_at_once(place, 0, 10) is None
        anyio.run(files.path, place)
        assert files.read_at_once(place, 0, 10) == WHOLE[:10]

    def test_nothing_of_a_file_that_was_altered(self, stored):
        files, path, place = stored
        anyio.run(files.path, place)
        path.write_bytes(WHOLE.replace(b"MONOCHROME2", b"MONOCHROME1"))
        assert files.read_at_once(place, 0, 10) is None

    def test_nothing_of_another_file_in_its_place(self, stored):
        files, path, place = stored
        anyio.run(files.path, place)
        path.rename(path.with_suffix(".old"))
        path.write_bytes(WHOLE)
        assert files.read_at_once(place, 0, 10) is None

    def test_no_fewer_bytes_than_were_asked_for(self, stored):
        files, _, place = stored
        anyio.run(files.path, place)
        assert files.read_at_once(place, 0, len(WHOLE) + 1) is None
