"""htmx, which makes pages smoother and which none of them needs: the npm package htmx.org, served as `/htmx.js`.

python -m gateway.htmx                            into the virtual environment, where it is not there yet
python -m gateway.htmx --from htmx.org-2.0.11.tgz

What it may do is set in layout.html: it evaluates nothing, adds no styles and scripts, asks this site alone and keeps
no page in the browser.
"""

import gzip
import sys
import tarfile
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import npm
from gateway.npm import Package

HTMX = Package(
    "htmx.org",
    "2.0.11",
    "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
)
FOLDER = Path(sys.prefix) / "share" / "senogate" / f"htmx-{HTMX.version}"
_SCRIPT = "htmx.min.js"
_USED = {"package/LICENSE": "LICENSE", f"package/dist/{_SCRIPT}": _SCRIPT}
_KEPT = "public, max-age=31536000, immutable"


def is_there(folder: Path = FOLDER) -> bool:
    """Whether a folder has the script: it is put there last."""
    return (folder / _SCRIPT).exists()


def unpack(archive: BinaryIO, folder: Path) -> None:
    """Check the archive's SHA-512, then keep the script and its licence. Raises PackageError."""
    HTMX.check(archive)
    with tarfile.open(fileobj=archive, mode="r:gz") as members:
        found = {name: members.extractfile(path) for path, name in _USED.items()}
        contents = {name: content.read() for name, content in found.items() if content}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        part = folder / f"{name}.part"
        part.write_bytes(content)
        part.rename(folder / name)


async def script(request: Request) -> Response:
    """GET /htmx.js."""
    plain, compressed = _contents(FOLDER)
    if not plain:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"cache-control": _KEPT, "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            compressed, headers=headers | {"content-encoding": "gzip"}, media_type="text/javascript"
        )
    return Response(plain, headers=headers, media_type="text/javascript")


@cache
def _contents(folder: Path) -> tuple[bytes, bytes]:
    """The script, and the same compressed; empty where it is not there."""
    plain = (folder / _SCRIPT).read_bytes() if is_there(folder) else b""
    return plain, gzip.compress(plain, 9, mtime=0)


def main() -> int:
    """Exit status."""
    what, without = f"{HTMX.name} {HTMX.version}", "Pages go without htmx"
    return npm.have(HTMX, FOLDER, is_there, unpack, what=what, without=without)


if __name__ == "__main__":
    sys.exit(main())
