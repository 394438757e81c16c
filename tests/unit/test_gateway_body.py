"""Bodies of bytes and ranges of files."""

import anyio
import pytest

from gateway import body
from gateway.body import FileRange, SegmentsResponse, cut, size
from tests.unit.fake_site import Client


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)) * 20)
    return path


def test_a_response_has_its_length_and_every_byte(path, monkeypatch):
    monkeypatch.setattr(body, "CHUNK", 7)
    response = SegmentsResponse([b"<", FileRange(path, 10, 100), b">"], "a/b")
    answer = Client(response).get("/")
    assert answer.headers["content-length"] == "102"
    assert answer.content == b"<" + bytes(range(10, 110)) + b">"


def test_head_has_the_length_and_no_byte(path):
    answer = Client(SegmentsResponse([FileRange(path, 0, 50)], "a/b")).request("HEAD", "/")
    assert (answer.headers["content-length"], answer.content) == ("50", b"")


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 5), (2, 3), (4, 5), (3, 99)])
def test_cutting_segments_is_cutting_their_bytes(path, first, last):
    segments = [b"abc", FileRange(path, 1, 2), b"d"]
    whole = b"abc\x01\x02d"
    cuts = cut(segments, first, last)
    read = b"".join(
        part if isinstance(part, bytes) else path.read_bytes()[part.offset : part.offset + part.length]
        for part in cuts
    )
    assert read == whole[first : last + 1]
    assert size(cuts) == len(read)


def test_an_answer_breaks_off_rather_than_end_early(path):
    """A file cut after it was looked at: what was promised is not delivered, and not made to look so."""
    with pytest.raises(OSError, match="shorter"):
        Client(SegmentsResponse([FileRange(path, 0, 9999)], "a/b")).get("/")


def test_nothing_is_read_for_a_client_that_has_gone(path, monkeypatch):
    monkeypatch.setattr(body, "CHUNK", 1)
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        await anyio.sleep(0)

    response = SegmentsResponse([FileRange(path, 0, 4000)], "a/b")
    anyio.run(response, {"type": "http", "method": "GET"}, receive, send)
    assert len(sent) < 10
