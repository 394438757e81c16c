"""Files read without waiting: all of what was asked for, or nothing."""

import os

import pytest

from archive import cached_file
from archive.cached_file import open_cached, read_cached


@pytest.fixture
def descriptor(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    descriptor = open_cached(tmp_path / "file")
    if descriptor is None:
        pytest.skip("this kernel does not tell what is in memory")
    yield descriptor
    os.close(descriptor)


def test_bytes_that_were_just_written(descriptor):
    assert read_cached(descriptor, 10, 5) == bytes(range(5, 15))


def test_a_file_that_ends_before(descriptor):
    assert read_cached(descriptor, 10, 95) is None


def test_what_is_not_there(tmp_path):
    assert open_cached(tmp_path / "none") is None


def test_a_system_that_can_not(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setattr(cached_file, "_syscall", None)
    assert open_cached(tmp_path / "file") is None
