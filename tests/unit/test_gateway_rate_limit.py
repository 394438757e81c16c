"""Token buckets that a few processes share, against a database that is played by a function."""

from contextlib import asynccontextmanager

import anyio
import pytest

from archive.errors import TooManyRequests, Unavailable
from archive.policy import Principal
from gateway import rate_limit
from gateway.rate_limit import Buckets, Rate, RateLimit, address_of
from tests.unit import fake_site

RATE = Rate(100, 20)


class FakeDatabase:
    """One bucket that never fills; counts how often it is asked."""

    def __init__(self, tokens: int, answers: bool = True) -> None:
        self.tokens, self.asked, self.answers = tokens, 0, answers

    @asynccontextmanager
    async def connect(self):
        if not self.answers:
            raise Unavailable("gone")
        yield self

    async def execute(self, query, row):
        self.asked += 1
        taken = min(row["wanted"], self.tokens)
        self.tokens -= taken
        self.last = (taken, 0.0 if taken else 2.5)
        return self

    async def fetchone(self):
        return self.last


def count(takers, number, rate=RATE):
    """How many of that many requests each taker lets through, all at once."""

    async def take(buckets):
        try:
            await buckets.take("a", rate)
        except TooManyRequests:
            return 0
        return 1

    async def all_of_them():
        passed = 0
        async with anyio.create_task_group() as group:

            async def one(buckets):
                nonlocal passed
                passed += await take(buckets)

            for _ in range(number):
                for buckets in takers:
                    group.start_soon(one, buckets)
        return passed

    return anyio.run(all_of_them)


@pytest.mark.parametrize("processes", [1, 3])
def test_together_they_let_through_no_more_than_the_bucket_holds(processes):
    database = FakeDatabase(20)
    assert count([Buckets(database.connect) for _ in range(processes)], 30) == 20


def test_most_requests_ask_nobody():
    database = FakeDatabase(10_000)
    assert count([Buckets(database.connect)], 1000, Rate(1000, 10_000)) == 1000
    assert database.asked == 1000 / Rate(1000, 10_000).share


def test_who_was_refused_is_refused_without_asking_again():
    database = FakeDatabase(0)
    assert count([Buckets(database.connect)], 50) == 0
    assert database.asked == 1


def test_a_share_that_was_not_used_in_time_is_lost(monkeypatch):
    database, now = FakeDatabase(10), 100.0
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now)
    buckets = Buckets(database.connect)
    assert count([buckets], 1) == 1
    now += rate_limit.SHARE_LASTS + 0.1
    assert count([buckets], 10) == 5


def test_without_the_database_each_process_counts_by_itself(monkeypatch):
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: 100.0)
    assert count([Buckets(FakeDatabase(0, answers=False).connect)], 300) == 100


def test_a_small_rate_is_kept_to_the_token():
    assert Rate(1 / 15, 20).share == 1


def test_the_answer_says_how_long_to_wait(tmp_path):
    """RFC 6585 section 4."""
    site = fake_site.build(tmp_path, rate_limit=1, rate_burst=1)
    answers = [site.client.get("/dicom-web/studies", headers=site.bearer()) for _ in range(3)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert int(refused[0].headers["retry-after"]) >= 1


def test_a_limit_of_nought_is_none():
    async def application(scope, receive, send):
        scope["served"] = True

    scope = {"type": "http", "principal": Principal("a", frozenset())}
    anyio.run(RateLimit(application, Buckets(FakeDatabase(0).connect), Rate(0, 1)), scope, None, None)
    assert scope["served"]


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        (None, ""),
    ],
)
def test_of_ipv6_a_whole_site_counts_as_one(client, counted):
    from starlette.requests import HTTPConnection

    scope = {"type": "http", "headers": [], "client": (client, 1) if client else None}
    assert address_of(HTTPConnection(scope)) == counted
