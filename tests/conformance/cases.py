"""Which cases are put to another server too: those of a clause that binds every server, marked `standard`."""

from collections.abc import Iterable
from typing import Any

import httpx
import pytest


def own(*cases: Any) -> Iterable[Any]:
    """Parameters of a `standard` case about what is optional or left open: they are for the gateway alone."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.own) for case in cases
    ]


def is_unacceptable_or_default(answer: httpx.Response, default: str) -> bool:
    """Where nothing that is accepted can be had: 406 (table 8.5-1), or the default all the same (table 8.7.3-1)."""
    is_default = answer.status_code == 200 and answer.headers["content-type"].startswith(default)
    return answer.status_code == 406 or is_default


def is_standard(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("standard")) and not item.get_closest_marker("own")
