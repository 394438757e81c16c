"""Floods of credentials that are no good: limited by address, on record by number."""

import anyio
import pytest

from archive.audit import Event
from archive.errors import Unavailable
from gateway import floods
from tests.unit import fake_site
from tests.unit.test_gateway_rate_limit import FakeDatabase

TOKENS = 3
BAD = {"Authorization": "Bearer a.b.c"}


@pytest.fixture
def site(tmp_path):
    """A gateway that records three refusals of each address, behind a proxy."""
    built = fake_site.build(tmp_path, trusted_proxies="127.0.0.1", rate_limit=0)
    databases = {}

    def connect():
        return databases.setdefault("all", FakeDatabase(TOKENS)).connect()

    floods_of(built)._buckets._connect = connect
    return built


def floods_of(site):
    return site.client._application.state.services.floods


def statuses(site, number, headers=BAD, path="/dicom-web/studies"):
    return [site.client.get(path, headers=headers).status_code for _ in range(number)]


def test_those_over_the_rate_are_not_recorded_one_by_one(site):
    assert statuses(site, TOKENS + 4) == [401] * TOKENS + [429] * 4
    assert [record.detail["status"] for record in site.trail.records] == [401] * TOKENS


@pytest.mark.parametrize(
    "headers", [{}, BAD, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer a, b"}]
)
def test_whatever_is_no_credential_counts(site, headers):
    assert statuses(site, TOKENS + 1, headers)[-1] == 429


def test_who_opens_pages_without_a_session_counts(site):
    assert statuses(site, TOKENS + 1, {}, "/access")[-1] == 429


def test_it_says_when_to_ask_again(site):
    statuses(site, TOKENS)
    assert site.client.get("/dicom-web/studies").headers["retry-after"] == "3"


def test_a_good_token_from_that_address_is_heard(site):
    statuses(site, TOKENS + 1)
    assert statuses(site, 1, site.bearer())[0] not in (401, 429)


def test_a_record_says_how_many_there_were_and_from_where(site):
    statuses(site, TOKENS + 4, BAD | {"X-Forwarded-For": "198.51.100.7"})
    anyio.run(floods_of(site).record)
    last = site.trail.records[-1]
    assert (last.event, last.detail["count"], last.detail["from"]) == (Event.DENIED, 4, "198.51.100.7")
    anyio.run(floods_of(site).record)
    assert site.trail.records[-1] is last


def test_addresses_have_buckets_of_their_own(site):
    names = []
    database = FakeDatabase(100)
    execute = database.execute

    async def noted(query, row):
        names.append(row["name"])
        return await execute(query, row)

    database.execute = noted
    floods_of(site)._buckets._connect = database.connect
    for address in ("198.51.100.7", "2001:db8::1", "2001:db8::2", "spoofed, 203.0.113.9"):
        statuses(site, 1, BAD | {"X-Forwarded-For": address})
    networks = ["198.51.100.7", "2001:db8::/64", "203.0.113.9"]
    assert list(dict.fromkeys(names)) == [f"refused for {each}" for each in networks]


def test_what_the_trail_did_not_take_is_told_the_next_time(site):
    statuses(site, TOKENS + 2)
    site.trail.problem = Unavailable("gone")
    anyio.run(floods_of(site).record)
    site.trail.problem = None
    anyio.run(floods_of(site).aclose)
    assert site.trail.records[-1].detail["count"] == 2


def test_of_very_many_addresses_some_are_told_together(site, monkeypatch):
    monkeypatch.setattr(floods, "_ADDRESSES", 1)
    statuses(site, TOKENS + 1)
    statuses(site, 2, BAD | {"X-Forwarded-For": "198.51.100.7"})
    anyio.run(floods_of(site).record)
    told = {record.detail["from"]: record.detail["count"] for record in site.trail.records[-2:]}
    assert told == {"127.0.0.1": 1, floods.OTHERS: 2}
