"""Two real nodes, all of whose parts run: a site joins a hub over TLS, takes part, and is out at once."""

import ssl
import time
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from archive import federation_keys
from archive.federation_roles import read_site
from gateway.fleet.identity import Identity
from tests.federation.live import HUB, Federation, federation
from tests.federation.nodes import SELF
from tests.live import LiveSite, eventually

pytest.importorskip("flwr")
SITE = "site-1"
PARTS = ("relay", "supernode", "trainer")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Federation]:
    with federation(1) as made:
        yield made


def ask(nodes: Federation, token: str) -> int:
    """The status by which the hub answers how far the membership is."""
    trusted = ssl.create_default_context(cafile=nodes.sites[SITE].settings.federation_authorities)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(nodes.hub.base_url + SELF, headers=headers, verify=trusted, trust_env=False).status_code


def runs(nodes: Federation, part: str) -> bool:
    try:
        return nodes.sites[SITE].child(part) > 0
    except AssertionError:
        return False


def trail(nodes: Federation) -> str:
    """What the hub has on record of calls that its SuperLink answered."""
    with nodes.hub.database() as connection:
        rows = connection.execute(
            "select content from audit where content::jsonb->>'subject' = 'member:site-1'"
            " and content::jsonb->>'outcome' = 'success'"
        ).fetchall()
    return " ".join(content for (content,) in rows)


def test_its_supernode_is_let_in_and_no_secret_is_in_a_log(nodes):
    assert nodes.tell(SITE, "status")[0]["state"] == "active"
    eventually(lambda: "activate-node" in trail(nodes))
    site = nodes.sites[SITE]
    joined = read_site(site.settings)
    assert joined
    secret = federation_keys.federation_key(site.settings).private_bytes_raw()
    logs = [each.read_bytes() for node in (nodes.hub, site) for each in (node.home / "logs").iterdir()]
    for told in (secret, secret.hex().encode(), b"Bearer ", b"senogate-invitation-1", b"PRIVATE KEY", b"eyJ"):
        assert not [log for log in logs if told in log]


def measured(node: LiveSite, name: str) -> dict[str, float]:
    """The samples of a metric, by the values of their labels."""
    text = httpx.get(f"{node.base_url}/metrics", verify=False, trust_env=False).text
    families = text_string_to_metric_families(text)
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return {
        " ".join(sample.labels[label] for label in sorted(sample.labels)): sample.value for sample in samples
    }


def test_what_its_parts_and_the_hubs_do_is_measured(nodes):
    site, contact = nodes.sites[SITE], "senogate_federation_contact_timestamp_seconds"
    began = time.time()
    eventually(lambda: measured(site, contact).get("relay-1 hub", 0) > began)
    eventually(lambda: measured(site, contact).get("trainer-1 supernode", 0) > began)
    eventually(lambda: measured(nodes.hub, contact).get("conductor-1 superlink", 0) > began)
    carried = "senogate_federation_bytes_total"
    assert min(measured(site, carried).values()) > 0 < min(measured(nodes.hub, carried).values())
    (row,) = nodes.tell(HUB, "members")
    seen = "senogate_federation_member_seen_timestamp_seconds"
    eventually(lambda: measured(nodes.hub, seen).get(str(row["number"]), 0) > began)
    assert measured(nodes.hub, "senogate_federation_rounds_complete_total") == {"": 0}
    assert measured(site, seen) == {}


def test_a_site_that_is_revoked_is_out_at_once_and_leaves(nodes):
    site = nodes.sites[SITE]
    joined = read_site(site.settings)
    assert joined
    token = Identity.load(site.settings, joined).token()
    assert ask(nodes, token) == 200
    nodes.tell(HUB, "revoke", SITE)
    assert ask(nodes, token) == 403
    assert "revoked" in nodes.tell(SITE, "status")[0]["state"]
    seen = "senogate_federation_member_seen_timestamp_seconds"
    eventually(lambda: measured(nodes.hub, seen) == {})  # of who is no member nobody waits to hear
    nodes.tell(SITE, "leave")
    eventually(lambda: not any(runs(nodes, part) for part in PARTS))
    assert not federation_keys.node_key_path(site.settings).exists()
