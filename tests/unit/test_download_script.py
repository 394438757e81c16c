"""The script that fetches what a permit lets be downloaded (gateway/portal/download.sh), with a curl of our own."""

import subprocess
from pathlib import Path

import pytest

from gateway.portal.pages import render

SITE, DICOMWEB = "https://site.example", "https://site.example/dicom-web"
CURL = """#!/bin/sh
while [ "$1" != --output ]; do shift; done
if [ -s "$LIST" ] && [ ! -e "$2" ] && [ "${2##*/}" = manifest.csv ]; then cp "$LIST" "$2"; else printf 7 >"$2"; fi
"""


@pytest.mark.parametrize(
    ("row", "files"),
    [
        (f"1.2,1.3,1.4,1,{DICOMWEB}/x", ["1.2/1.4.dcm"]),
        (f"..,1.3,1.4,1,{DICOMWEB}/x", []),
        (f"1.2/..,1.3,1.4,1,{DICOMWEB}/x", []),
        (f"$(touch x),1.3,1.4,1,{DICOMWEB}/x", []),
        ("1.2,1.3,1.4,1,https://elsewhere.example/x", []),
    ],
    ids=["sound", "parent", "path", "command", "elsewhere"],
)
def test_a_list_leads_nowhere_else(tmp_path: Path, row: str, files: list[str]) -> None:
    """Neither to files beside the folder, nor with the token to another server."""
    for name, text in (
        ("curl", CURL),
        ("fetch.sh", render("download.sh", permit="P1", site=SITE, dicomweb=DICOMWEB)),
        ("list", f"study,series,instance,bytes,url\n{row}\n"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "curl").chmod(0o700)
    environment = {"SENOGATE_TOKEN": "t", "PATH": f"{tmp_path}:/usr/bin:/bin", "LIST": str(tmp_path / "list")}
    folder = tmp_path / "a" / "b"
    done = subprocess.run(
        ["sh", str(tmp_path / "fetch.sh"), str(folder)], env=environment, cwd=tmp_path, check=False
    )
    found = sorted(each for each in tmp_path.rglob("*.dcm*"))
    assert [str(each.relative_to(folder)) for each in found] == files
    assert (done.returncode == 0) == bool(files)
