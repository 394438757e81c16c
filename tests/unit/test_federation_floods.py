"""Who asks a hub again and again without being a member fills no audit trail."""

import pytest

from archive.federation_roles import Hub, write_role
from tests.unit import fake_site

MEMBERS, SELF = "/federation/v1/members", "/federation/v1/members/self"


@pytest.mark.parametrize("is_hub", [True, False])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", SELF), ("POST", MEMBERS), ("GET", "/federation/v1/runs")]
)
def test_over_a_rate_refusals_are_told_by_number_alone(tmp_path, is_hub, method, path):
    site = fake_site.build(tmp_path)
    if is_hub:
        write_role(site.settings, Hub("hub", "2026-03-01T12:00:00+00:00"))
    statuses = [site.client.request(method, path).status_code for _ in range(40)]
    assert 429 in statuses and len(site.trail.records) < len(statuses)
