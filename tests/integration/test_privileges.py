"""What the parts of a running site may do beside what their user may: nothing but to listen on low ports."""

from pathlib import Path

import pytest

from tests.live import LiveSite

NET_BIND_SERVICE = 1 << 10  # capabilities(7)


@pytest.mark.parametrize("part", ["postgresql", "orthanc", "gateway", "worker"])
def test_no_part_has_privileges_or_can_gain_any(site: LiveSite, part: str) -> None:
    status = Path(f"/proc/{site.child(part)}/status").read_text()
    values = dict(line.split(":\t", 1) for line in status.splitlines())
    assert values["NoNewPrivs"] == "1"
    assert all(int(values[name], 16) & ~NET_BIND_SERVICE == 0 for name in ("CapEff", "CapPrm", "CapInh"))
