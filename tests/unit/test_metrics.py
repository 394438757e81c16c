"""GET /metrics: who is answered, and what it says where nothing of the site answers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from archive.policy import Action, Grants, Principal, Role
from archive.settings import Settings
from archive.state_item import Item, Level
from gateway import measured, site_measures
from gateway.metrics import Scrapers, may_read
from tests.unit import fake_site

HERE = {"Host": "127.0.0.1:8080"}


def status(home: Path, headers: Mapping[str, str] = HERE, **settings: object) -> int:
    return fake_site.build(home, **settings).client.get("/metrics", headers=dict(headers)).status_code


def test_who_is_at_the_machine_of_a_site_of_its_own_is_answered(tmp_path: Path) -> None:
    assert status(tmp_path) == 200


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"])
def test_what_came_by_a_proxy_did_not_come_from_here(tmp_path: Path, name: str) -> None:
    assert status(tmp_path, HERE | {name: "127.0.0.1"}) == 401


def test_a_site_that_others_reach_believes_no_address_of_loopback(tmp_path: Path) -> None:
    """A proxy that names itself nowhere, as nginx does by default, asks from loopback for strangers."""
    assert status(tmp_path, public_url="https://images.hospital.example") == 401


def test_a_name_that_was_bent_to_loopback_is_not_answered(tmp_path: Path) -> None:
    assert status(tmp_path, {"Host": "attacker.example"}) == 401


@pytest.mark.parametrize("host", ["[", "[::1", "127.0.0.1]"])
def test_a_name_that_is_none_is_no_failure(tmp_path: Path, host: str) -> None:
    assert not _is_known(tmp_path, host)


def _is_known(home: Path, host: str) -> bool:
    scope = {"client": ("127.0.0.1", 5), "headers": [(b"host", host.encode())]}
    return Scrapers(_unreached, Settings(home=home))._knows(scope)


def test_an_answer_to_a_stranger_says_nothing_of_the_site(tmp_path: Path) -> None:
    answer = fake_site.build(tmp_path).client.get("/metrics")
    assert answer.status_code == 401 and "senogate_" not in answer.text


def test_networks_are_answered_that_the_site_names(tmp_path: Path) -> None:
    named = {"public_url": "https://images.example", "metrics_networks": "10.0.0.0/8 127.0.0.1"}
    assert status(tmp_path, {"Host": "images.example"}, **named) == 200
    assert status(tmp_path, {"X-Forwarded-For": "127.0.0.1"}, **named) == 401


@pytest.mark.parametrize(("said", "answered"), [("10.1.2.3", 200), ("192.0.2.1", 401), ("127.0.0.1", 401)])
def test_of_a_trusted_proxy_the_address_counts_that_it_says(tmp_path: Path, said: str, answered: int) -> None:
    """Loopback never does: it is the proxy's own client there, and no network that was named."""
    named = {"trusted_proxies": "127.0.0.1", "metrics_networks": "10.0.0.0/8"}
    assert status(tmp_path, HERE | {"X-Forwarded-For": said}, **named) == answered


@pytest.mark.parametrize("client", [None, ("", 0), ("unix", 1), ("testclient", 5)], ids=str)
def test_an_address_that_is_none_is_nobodys(tmp_path: Path, client: tuple[str, int] | None) -> None:
    scrapers = Scrapers(_unreached, Settings(home=tmp_path))
    assert not scrapers._knows({"client": client, "headers": [(b"host", b"127.0.0.1")]})


async def _unreached(*arguments: object) -> None:
    raise AssertionError


READS = frozenset({Action.METRICS})


@pytest.mark.parametrize(
    ("principal", "roles", "may"),
    [
        (Principal("client:prometheus", READS), set(), True),
        (Principal("client:prometheus", frozenset({Action.READ})), set(), False),
        (Principal("client:prometheus", READS, permit="P1"), set(), False),
        (Principal("account:a", READS), {Role.ADMINISTRATOR}, True),
        (Principal("account:r", READS), {Role.RESEARCHER}, False),
        (Principal("https://elsewhere.example#client:x", READS), set(), False),
    ],
    ids=["client", "no-scope", "one-permit", "administrator", "researcher", "another-issuer"],
)
def test_a_client_with_the_scope_and_an_administrator_may(
    principal: Principal, roles: set[Role], may: bool
) -> None:
    assert may_read(principal, Grants(frozenset(roles))) is may


def test_where_no_part_answers_that_is_what_is_told(tmp_path: Path) -> None:
    text = fake_site.build(tmp_path).client.get("/metrics", headers=HERE).text
    told = {family.name: family for family in text_string_to_metric_families(text)}
    up = {sample.labels["part"]: sample.value for sample in told["senogate_up"].samples}
    assert up == {"orthanc": 1, "plugin": 1, "postgresql": 0, "worker": 0, "keeper": 0}
    states = {sample.labels["item"]: sample.value for sample in told["senogate_state"].samples}
    assert states["held"] == -1 and "senogate_spool_instances" not in told


def test_every_metric_has_its_help_and_no_other_has() -> None:
    told = {each.name for each in site_measures.TOLD.values()}
    assert told <= site_measures.HELP.keys()


def test_figures_of_items_that_nobody_named_are_not_told() -> None:
    item = Item("federation", "Federation", values={"name": "a hub", "number": 3})
    families = list(site_measures.items([item]))
    assert [family.name for family in families] == ["senogate_state"]


def test_a_level_is_a_number() -> None:
    (family,) = site_measures.items([Item("backup", "Last backup", Level.ACT)])
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"item": "backup"}, 2)]


def test_who_waits_for_a_slow_answer_is_told_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PostgreSQL hangs, a second scraper would else wait twice as long, and give up."""
    now, asked = [1000.0], []

    async def ask(self: measured.Measured) -> list[Metric]:
        asked.append(now[0])
        now[0] += measured.PATIENCE
        return []

    monkeypatch.setattr(measured.Measured, "_ask", ask)
    monkeypatch.setattr(measured, "time", Mock(monotonic=lambda: now[0]))
    site = measured.Measured(Settings(home=tmp_path), *[Mock()] * 4)

    async def scrape_twice() -> None:
        await asyncio.gather(site._of_site(), site._of_site())

    asyncio.run(scrape_twice())
    assert asked == [1000.0]
