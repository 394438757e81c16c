"""A task as a hostile hub may name it."""

import pytest

pytest.importorskip("flwr")

from federation.site.runtime import _named


@pytest.mark.parametrize("run", ["R0123456789abcde\0", "R0123456789abcdef\n", 7, "", b"R0123456789abcdef"])
def test_what_no_run_is_called_is_looked_for_nowhere(run: object) -> None:
    """PostgreSQL takes no NUL in a text, and an error there would end the trainer."""
    assert _named(run) == ""


def test_a_run_keeps_its_name() -> None:
    assert _named("R0123456789abcdef") == "R0123456789abcdef"
