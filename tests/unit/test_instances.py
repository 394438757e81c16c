"""The bytes of an instance in Orthanc's storage folder."""

from pathlib import Path

import pytest

from archive import instances

PLACE = "0f0e0d0c-1234-4321-8888-0123456789ab"


def test_lies_where_orthanc_itself_would_put_it(tmp_path: Path) -> None:
    assert instances.path(str(tmp_path), PLACE) == tmp_path / "0f" / "0e" / PLACE


@pytest.mark.parametrize(
    "place", ["", "../../../etc/passwd", PLACE.upper(), PLACE + "\n", PLACE[:-1], "/" + PLACE]
)
def test_a_place_never_leads_out_of_the_folder(place: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        instances.path("/storage", place)


def test_writes_every_byte(tmp_path: Path) -> None:
    instances.write(str(tmp_path), PLACE, b"DICM" * 100_000)
    assert instances.path(str(tmp_path), PLACE).read_bytes() == b"DICM" * 100_000


def test_never_writes_over_an_instance(tmp_path: Path) -> None:
    instances.write(str(tmp_path), PLACE, b"first")
    with pytest.raises(FileExistsError):
        instances.write(str(tmp_path), PLACE, b"second")
    assert instances.path(str(tmp_path), PLACE).read_bytes() == b"first"


def test_leaves_nothing_behind_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", fail)
    with pytest.raises(OSError, match="No space"):
        instances.write(str(tmp_path), PLACE, b"bytes")
    assert not instances.path(str(tmp_path), PLACE).exists()


def test_a_file_of_the_folder_one_is_in_is_made_durably(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    instances.write_durably("key", b"1")
    assert Path("key").read_bytes() == b"1"
