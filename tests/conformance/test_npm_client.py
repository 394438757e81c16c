"""The npm package dicomweb-client as a real client, where `npm install dicomweb-client xhr2` was run here."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("site")

CHECKOUT = Path(__file__).resolve().parents[2]


def test_it_searches_and_retrieves(gateway):
    if not shutil.which("node") or not (CHECKOUT / "node_modules" / "dicomweb-client").exists():
        pytest.skip("`npm install dicomweb-client xhr2` was not run in the checkout")
    environment = {"DICOMWEB_URL": gateway.settings.dicomweb_url, "DICOMWEB_TOKEN": gateway.token}
    script = Path(__file__).with_name("dicomweb_client.mjs")
    done = subprocess.run(
        ["node", str(script)],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("instance") == len(gateway.files["1.1.1.1"])
    assert found == {
        "studies": 1, "series": 2, "instances": 1, "nothing": [], "studyMetadata": 3, "seriesMetadata": 2, "rows": 4,
        "study": 1, "series_": 2, "frames": [48, 48], "bulkData": 144,
    }  # fmt: skip
