"""Write the tables of DICOM Web Services in docs/conformance.md from what the gateway says of its routes.

    python tools/make_conformance_tables.py

The gateway's capabilities (`OPTIONS /`, PS3.18 section 8.9) are made of the same. What lies outside the marks in that
file is written by hand, and stays.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from starlette.routing import Mount

from gateway.operations import Operation, operations
from gateway.ways import DICOMWEB

DOCUMENT = Path(__file__).parents[1] / "docs" / "conformance.md"
ROOT = "/dicom-web"
_SEARCHED = ("studies", "series", "instances", "workitems")
SERVICES: dict[str, Callable[[Operation], bool]] = {
    "search": lambda one: one.method == "GET" and _last(one) in _SEARCHED[:3],
    "retrieve": lambda one: (
        one.method == "GET" and "studies/{study}" in one.path and _last(one) not in _SEARCHED
    ),
    "store": lambda one: one.method == "POST" and "/studies" in one.path,
    "worklist": lambda one: "/workitems" in one.path or "/subscribers/" in one.path,
}
"""The transactions of each table, by the name in its marks."""


def make(document: str) -> str:
    """The document with its tables made anew. Raises ValueError where marks are missing."""
    found = list(operations([Mount(ROOT, routes=DICOMWEB)]))
    for name, belongs in SERVICES.items():
        table = "\n".join(_table(each for each in found if belongs(each)))
        document, count = re.subn(
            rf"(<!-- {name}: made .*? -->\n).*?(<!-- end -->)",
            lambda match, table=table: f"{match[1]}{table}\n{match[2]}",
            document,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"the document lacks the marks of {name}")
    return document


def _table(rows: Iterable[Operation]) -> Iterator[str]:
    yield "| transaction | takes | produces |"
    yield "|---|---|---|"
    for each in rows:
        path = each.path.removeprefix(ROOT)
        yield f"| `{each.method} {path}` | {_types(each.takes)} | {_types(each.produces)} |"


def _types(types: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in types) or "–"


def _last(one: Operation) -> str:
    return one.path.rsplit("/", 1)[-1]


if __name__ == "__main__":
    DOCUMENT.write_text(make(DOCUMENT.read_text("utf-8")), "utf-8")
