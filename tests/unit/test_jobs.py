"""What a requester is told of a job before its answer is out (archive.jobs), and who decides on it."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from archive import jobs
from archive.errors import Forbidden
from archive.jobs import Job
from tests.unit.strangers import Strangers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    *("J1", "account:s", "P1", "all", "counts", {}, "checked", "", NOW, "account:s", None, None, NOW),
    *(6, 7, NOW, 7, [{"rule": "size"}], True, None, None),
)


def test_a_requester_is_not_told_how_many_exams_there_are() -> None:
    """Filters that differ in one patient would count her."""
    told = JOB.told()
    assert (told.done, told.total, told.studies, told.findings, told.has_result) == (0, 0, 0, None, False)


@pytest.mark.parametrize("decide", [jobs.approve, jobs.release])
def test_nobody_decides_on_her_own_job(decide: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def show(connection: object, job_id: str) -> Job:
        return JOB

    monkeypatch.setattr(jobs, "show", show)
    with pytest.raises(Forbidden, match="her own"):
        asyncio.run(decide(cast(Any, Strangers()), "J1", by="account:s"))
