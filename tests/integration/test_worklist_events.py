"""Who subscribes to the worklist hears of each reading that the site does by itself (PS3.4 section CC.2.3)."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from archive.workitem import FILTERED_WORKLIST, GLOBAL_WORKLIST
from tests.integration.test_whole_way import write
from tests.live import LiveSite


@contextmanager
def subscribed(site: LiveSite, worklist: str, conditions: str = "") -> Iterator[Callable[[], dict[str, Any]]]:
    """A subscription to a worklist; what it is called with next."""
    name = uuid.uuid4().hex
    with site.client() as client:
        path = f"/workitems/{worklist}/subscribers/{name}"
        assert client.post(f"{path}?{conditions}").status_code == 201
        address = re.sub("^http", "ws", site.dicomweb_url) + f"/ws/subscribers/{name}"
        try:
            with connect(
                address, additional_headers={"Authorization": client.headers["authorization"]}
            ) as channel:
                yield lambda: json.loads(channel.recv(timeout=60))
        finally:
            client.delete(path)


def workitem(client: httpx.Client, event: dict[str, Any]) -> dict[str, Any]:
    """The workitem that an event tells of."""
    found: dict[str, Any] = client.get(f"/workitems/{event['00001000']['Value'][0]}").json()[0]
    return found


def state_of(event: dict[str, Any]) -> str:
    return str(event["00741000"]["Value"][0])


@pytest.mark.parametrize(
    ("worklist", "conditions"),
    [(GLOBAL_WORKLIST, ""), (FILTERED_WORKLIST, "ScheduledWorkitemCodeSequence.CodeValue=density")],
)
def test_a_subscriber_hears_of_a_reading_that_nobody_asked_for(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path, worklist: str, conditions: str
) -> None:
    with subscribed(site, worklist, conditions) as hear, site.client() as client:
        study = site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]
        states: list[str] = []
        while states[-1:] != ["COMPLETED"]:
            event = hear()
            found = workitem(client, event)
            is_density = found["00404018"]["Value"][0]["00080100"]["Value"] == ["density"]
            if is_density and found["00404021"]["Value"][0]["0020000D"]["Value"] == [study]:
                states.append(state_of(event))
        assert states == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
        performed = found["00741216"]["Value"][0]["00404033"]["Value"][0]
        uid = performed["00081199"]["Value"][0]["00081155"]["Value"][0]
        (report,) = client.get(f"/studies/{study}/instances?SOPInstanceUID={uid}").json()
        assert report["00080018"]["Value"] == [uid]


def test_without_a_subscriber_no_workitem_is_made(
    site: LiveSite, phantom_exam: Callable[[], list[bytes]], tmp_path: Path
) -> None:
    study = site.send(write(tmp_path, phantom_exam()))["studies"][0]["study_instance_uid"]
    with site.database() as database:
        ((count,),) = database.execute("select count(*) from workitem where study_instance_uid = %s", [study])
    assert count == 0
