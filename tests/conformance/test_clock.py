"""What was noted while the clock was ahead holds nothing up, and nothing open, until the clock is there again."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from archive import erasure, state
from archive.pool import queries
from tests.conformance.conftest import Gateway
from tests.conformance.permitted import Holder

AHEAD = "now() + interval '1 year'"


@pytest.fixture
def database(gateway: Gateway) -> Iterator[psycopg.Connection]:
    """What is changed in it is rolled back."""
    with psycopg.connect(gateway.settings.database_url) as connection:
        yield connection
        connection.rollback()


def test_an_erasure_is_gone_on_with(database: psycopg.Connection) -> None:
    identifier = f"E{uuid.uuid4().hex}"
    add = "insert into erasure (id, kind, pseudonyms, asked_by, reason) values (%s, 'study', %s, 'os:tester', '')"
    database.execute(add, [identifier, [identifier]])
    assert identifier not in erasure.cut_short(database, 60.0)
    database.execute(f"update erasure set asked_at = {AHEAD} where id = %s", [identifier])
    assert identifier in erasure.cut_short(database, 60.0)


def test_a_session_is_over(gateway: Gateway, database: psycopg.Connection) -> None:
    subject = Holder(gateway.settings).subject
    held = {"id": b"session", "subject": subject, "roles": [], "lifetime": 3600, "idle": 600}
    database.execute(queries("session.sql")["start_session"], held)
    found = queries("session.sql")["find_session"]
    assert database.execute(found, held).rowcount == 1
    database.execute(f"update session set last_seen_at = {AHEAD}, expires_at = {AHEAD}")
    assert database.execute(found, held).rowcount == 0


def test_a_keeper_of_then_is_not_alive(database: psycopg.Connection) -> None:
    state.note(database, state.KEEPER)
    assert state.is_keeper_alive(database)
    database.execute(f"update milestone set at = {AHEAD}")
    assert not state.is_keeper_alive(database)
