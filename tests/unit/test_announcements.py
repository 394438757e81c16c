"""What somebody who looks at studies is still to be told, between two looks."""

import asyncio

import pytest

from archive.errors import TooManyRequests
from gateway.announcements import MOST_STUDIES, MOST_WATCHES, SESSIONS, STUDIES, Announcements, Watch

NOWHERE = "postgresql://nobody@/nothing?host=/nonexistent"


def test_studies_are_told_once() -> None:
    watch = Watch("account:a", "")
    watch.add("1.1")
    watch.add("1.1")
    assert (watch.take(), watch.take()) == ({"1.1"}, set())


@pytest.mark.parametrize("names", [["1.1", ""], [f"1.{number}" for number in range(MOST_STUDIES + 1)]])
def test_more_than_can_be_named_are_all(names: list[str]) -> None:
    watch = Watch("account:a", "")
    for name in names:
        watch.add(name)
    assert watch.take() is None


def test_a_mark_is_told_to_whom_it_concerns() -> None:
    async def hear() -> list[set[str] | None]:
        announcements = Announcements(NOWHERE)
        with announcements.watch("account:a") as one, announcements.watch("account:b") as other:
            announcements._hear(STUDIES, "1.1 account:a")
            announcements._hear(STUDIES, "1.2")
            return [one.take(), other.take()]

    assert asyncio.run(hear()) == [{"1.1", "1.2"}, {"1.2"}]


def test_the_end_of_a_session_ends_its_watches() -> None:
    async def hear() -> list[bool]:
        announcements = Announcements(NOWHERE)
        with announcements.watch("account:a", "ab") as one, announcements.watch("account:a", "cd") as other:
            announcements._hear(SESSIONS, "ab")
            return [one.is_over, other.is_over]

    assert asyncio.run(hear()) == [True, False]


def test_a_principal_has_so_many_watches() -> None:
    async def watch() -> None:
        announcements = Announcements(NOWHERE)
        held = [announcements.watch("account:a") for _ in range(MOST_WATCHES + 1)]
        for each in held[:-1]:
            each.__enter__()
        with pytest.raises(TooManyRequests):
            held[-1].__enter__()
        with announcements.watch("account:b"):
            held[0].__exit__(None, None, None)
        with announcements.watch("account:a"):
            pass
        for each in held[1:-1]:
            each.__exit__(None, None, None)

    asyncio.run(watch())


def test_a_process_that_ends_lets_go_of_all() -> None:
    async def end() -> bool:
        announcements = Announcements(NOWHERE)
        with announcements.watch("account:a") as watch:
            announcements.end()
            return watch.woken.is_set() and announcements.is_ending

    assert asyncio.run(end())
