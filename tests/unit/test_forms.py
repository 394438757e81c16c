"""What comes of a form of a page: texts as they were typed, and files within their bounds."""

from urllib.parse import urlencode

import anyio
import pytest
from starlette.requests import Request

from archive import rules
from archive.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from archive.proposals import LONGEST_PROTOCOL
from gateway.portal.forms import file_of, read_files, read_form

UPLOAD = "multipart/form-data; boundary=x"
MOST = 1000  # bytes of files


def request(body, content_type, **headers):
    """A request whose body comes in pieces."""
    sent = {"content-type": content_type, "content-length": str(len(body))} | headers
    given = [(name.encode(), value.encode()) for name, value in sent.items()]
    pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)] or [b""]

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": given}, receive)


def part(name, content, filename=None):
    named = f'; filename="{filename}"' if filename else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


def read(body, *, number=2, content_type=UPLOAD, **headers):
    """The first file's bytes."""

    async def run():
        asked = request(body, content_type, **headers)
        async with read_files(asked, number=number, most=MOST) as form:
            return await file_of(form, "a").read()

    return anyio.run(run)


def test_lines_end_as_they_do_in_files():
    """HTML, section 4.10.22.6: a browser sends line breaks of a text as CR LF."""
    form = anyio.run(read_form, request(b"a=one%0D%0Atwo%0D%0A", "application/x-www-form-urlencoded"))
    assert form.text("a") == "one\ntwo"


def test_the_longest_texts_are_taken_in_every_script_from_who_is_signed_in():
    """A letter of Greek is six bytes of a form."""
    body = urlencode({"protocol": "\u03b1" * LONGEST_PROTOCOL, "rules": "\u03b1" * rules.LONGEST}).encode()
    asked = request(body, "application/x-www-form-urlencoded")
    asked.scope["principal"] = "somebody"
    assert anyio.run(read_form, asked).text("protocol") == "\u03b1" * LONGEST_PROTOCOL
    with pytest.raises(PayloadTooLarge):
        anyio.run(read_form, request(body, "application/x-www-form-urlencoded"))


def test_a_file_is_what_was_chosen():
    content = bytes(range(256)) * 3
    assert read(part("t", b"1") + part("a", content, "m.onnx") + b"--x--\r\n") == content


@pytest.mark.parametrize("length", ["70000", "1"])
def test_files_that_are_too_large_are_not_read_to_their_end(length):
    """Whatever the request says of itself."""
    body = part("a", b"a" * 200_000, "a") + b"--x--\r\n"
    with pytest.raises(PayloadTooLarge):
        read(body, **{"content-length": length})


@pytest.mark.parametrize(
    "body",
    [
        part("a", b"", "a") + b"--x--\r\n",
        part("a", b"text") + b"--x--\r\n",
        part("b", b"1", "b") + b"--x--\r\n",
        part("a", b"1", "a"),
        b"",
    ],
    ids=["empty", "no file", "another name", "no end", "nothing"],
)
def test_a_form_without_its_file_says_which_is_missing(body):
    with pytest.raises(BadRequest, match="a is missing"):
        read(body)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"--y\r\n", UPLOAD),
        (b"--x\r\n\r\n1", UPLOAD),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--", UPLOAD),
        (b"--x\r\n" + b"a: b\r\n" * 1000, UPLOAD),
        (part("a", b"1", "a") * 3 + b"--x--\r\n", UPLOAD),
        (part("a", b"1") * 20 + b"--x--\r\n", UPLOAD),
        (b"--x--\r\n", "multipart/form-data"),
    ],
    ids=["boundary", "no header", "no name", "many headers", "many files", "many fields", "no boundary"],
)
def test_what_is_no_form_is_refused(body, content_type):
    with pytest.raises(BadRequest):
        read(body, content_type=content_type)


def test_what_is_no_form_with_files_is_not_taken():
    with pytest.raises(UnsupportedMediaType):
        read(b"a=1", content_type="application/x-www-form-urlencoded")
