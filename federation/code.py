"""What sites run in a round, as one hash: a manifest names it, and a site takes part only with the very same."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("archive", "federation", "inference")
SUFFIXES = {".py", ".sql", ".toml"}
LIBRARIES = ("flwr", "numpy", "onnx", "torch")


@cache
def code_hash() -> str:
    """SHA-256 over the program's own files by their names, and the versions of the libraries that compute.

    A library's build, such as `+cpu`, is not told apart. Read once: it is that of the code which the process loaded.
    """
    total = hashlib.sha256()
    for path in sorted(_files(), key=str):
        _add(total, str(path), (ROOT / path).read_bytes())
    for library in LIBRARIES:
        _add(total, library, _version(library).encode())
    return total.hexdigest()


def _files() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES]
    return [path.relative_to(ROOT) for path in found]


def _add(total: "hashlib._Hash", name: str, content: bytes) -> None:
    """Names and contents by their own hashes, so that neither runs into the next."""
    total.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(content).digest())


def _version(library: str) -> str:
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return "absent"
